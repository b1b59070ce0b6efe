import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { openJobSupply, type JobSupply } from './heygen-job-supply.ts';
import {
  openKillPointWatcher,
  requestPoints,
  writePoints,
  type KillPoint,
  type KillPointWatcher,
} from './heygen-kill-points.ts';
import { proveLocalKills } from './heygen-kills-local.ts';
import { compareMoney, paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const requiredRuns = Number(process.env['HEYGEN_KILL_RUNS'] ?? 200);
const localRuns = Number(process.env['HEYGEN_KILL_LOCAL_RUNS'] ?? 20);
const jobsAtOnce = 12;
/** Killing stops after this time or at an interruption; the verdict then covers the kills so far. */
const timeLimitMs = 25 * 60_000;
/** Time limit for undisturbed jobs to finish and for started processes to be ready. */
const calmLimitMs = 5 * 60_000;
/** Shorter locks are lost without a kill on a busy machine, which counts as a crash. */
const lockMs = 8_000;
/** An interrupted job resumes when its lock has expired. */
const pointLimitMs = 2 * lockMs;
const longestRandomMs = 3_000;
/** Delay of each response, so that a kill can interrupt the worker between request and response. */
const responseDelayMs = 60;
/** A job fails after five crashes. No worker is killed while a job with this many interruptions is unfinished. */
const maxInterruptionsPerJob = 3;
/** Every third kill is at a random time. */
const killsPerRandomKill = 3;
const interruptions = ['SIGINT', 'SIGTERM'] as const;

type Row = { kills: number; missed: number; interrupted: number };

/**
 * Kills the worker with SIGKILL at every step of HeyGen jobs and at random times, until enough runs were interrupted
 * and every step was reached. Every job must complete and be charged once, and the ledger must equal the stand-in's
 * wallet. A first SIGINT stops the killing and prints the verdict so far; a second one ends the program.
 */
export async function proveHeygenKills(): Promise<boolean> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const name of interruptions) process.once(name, interrupt);
  const end = AbortSignal.any([interrupted.signal, AbortSignal.timeout(timeLimitMs)]);
  const stack = await startHeygenStack(
    {
      standin: { settings: { pace: paceByReads, maxConcurrent: 100 } },
      environment: { HEYGEN_MAX_CONCURRENT: String(2 * jobsAtOnce), QUEUE_LOCK_MS: String(lockMs) },
    },
    AbortSignal.timeout(timeLimitMs + calmLimitMs),
  );
  try {
    const holds = await killThroughQueue(stack, end);
    return (await proveLocalKills(localRuns, end)) && holds;
  } finally {
    for (const name of interruptions) process.off(name, interrupt);
    await stack.stop();
  }
}

async function killThroughQueue(stack: HeygenStack, end: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  for (const route of ['upload', 'create', 'get'] as const)
    control.addFaults({ match: { route }, fault: { kind: 'delay', delayMs: responseDelayMs }, times: 'always' });
  const samples = await Promise.all([0.8, 1, 1.2].map((seconds) => shortenSample(stack.folder, seconds)));
  const watcher = await openKillPointWatcher({ control, redisUrl: stack.redisUrl, outputDir: stack.outputDir });
  const supply = openJobSupply({ stack, store: stack.store, samples, jobsAtOnce });
  const rows = new Map<string, Row>();
  const allPoints = [...requestPoints, ...writePoints];
  const points = repeatForever(allPoints);
  const listUnreached = (): readonly KillPoint[] => allPoints.filter(({ name }) => !wasReached(rows.get(name)));
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  let worker = await stack.startWorker();
  try {
    for (
      let kill = 1;
      (supply.interruptedRuns < requiredRuns || listUnreached().length > 0) && !end.aborted;
      kill += 1
    ) {
      await supply.fill();
      await supply.waitForFewerInterruptions(maxInterruptionsPerJob, end);
      const next = supply.interruptedRuns < requiredRuns ? points.next().value : listUnreached()[0];
      const point = kill % killsPerRandomKill === 0 ? undefined : next;
      worker = await killAt(stack, { worker, point, watcher, supply, rows, end });
      process.stderr.write(
        `${supply.interruptedRuns} of ${requiredRuns} runs interrupted by ${kill} kills, ${supply.ended.length} jobs ended, ${seconds().toFixed(0)} s\n`,
      );
    }
    await supply.waitForAll();
  } finally {
    watcher.close();
    await worker.stop();
  }
  printRows(rows);
  const holds = await checkJobs(stack, supply.ended, {
    interruptedRuns: supply.interruptedRuns,
    lostLocks: (await supply.countCrashes()) - supply.interruptedRuns,
    seconds: seconds(),
  });
  for (const { name } of listUnreached()) console.log(`No kill at the step: ${name}`);
  return holds && listUnreached().length === 0;
}

interface Kill {
  readonly worker: GuardedProcess;
  /** Undefined for a random time. */
  readonly point: KillPoint | undefined;
  readonly watcher: KillPointWatcher;
  readonly supply: JobSupply;
  readonly rows: Map<string, Row>;
  readonly end: AbortSignal;
}

/** Kills the worker at the point, or when it is not reached in time. Returns the worker that replaces it. */
async function killAt(
  stack: HeygenStack,
  { worker, point, watcher, supply, rows, end }: Kill,
): Promise<GuardedProcess> {
  const kill = (): void => void process.kill(worker.pid, 'SIGKILL');
  let isReached = true;
  if (point) isReached = await watcher.waitFor(point, pointLimitMs, kill);
  else await sleep(Math.random() * longestRandomMs, undefined, { signal: end }).catch(() => undefined);
  if (!point || !isReached) kill();
  await worker.exited;
  const interrupted = await supply.countInterruptedRuns();
  const name = point?.name ?? 'at random';
  const row = rows.get(name) ?? { kills: 0, missed: 0, interrupted: 0 };
  rows.set(name, {
    kills: row.kills + 1,
    missed: row.missed + (isReached ? 0 : 1),
    interrupted: row.interrupted + interrupted,
  });
  return stack.startWorker();
}

function wasReached(row: Row | undefined): boolean {
  return row !== undefined && row.kills > row.missed;
}

function* repeatForever<Item>(items: readonly Item[]): Generator<Item, never> {
  for (;;) yield* items;
}

function printRows(rows: ReadonlyMap<string, Row>): void {
  console.log('| killed when | kills | not seen in time | runs interrupted |\n|---|---|---|---|');
  for (const [name, { kills, missed, interrupted }] of rows)
    console.log(`| ${name} | ${kills} | ${missed} | ${interrupted} |`);
}

async function checkJobs(
  stack: HeygenStack,
  jobs: readonly JobView[],
  {
    interruptedRuns,
    lostLocks,
    seconds,
  }: { readonly interruptedRuns: number; readonly lostLocks: number; readonly seconds: number },
): Promise<boolean> {
  const { operations } = stack.standin.control.operations();
  const operationsOf = new Map<string | null, number>();
  for (const { callbackId } of operations) operationsOf.set(callbackId, (operationsOf.get(callbackId) ?? 0) + 1);
  const completed = jobs.filter(
    ({ status, method_used: method }) => status === 'completed' && method === 'heygen',
  ).length;
  for (const { id, error } of jobs.filter(({ status }) => status !== 'completed'))
    console.log(`${id} did not complete: ${error?.code}: ${error?.message}`);
  const once = jobs.filter(({ id }) => operationsOf.get(id) === 1).length;
  const money = await compareMoney(stack, jobs);
  const ownColumns = ['jobs', 'runs interrupted', 'locks lost', 'completed by HeyGen', 'with one operation'];
  const columns = [...ownColumns, ...money.columns, 's'];
  const runs = `${interruptedRuns} of ${requiredRuns}`;
  const figures = [jobs.length, runs, lostLocks, completed, once, ...money.values, seconds.toFixed(0)];
  console.log(`\n| ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length)}\n| ${figures.join(' | ')} |`);
  if (money.leftovers.length > 0) console.log(money.leftovers.join('\n'));
  return (
    completed === jobs.length && once === jobs.length && money.isBalanced && stack.standin.control.leaks().length === 0
  );
}
