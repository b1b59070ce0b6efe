import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import configuration, { forbidden, layers } from '../.dependency-cruiser.mjs';

const core = 'packages/lipsync-core/src';

/** By rule: an import that the rule forbids. */
const forbiddenImports: Readonly<Record<string, readonly [from: string, to: string]>> = {
  'no file imports itself through others': [`${core}/jobs/one.ts`, `${core}/jobs/two.ts`],
  'every import resolves': [`${core}/jobs/a.ts`, `${core}/jobs/missing.ts`],
  'contract/ and errors/ import nothing of the core': [`${core}/errors/a.ts`, `${core}/contract/b.ts`],
  'apps import packages, never each other': ['apps/api/src/a.ts', 'apps/worker/src/b.ts'],
  'packages import neither apps nor scripts': [`${core}/jobs/b.ts`, 'scripts/c.ts'],
  'the core imports neither HTTP server nor queue': [`${core}/jobs/c.ts`, 'bullmq'],
  'only inference/ imports the ONNX runtime': [`${core}/face/a.ts`, 'onnxruntime-node'],
  'media/sound/ and media/picture/ do not import each other, and media/containers/ neither of them': [
    `${core}/media/containers/a.ts`,
    `${core}/media/sound/b.ts`,
  ],
  'only tracing/ imports OpenTelemetry': [`${core}/jobs/k.ts`, '@opentelemetry/api'],
  'only media/ imports fluent-ffmpeg': [`${core}/jobs/d.ts`, 'fluent-ffmpeg'],
  'only media/, processes/, the engine and the doctor start programs': [`${core}/jobs/e.ts`, 'node:child_process'],
  'the product imports no stand-in': [`${core}/jobs/f.ts`, 'packages/heygen-standin/src/index.ts'],
  'the stand-in imports nothing of the product': ['packages/heygen-standin/src/a.ts', `${core}/jobs/a.ts`],
  'the stand-in draws lips by the public entry of the core': [
    'packages/heygen-standin/src/media/draw-mouth.ts',
    `${core}/jobs/i.ts`,
  ],
  'the product imports no test code': [`${core}/jobs/g.ts`, `${core}/jobs/h.test.ts`],
  ...Object.fromEntries(
    layers
      .slice(0, -1)
      .map((folder, index) => [
        `${folder}/ imports only lower layers of the core`,
        [`${core}/${folder}/layer.ts`, `${core}/${layers[index + 1]}/type.ts`] as const,
      ]),
  ),
};

describe('import rules', () => {
  let folder: string;
  let violations: readonly { readonly rule: string; readonly from: string }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lipsync-imports-'));
    for (const [from, to] of Object.values(forbiddenImports)) await writeImport(folder, from, to);
    await writeImport(folder, `${core}/jobs/two.ts`, `${core}/jobs/one.ts`);
    const { output } = await cruise(['apps', 'packages', 'scripts'], {
      ...configuration.options,
      baseDir: folder,
      validate: true,
      ruleSet: { forbidden },
    });
    // Without an output type, the result is data instead of text.
    const { summary } = output as ICruiseResult;
    violations = summary.violations.map(({ rule, from }) => ({ rule: rule.name, from }));
  });

  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it.each(forbidden.map(({ name = '' }) => name))('The import rule "%s" reports a forbidden import.', (name) => {
    const [from] = forbiddenImports[name] ?? [];
    expect(violations).toContainEqual({ rule: name, from });
  });

  it('The layer rules report type imports.', () => {
    expect(violations).toContainEqual({
      rule: 'billing/ imports only lower layers of the core',
      from: `${core}/billing/layer.ts`,
    });
  });
});

/** Writes `from` with one import of `to`; also writes `to`, unless it is a package or a missing file. */
async function writeImport(folder: string, from: string, to: string): Promise<void> {
  const isFile = to.endsWith('.ts');
  const specifier = isFile ? `${relativeRoot(from)}${to}` : to;
  await write(folder, from, `import type { Thing } from '${specifier}';\nexport type Other = Thing;\n`);
  if (isFile && !to.includes('missing')) await write(folder, to, 'export type Thing = string;\n', { keep: true });
}

function relativeRoot(path: string): string {
  return '../'.repeat(path.split('/').length - 1);
}

async function write(folder: string, path: string, text: string, { keep = false } = {}): Promise<void> {
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text, { flag: keep ? 'wx' : 'w' }).catch((error: unknown) => {
    if (!keep) throw error;
  });
}
