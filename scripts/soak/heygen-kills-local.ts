import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStateStore } from '../../packages/lipsync-core/src/storage/sqlite-state-store.ts';
import { createConcurrencySlots } from '../../packages/lipsync-core/src/scheduling/concurrency-slots.ts';
import { Ledger, systemClock } from '@lipsync/core/host';
import { startHeygenStandin, type HeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { openKillPointWatcher, requestPoints, type KillPoint, type KillPointWatcher } from './heygen-kill-points.ts';
import { paceByReads } from './heygen-stack.ts';

const program = join(import.meta.dirname, 'heygen-kills-program.ts');
const pointLimitMs = 20_000;
const longestRandomMs = 4_000;
const programLimitMs = 120_000;
const responseDelayMs = 60;
/** Only the first start is killed. */
const maxStarts = 5;

interface Bench {
  readonly folder: string;
  readonly standin: HeygenStandin;
  readonly watcher: KillPointWatcher;
}

interface LocalRun {
  readonly point: KillPoint | undefined;
  readonly isReached: boolean;
  readonly starts: number;
  readonly hasOutput: boolean;
  readonly operations: number;
  /** Output of the last start on stdout and stderr. */
  readonly printed: string;
}

/**
 * Kills a program without queue and Redis with SIGKILL and restarts it with the same inputs until its output exists.
 * Stops at `end`; the verdict then covers the runs so far.
 */
export async function proveLocalKills(runs: number, end: AbortSignal): Promise<boolean> {
  if (runs === 0 || end.aborted) return true;
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-heygen-local-'));
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, mouth: 'old' } });
  for (const route of ['upload', 'create', 'get'] as const)
    standin.control.addFaults({
      match: { route },
      fault: { kind: 'delay', delayMs: responseDelayMs },
      times: 'always',
    });
  const watcher = await openKillPointWatcher({ control: standin.control });
  try {
    const inputs = await shortenSample(folder, 1);
    console.log(
      '\nIn a program, without queue and Redis:\n\n| killed when | starts | output | operations | printed |\n|---|---|---|---|---|',
    );
    let holds = true;
    let index = 0;
    for (; index < runs && !end.aborted; index += 1) {
      const points = [...requestPoints, undefined, undefined];
      const run = await killAndRestart(
        { folder, standin, watcher },
        inputs,
        join(folder, `out-${index}.mp4`),
        points[index % points.length],
      );
      console.log(
        `| ${run.point?.name ?? 'at random'}${run.isReached ? '' : ' (not seen)'} | ${run.starts} | ${run.hasOutput} | ${run.operations} | ${run.printed} |`,
      );
      holds &&= run.hasOutput && run.operations === 1;
    }
    return (await checkBalances({ folder, standin, watcher }, index)) && holds;
  } finally {
    watcher.close();
    await standin.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function killAndRestart(
  { folder, standin, watcher }: Bench,
  { videoPath, audioPath }: { readonly videoPath: string; readonly audioPath: string },
  outputPath: string,
  point: KillPoint | undefined,
): Promise<LocalRun> {
  const before = standin.control.operations().operations.length;
  const start = (): ChildProcess =>
    spawn(process.execPath, [program, videoPath, audioPath, outputPath], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: programLimitMs,
      killSignal: 'SIGKILL',
      env: {
        ...process.env,
        ...standinEnvironment(standin),
        // The takes have the old lips: they would be rejected.
        LIPSYNC_QUALITY: 'off',
        HEYGEN_POLL_INTERVAL_MS: '100',
        LIPSYNC_DATA_DIR: join(folder, 'data'),
      },
    });
  const first = start();
  const firstExit = once(first, 'exit');
  const kill = (): void => void first.kill('SIGKILL');
  let isReached = true;
  if (point) isReached = await watcher.waitFor(point, pointLimitMs, kill);
  else await sleep(500 + Math.random() * longestRandomMs);
  if (!point || !isReached) kill();
  await firstExit;
  let starts = 1;
  let printed = '';
  while (starts < maxStarts && !(await exists(outputPath))) {
    starts += 1;
    const next = start();
    const texts = Promise.all([textOf(next.stdout), textOf(next.stderr)]);
    await once(next, 'exit');
    printed = (await texts).join(' ').trim();
  }
  return {
    point,
    isReached,
    starts,
    printed,
    hasOutput: await exists(outputPath),
    operations: standin.control.operations().operations.length - before,
  };
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function checkBalances({ folder, standin }: Bench, runs: number): Promise<boolean> {
  const state = new SqliteStateStore({ path: join(folder, 'data', 'state.sqlite') });
  try {
    const ledger = new Ledger({
      state,
      clock: systemClock,
      caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
    });
    const rows = await ledger.sum({ fromMs: 0, toMs: Date.now() + 86_400_000, groupBy: 'day' });
    const spent = rows.reduce((sum, { spentMicros }) => sum + spentMicros, 0);
    const reserved = rows.reduce((sum, { reservedMicros }) => sum + reservedMicros, 0);
    const held = (await createConcurrencySlots({ state, clock: systemClock }).holders('heygen')).length;
    const { spentMicros: wallet, charges } = standin.control.wallet();
    const leftovers = [
      ...(await readdir(join(folder, 'data', 'work'), { recursive: true })),
      ...(await readdir(folder)).filter((name) => /\.part|\.lock/.test(name)),
    ];
    console.log(
      `\n| runs | charges | wallet, µ$ | ledger, µ$ | reserved, µ$ | slots held | leftovers |\n|---|---|---|---|---|---|---|\n| ${[runs, charges.length, wallet, spent, reserved, held, leftovers.join(' ') || 0].join(' | ')} |`,
    );
    return charges.length === runs && wallet === spent && reserved === 0 && held === 0 && leftovers.length === 0;
  } finally {
    await state.close();
  }
}
