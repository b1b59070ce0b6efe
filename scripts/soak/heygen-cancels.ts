import { setTimeout as sleep } from 'node:timers/promises';
import { toJobView } from '@lipsync/core/host';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import { openLookout, requestPoints, writePoints, type KillPoint, type Lookout } from './heygen-kill-points.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';
import { descendantsRunning } from './processes.ts';

const longestMs = 15 * 60_000;
const pointLimitMs = 30_000;
const answerDelayMs = 150;
/** Longer than it takes a worker to look whether its job was canceled: without a call in between it is not told. */
const downloadDelayMs = 1_500;
/** Bills that stay open are asked for by the worker's maintenance. */
const booksLimitMs = 60_000;

/** After these a cancel may come too late; then the job completes and costs what it costs. */
const late = new Set(['download answered', 'settled', 'attempt ended', 'output published']);

type Sample = { readonly videoPath: string; readonly audioPath: string };

/** Cancels a job at every step at HeyGen, while it waits for a slot and while HeyGen works: nothing may keep running, and wallet and ledger must agree. */
export async function proveHeygenCancels(): Promise<boolean> {
  const signal = AbortSignal.timeout(longestMs);
  const stack = await startHeygenStack(
    { standin: { settings: { pace: paceByReads } }, environment: { HEYGEN_MAX_CONCURRENT: '1' } },
    signal,
  );
  const { control } = stack.standin;
  const lookout = await openLookout({ control, redisUrl: stack.redisUrl, outputDir: stack.outputDir });
  const worker = await stack.startWorker();
  try {
    const sample = await shortenSample(stack.folder, 1);
    console.log(
      '| canceled when | job | operation at HeyGen | processes of the job left | s until then |\n|---|---|---|---|---|',
    );
    let holds = true;
    for (const point of [...requestPoints, ...writePoints].filter(({ name }) => name !== 'completed')) {
      for (const route of ['upload', 'create', 'get'] as const)
        control.addFaults({ match: { route }, fault: { kind: 'delay', delayMs: answerDelayMs }, times: 'always' });
      control.addFaults({
        match: { route: 'download' },
        fault: { kind: 'delay', delayMs: downloadDelayMs },
        times: 'always',
      });
      holds = (await cancelAt(stack, lookout, sample, point)) && holds;
      control.clearFaults();
    }
    holds = (await cancelWaiting(stack, sample, signal)) && holds;
    return (await judgeBooks(stack, signal)) && holds;
  } finally {
    lookout.end();
    await worker.stop();
    await stack.stop();
  }
}

async function cancelAt(stack: HeygenStack, lookout: Lookout, sample: Sample, point: KillPoint): Promise<boolean> {
  let id = '';
  let sinceMs = 0;
  let answer = Promise.resolve(0);
  const sight = lookout.at(point, pointLimitMs, () => {
    sinceMs = performance.now();
    answer = cancel(stack, id);
  });
  ({ id } = await stack.client.submit(sample, { method: 'heygen' }));
  const isSeen = await sight;
  if (!isSeen) console.log(`| ${point.name} (not seen) | | | | |`);
  await answer;
  const job = await stack.client.follow(id, () => undefined);
  return (await report(stack, point.name, job, performance.now() - sinceMs)) && isSeen;
}

/** One that HeyGen works on without an end, and one in line behind it. */
async function cancelWaiting(stack: HeygenStack, sample: Sample, signal: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
  const stuck = await stack.client.submit(sample, { method: 'heygen' });
  while (!control.operations().operations.some(({ callbackId }) => callbackId === stuck.id))
    await sleep(100, undefined, { signal });
  const waiting = await stack.client.submit(sample, { method: 'heygen' });
  while (typeof (await stack.store.get(waiting.id))?.parkedUntilMs !== 'number')
    await sleep(100, undefined, { signal });
  let holds = true;
  for (const [name, { id }] of [
    ['waiting for a slot', waiting],
    ['HeyGen works on it', stuck],
  ] as const) {
    const sinceMs = performance.now();
    await cancel(stack, id);
    const job = await stack.client.follow(id, () => undefined);
    holds = (await report(stack, name, job, performance.now() - sinceMs)) && holds;
  }
  return holds;
}

async function cancel({ url }: HeygenStack, id: string): Promise<number> {
  return (await fetch(`${url}/lipsync/${id}/cancel`, { method: 'POST' })).status;
}

async function report({ standin }: HeygenStack, name: string, job: JobView, elapsedMs: number): Promise<boolean> {
  const operationsOf = () => standin.control.operations().operations.filter(({ callbackId }) => callbackId === job.id);
  const isOver = (): boolean =>
    operationsOf().every(
      ({ deletedAt, status }) => deletedAt !== null || status === 'completed' || status === 'failed',
    );
  const left = descendantsRunning(job.id).length;
  // One that came to be after its job was canceled is found by the worker's maintenance.
  for (const endMs = performance.now() + booksLimitMs; performance.now() < endMs && !isOver();) await sleep(500);
  const [operations, isGone] = [operationsOf(), isOver()];
  const what =
    operations.map(({ status, deletedAt }) => (deletedAt === null ? status : 'deleted')).join(', ') || 'none';
  const isEnded = job.status === 'canceled' || (job.status === 'completed' && late.has(name));
  console.log(
    `| ${name} | ${job.status} | ${what} | ${left} | ${(elapsedMs / 1000).toFixed(1)} |${isEnded && isGone && left === 0 ? '' : ' NOT AS IT MUST BE'}`,
  );
  return isEnded && isGone && left === 0;
}

async function judgeBooks(stack: HeygenStack, signal: AbortSignal): Promise<boolean> {
  let books = await stack.books();
  for (
    const endMs = performance.now() + booksLimitMs;
    performance.now() < endMs && (books.pendingSettlements > 0 || books.reservedMicros > 0);
    books = await stack.books()
  )
    await sleep(1_000, undefined, { signal });
  const leftovers = (await stack.leftovers()).length;
  const costs = (await stack.store.list({ limit: 100 })).records.map((record) => toJobView(record, null).cost_usd);
  const toldMicros = Math.round(costs.reduce<number>((sum, usd) => sum + (usd ?? 0), 0) * 1e6);
  const unknown = costs.filter((usd) => usd === null).length;
  // One that came to be while its job was being canceled included.
  const { runningNow } = stack.standin.control.operations();
  console.log(
    '\n| wallet, µ$ | ledger, µ$ | reported by jobs, µ$ | jobs with unknown cost | reserved, µ$ | slots held | pending settlements | operations still running | leftovers |\n|---|---|---|---|---|---|---|---|---|',
  );
  console.log(
    `| ${[books.walletMicros, books.spentMicros, toldMicros, unknown, books.reservedMicros, books.placesHeld, books.pendingSettlements, runningNow, leftovers].join(' | ')} |`,
  );
  return (
    runningNow === 0 &&
    unknown === 0 &&
    toldMicros === books.walletMicros &&
    books.walletMicros === books.spentMicros &&
    books.reservedMicros === 0 &&
    books.placesHeld === 0 &&
    books.pendingSettlements === 0 &&
    leftovers === 0
  );
}
