import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { openLookout, requestPoints, writePoints, type KillPoint, type Lookout } from './heygen-kill-points.ts';
import { proveLocalKills } from './heygen-kills-local.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';
import { samplePaths } from './scratch-stack.ts';

const wantedRuns = Number(process.env['HEYGEN_KILL_RUNS'] ?? 200);
const wantedLocalRuns = Number(process.env['HEYGEN_KILL_LOCAL_RUNS'] ?? 20);
const jobsPerRound = 8;
const longestMs = 30 * 60_000;
const pointLimitMs = 15_000;
const longestRandomMs = 3_000;
/** Time in which a kill finds the worker between being asked and answering. */
const answerDelayMs = 60;

/** A job is given up after five crashes; at most so many kills may find it at work. */
const killsPerRound = 3;

type Row = { kills: number; missed: number; cut: number };

/**
 * Kills the worker with SIGKILL at every step of HeyGen jobs and at random moments, until so many runs of jobs were cut
 * off. Every job must complete, be billed once, and the ledger must say what the stand-in was paid.
 */
export async function proveHeygenKills(): Promise<boolean> {
  const signal = AbortSignal.timeout(longestMs);
  const stack = await startHeygenStack({
    standin: { settings: { pace: paceByReads, maxConcurrent: 100 } }, environment: { HEYGEN_MAX_CONCURRENT: String(2 * jobsPerRound) },
  }, signal);
  try {
    const holds = await killThroughQueue(stack, signal);
    return (await proveLocalKills(wantedLocalRuns)) && holds;
  } finally {
    await stack.stop();
  }
}

async function killThroughQueue(stack: HeygenStack, signal: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  for (const route of ['upload', 'create', 'get'] as const) control.addFaults({ match: { route }, fault: { kind: 'delay', delayMs: answerDelayMs }, times: 'always' });
  const samples = await Promise.all([0.8, 1, 1.2].map((seconds) => shortenSample(stack.folder, seconds)));
  const lookout = await openLookout({ control, redisUrl: stack.redisUrl, outputDir: stack.outputDir });
  const rows = new Map<string, Row>();
  const jobs: JobView[] = [];
  let cutRuns = 0;
  let worker = await stack.startWorker();
  const startedMs = performance.now();
  try {
    for (const points = endlessly([...requestPoints, ...writePoints]); cutRuns < wantedRuns;) {
      const accepted = await Promise.all(Array.from({ length: jobsPerRound }, (_, index) => stack.client.submit(samples[index % samples.length] ?? samplePaths, { method: 'heygen' })));
      const ids = accepted.map(({ id }) => id);
      for (let kill = 0; kill < killsPerRound; kill += 1) {
        const point = kill === killsPerRound - 1 ? undefined : points.next().value;
        worker = await killAt(stack, { worker, point, lookout, ids, rows, signal });
      }
      jobs.push(...(await Promise.all(ids.map((id) => stack.client.follow(id, () => undefined)))));
      const crashes = await crashesOf(stack, ids);
      cutRuns += crashes;
      process.stderr.write(`${cutRuns} runs cut off, ${jobs.length} jobs, ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
    }
  } finally {
    lookout.end();
    await worker.stop();
  }
  printRows(rows);
  return judge(stack, jobs, { cutRuns, seconds: (performance.now() - startedMs) / 1000 });
}

interface Kill {
  readonly worker: GuardedProcess;
  /** Absent: at a random moment. */
  readonly point: KillPoint | undefined;
  readonly lookout: Lookout;
  readonly ids: readonly string[];
  readonly rows: Map<string, Row>;
  readonly signal: AbortSignal;
}

/** Kills the worker at the point, or where that is not seen in time, then. Returns the one that takes over. */
async function killAt(stack: HeygenStack, { worker, point, lookout, ids, rows, signal }: Kill): Promise<GuardedProcess> {
  const before = await crashesOf(stack, ids);
  const kill = (): void => void process.kill(worker.pid, 'SIGKILL');
  let isSeen = true;
  if (point) isSeen = await lookout.at(point, pointLimitMs, kill);
  else await sleep(Math.random() * longestRandomMs, undefined, { signal });
  if (!point || !isSeen) kill();
  await worker.exited;
  const next = await stack.startWorker();
  const row = rows.get(point?.name ?? 'at random') ?? { kills: 0, missed: 0, cut: 0 };
  // A run that was cut off is told by the one that takes over; the queue needs a moment to notice.
  await sleep(3_000, undefined, { signal });
  const cut = (await crashesOf(stack, ids)) - before;
  rows.set(point?.name ?? 'at random', { kills: row.kills + 1, missed: row.missed + (isSeen ? 0 : 1), cut: row.cut + cut });
  return next;
}

async function crashesOf({ store }: HeygenStack, ids: readonly string[]): Promise<number> {
  const records = await Promise.all(ids.map((id) => store.get(id)));
  return records.reduce((sum, record) => sum + (record?.crashes ?? 0), 0);
}

function* endlessly<Item>(items: readonly Item[]): Generator<Item, never> {
  for (;;) yield* items;
}

function printRows(rows: ReadonlyMap<string, Row>): void {
  console.log('| killed when | kills | not seen in time | runs cut off |\n|---|---|---|---|');
  for (const [name, { kills, missed, cut }] of rows) console.log(`| ${name} | ${kills} | ${missed} | ${cut} |`);
}

async function judge(stack: HeygenStack, jobs: readonly JobView[], { cutRuns, seconds }: { readonly cutRuns: number; readonly seconds: number }): Promise<boolean> {
  const { operations } = stack.standin.control.operations();
  const operationsOf = new Map<string | null, number>();
  for (const { callbackId } of operations) operationsOf.set(callbackId, (operationsOf.get(callbackId) ?? 0) + 1);
  const completed = jobs.filter(({ status, method_used: method }) => status === 'completed' && method === 'heygen').length;
  for (const { id, error } of jobs.filter(({ status }) => status !== 'completed')) console.log(`${id} did not complete: ${error?.code}: ${error?.message}`);
  const once = jobs.filter(({ id }) => operationsOf.get(id) === 1).length;
  const books = await stack.books();
  const told = Math.round(jobs.reduce((sum, { cost_usd: usd }) => sum + (usd ?? 0), 0) * 1e6);
  const leftovers = await stack.leftovers();
  const figures = [jobs.length, cutRuns, completed, once, books.charges, books.walletMicros, books.spentMicros, told, books.reservedMicros, books.placesHeld, books.openBills, leftovers.length, seconds.toFixed(0)];
  console.log('\n| jobs | runs cut off | completed by HeyGen | with one operation | billed | wallet, µ$ | ledger, µ$ | jobs say, µ$ | reserved, µ$ | places held | open bills | leftovers | s |');
  console.log(`|${'---|'.repeat(figures.length)}\n| ${figures.join(' | ')} |`);
  if (leftovers.length > 0) console.log(leftovers.join('\n'));
  return completed === jobs.length && once === jobs.length && books.charges === jobs.length && books.walletMicros === books.spentMicros && told === books.walletMicros
    && books.reservedMicros === 0 && books.placesHeld === 0 && books.openBills === 0 && leftovers.length === 0 && stack.standin.control.leaks().length === 0;
}
