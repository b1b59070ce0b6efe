import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { openCrowd, type Crowd } from './heygen-kill-crowd.ts';
import { openLookout, requestPoints, writePoints, type KillPoint, type Lookout } from './heygen-kill-points.ts';
import { proveLocalKills } from './heygen-kills-local.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const wantedRuns = Number(process.env['HEYGEN_KILL_RUNS'] ?? 200);
const wantedLocalRuns = Number(process.env['HEYGEN_KILL_LOCAL_RUNS'] ?? 20);
const jobsAtOnce = 12;
/** Killing ends after so long, or when it is interrupted; the verdict is then on what ran. */
const longestMs = 25 * 60_000;
/** Time limit for undisturbed jobs to finish and for started processes to be ready. */
const calmLimitMs = 5 * 60_000;
/** Shorter ones are lost without a kill on a machine that is busy with something else, which counts as a crash, too. */
const lockMs = 8_000;
/** An interrupted job resumes when its lock has expired. */
const pointLimitMs = 2 * lockMs;
const longestRandomMs = 3_000;
/** Time in which a kill finds the worker between being asked and answering. */
const answerDelayMs = 60;
/** A job is given up after five crashes: one that was hit so often is let alone until it is done. */
const mostCutsPerJob = 3;
/** Every third kill comes at a random moment. */
const killsPerRandomOne = 3;
const interruptions = ['SIGINT', 'SIGTERM'] as const;

type Row = { kills: number; missed: number; cut: number };

/**
 * Kills the worker with SIGKILL at every step of HeyGen jobs and at random moments, until so many runs of jobs were cut
 * off and no step is left at which it was not seen to be. Every job must complete, be billed once, and the ledger must say what the stand-in was paid. A first interruption
 * ends the killing, and the verdict is on what ran; a second one ends the program.
 */
export async function proveHeygenKills(): Promise<boolean> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const name of interruptions) process.once(name, interrupt);
  const end = AbortSignal.any([interrupted.signal, AbortSignal.timeout(longestMs)]);
  const stack = await startHeygenStack(
    {
      standin: { settings: { pace: paceByReads, maxConcurrent: 100 } },
      environment: { HEYGEN_MAX_CONCURRENT: String(2 * jobsAtOnce), QUEUE_LOCK_MS: String(lockMs) },
    },
    AbortSignal.timeout(longestMs + calmLimitMs),
  );
  try {
    const holds = await killThroughQueue(stack, end);
    return (await proveLocalKills(wantedLocalRuns, end)) && holds;
  } finally {
    for (const name of interruptions) process.off(name, interrupt);
    await stack.stop();
  }
}

async function killThroughQueue(stack: HeygenStack, end: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  for (const route of ['upload', 'create', 'get'] as const)
    control.addFaults({ match: { route }, fault: { kind: 'delay', delayMs: answerDelayMs }, times: 'always' });
  const samples = await Promise.all([0.8, 1, 1.2].map((seconds) => shortenSample(stack.folder, seconds)));
  const lookout = await openLookout({ control, redisUrl: stack.redisUrl, outputDir: stack.outputDir });
  const crowd = openCrowd({ client: stack.client, store: stack.store, samples, jobsAtOnce });
  const rows = new Map<string, Row>();
  const allPoints = [...requestPoints, ...writePoints];
  const points = endlessly(allPoints);
  const unseen = (): readonly KillPoint[] => allPoints.filter(({ name }) => !isSeen(rows.get(name)));
  const startedMs = performance.now();
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  let worker = await stack.startWorker();
  try {
    for (let kill = 1; (crowd.cuts < wantedRuns || unseen().length > 0) && !end.aborted; kill += 1) {
      await crowd.fill();
      await crowd.untilNoneIsHit(mostCutsPerJob, end);
      const next = crowd.cuts < wantedRuns ? points.next().value : unseen()[0];
      const point = kill % killsPerRandomOne === 0 ? undefined : next;
      worker = await killAt(stack, { worker, point, lookout, crowd, rows, end });
      process.stderr.write(
        `${crowd.cuts} of ${wantedRuns} runs cut off by ${kill} kills, ${crowd.ended.length} jobs done, ${seconds().toFixed(0)} s\n`,
      );
    }
    await crowd.drain();
  } finally {
    lookout.end();
    await worker.stop();
  }
  printRows(rows);
  const holds = await judge(stack, crowd.ended, {
    cutRuns: crowd.cuts,
    lostLocks: (await crowd.crashes()) - crowd.cuts,
    seconds: seconds(),
  });
  for (const { name } of unseen()) console.log(`No kill came when: ${name}`);
  return holds && unseen().length === 0;
}

interface Kill {
  readonly worker: GuardedProcess;
  /** Absent: at a random moment. */
  readonly point: KillPoint | undefined;
  readonly lookout: Lookout;
  readonly crowd: Crowd;
  readonly rows: Map<string, Row>;
  readonly end: AbortSignal;
}

/** Kills the worker at the point, or where that is not seen in time, then. Returns the one that takes over. */
async function killAt(stack: HeygenStack, { worker, point, lookout, crowd, rows, end }: Kill): Promise<GuardedProcess> {
  const kill = (): void => void process.kill(worker.pid, 'SIGKILL');
  let isInTime = true;
  if (point) isInTime = await lookout.at(point, pointLimitMs, kill);
  // A random kill does not wait for a step.
  else await sleep(Math.random() * longestRandomMs, undefined, { signal: end }).catch(() => undefined);
  if (!point || !isInTime) kill();
  await worker.exited;
  const cut = await crowd.countCuts();
  const name = point?.name ?? 'at random';
  const row = rows.get(name) ?? { kills: 0, missed: 0, cut: 0 };
  rows.set(name, { kills: row.kills + 1, missed: row.missed + (isInTime ? 0 : 1), cut: row.cut + cut });
  return stack.startWorker();
}

function isSeen(row: Row | undefined): boolean {
  return row !== undefined && row.kills > row.missed;
}

function* endlessly<Item>(items: readonly Item[]): Generator<Item, never> {
  for (;;) yield* items;
}

function printRows(rows: ReadonlyMap<string, Row>): void {
  console.log('| killed when | kills | not seen in time | runs cut off |\n|---|---|---|---|');
  for (const [name, { kills, missed, cut }] of rows) console.log(`| ${name} | ${kills} | ${missed} | ${cut} |`);
}

async function judge(
  stack: HeygenStack,
  jobs: readonly JobView[],
  { cutRuns, lostLocks, seconds }: { readonly cutRuns: number; readonly lostLocks: number; readonly seconds: number },
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
  const books = await stack.books();
  const told = Math.round(jobs.reduce((sum, { cost_usd: usd }) => sum + (usd ?? 0), 0) * 1e6);
  const leftovers = await stack.leftovers();
  const figures = [
    jobs.length,
    `${cutRuns} of ${wantedRuns}`,
    lostLocks,
    completed,
    once,
    books.charges,
    books.walletMicros,
    books.spentMicros,
    told,
    books.reservedMicros,
    books.placesHeld,
    books.pendingSettlements,
    leftovers.length,
    seconds.toFixed(0),
  ];
  console.log(
    '\n| jobs | runs cut off | locks lost | completed by HeyGen | with one operation | billed | wallet, µ$ | ledger, µ$ | reported by jobs, µ$ | reserved, µ$ | slots held | pending settlements | leftovers | s |',
  );
  console.log(`|${'---|'.repeat(figures.length)}\n| ${figures.join(' | ')} |`);
  if (leftovers.length > 0) console.log(leftovers.join('\n'));
  return (
    completed === jobs.length &&
    once === jobs.length &&
    books.charges === jobs.length &&
    books.walletMicros === books.spentMicros &&
    told === books.walletMicros &&
    books.reservedMicros === 0 &&
    books.placesHeld === 0 &&
    books.pendingSettlements === 0 &&
    leftovers.length === 0 &&
    stack.standin.control.leaks().length === 0
  );
}
