/**
 * `npm run check`: runs types, lint, format, import rules, vocabulary, third-party notices and unused code; fails if
 * any of them fails.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createNotices, noticesName } from './check/third-party-notices.ts';
import { findBannedWords, readVocabulary } from './check/vocabulary.ts';

const projectDir = dirname(import.meta.dirname);
const timeLimitMs = 5 * 60_000;

interface Check {
  readonly name: string;
  readonly passes: () => boolean;
}

const checks: readonly Check[] = [
  { name: 'types', passes: () => runTool('tsc', ['-p', 'tsconfig.json', '--noEmit']) },
  { name: 'lint', passes: () => runTool('oxlint', ['--type-aware', '--deny-warnings', '--format=unix']) },
  { name: 'format', passes: () => runTool('oxfmt', ['--check']) },
  {
    name: 'import rules',
    passes: () => runTool('depcruise', ['--config', '.dependency-cruiser.mjs', 'apps', 'packages', 'scripts', 'test']),
  },
  { name: 'vocabulary', passes: isVocabularyKept },
  { name: 'third-party notices', passes: areNoticesCurrent },
  { name: 'unused code', passes: () => runTool('knip', ['--no-progress']) },
];

/** Runs a tool; the bootstrap puts node_modules/.bin on the PATH. Returns whether it succeeded. */
function runTool(program: string, args: readonly string[]): boolean {
  const { status, error } = spawnSync(program, args, { cwd: projectDir, stdio: 'inherit', timeout: timeLimitMs });
  if (error !== undefined) process.stderr.write(`${program}: ${error.message}\n`);
  return status === 0;
}

/** Fails on expressions of scripts/check/vocabulary.json that have a better term. */
function isVocabularyKept(): boolean {
  const problems = findBannedWords(projectDir, readVocabulary());
  process.stdout.write(problems.map((problem) => `${problem}\n`).join(''));
  return problems.length === 0;
}

/** Fails when the lock file or the model manifest has changed since the notices were written. */
function areNoticesCurrent(): boolean {
  const isCurrent = readFileSync(join(projectDir, noticesName), 'utf8') === createNotices(projectDir);
  if (!isCurrent) process.stdout.write(`${noticesName} is out of date. Run: node scripts/write-notices.ts\n`);
  return isCurrent;
}

/** Runs a check. One that throws has failed; the others still run. */
function hasPassed({ passes }: Check): boolean {
  try {
    return passes();
  } catch (error) {
    process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return false;
  }
}

const failed: string[] = [];
for (const check of checks) {
  const { name } = check;
  process.stdout.write(`${name} ...\n`);
  const startedMs = performance.now();
  const isOk = hasPassed(check);
  if (!isOk) failed.push(name);
  process.stdout.write(
    `${name}: ${isOk ? 'ok' : 'FAILED'} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)\n`,
  );
}
if (failed.length > 0) {
  process.stdout.write(`Failed: ${failed.join(', ')}\n`);
  process.exitCode = 1;
}
