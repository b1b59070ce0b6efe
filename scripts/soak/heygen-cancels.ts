import { setTimeout as sleep } from 'node:timers/promises';
import { toJobView } from '@lipsync/core/host';
import type { JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import {
  openKillPointWatcher,
  requestPoints,
  writePoints,
  type KillPoint,
  type KillPointWatcher,
} from './heygen-kill-points.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';
import { descendantsRunning } from './processes.ts';

const timeLimitMs = 15 * 60_000;
const pointLimitMs = 30_000;
const responseDelayMs = 150;
/** Longer than the interval at which a worker polls for a cancel, because no other call in between reveals it. */
const downloadDelayMs = 1_500;
/** The worker's maintenance task reconciles pending settlements within this time. */
const reconcileLimitMs = 60_000;

/** At these steps a cancel may be too late: the job then completes and is charged. */
const lateSteps = new Set(['download answered', 'settled', 'attempt ended', 'output published']);

type Sample = { readonly videoPath: string; readonly audioPath: string };

/**
 * Cancels a job at every step, while it waits for a slot, and while its operation runs. No operation or process may
 * keep running, and the ledger must equal the stand-in's wallet.
 */
export async function proveHeygenCancels(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack(
    { standin: { settings: { pace: paceByReads } }, environment: { HEYGEN_MAX_CONCURRENT: '1' } },
    signal,
  );
  const { control } = stack.standin;
  const watcher = await openKillPointWatcher({ control, redisUrl: stack.redisUrl, outputDir: stack.outputDir });
  const worker = await stack.startWorker();
  try {
    const sample = await shortenSample(stack.folder, 1);
    console.log(
      '| canceled when | job | operation at HeyGen | processes of the job left | s until then |\n|---|---|---|---|---|',
    );
    let holds = true;
    for (const point of [...requestPoints, ...writePoints].filter(({ name }) => name !== 'completed')) {
      for (const route of ['upload', 'create', 'get'] as const)
        control.addFaults({ match: { route }, fault: { kind: 'delay', delayMs: responseDelayMs }, times: 'always' });
      control.addFaults({
        match: { route: 'download' },
        fault: { kind: 'delay', delayMs: downloadDelayMs },
        times: 'always',
      });
      holds = (await cancelAt(stack, watcher, sample, point)) && holds;
      control.clearFaults();
    }
    holds = (await cancelWaiting(stack, sample, signal)) && holds;
    return (await checkBalances(stack, signal)) && holds;
  } finally {
    watcher.close();
    await worker.stop();
    await stack.stop();
  }
}

async function cancelAt(
  stack: HeygenStack,
  watcher: KillPointWatcher,
  sample: Sample,
  point: KillPoint,
): Promise<boolean> {
  // A worker can reach the first steps before the response with the id of the job has arrived.
  const submitted = Promise.withResolvers<string>();
  let sinceMs = 0;
  let canceling = Promise.resolve(0);
  const reached = watcher.waitFor(point, pointLimitMs, () => {
    sinceMs = performance.now();
    canceling = submitted.promise.then((id) => cancel(stack, id));
  });
  const { id } = await stack.submit(sample, { method: 'heygen' });
  submitted.resolve(id);
  const isReached = await reached;
  if (!isReached) console.log(`| ${point.name} (not seen) | | | | |`);
  await canceling;
  const job = await stack.waitFor(id);
  return (await report(stack, point.name, job, performance.now() - sinceMs)) && isReached;
}

/** Cancels a job that waits for a slot, and the job whose operation never ends and holds that slot. */
async function cancelWaiting(stack: HeygenStack, sample: Sample, signal: AbortSignal): Promise<boolean> {
  const { control } = stack.standin;
  control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
  const stuck = await stack.submit(sample, { method: 'heygen' });
  while (!control.operations().operations.some(({ callbackId }) => callbackId === stuck.id))
    await sleep(100, undefined, { signal });
  const waiting = await stack.submit(sample, { method: 'heygen' });
  while (typeof (await stack.store.get(waiting.id))?.parkedUntilMs !== 'number')
    await sleep(100, undefined, { signal });
  let holds = true;
  for (const [name, { id }] of [
    ['waiting for a slot', waiting],
    ['operation running', stuck],
  ] as const) {
    const sinceMs = performance.now();
    await cancel(stack, id);
    const job = await stack.waitFor(id);
    holds = (await report(stack, name, job, performance.now() - sinceMs)) && holds;
  }
  return holds;
}

async function cancel({ url }: HeygenStack, id: string): Promise<number> {
  return (await fetch(`${url}/lipsync/${id}/cancel`, { method: 'POST' })).status;
}

async function report({ standin }: HeygenStack, name: string, job: JobView, elapsedMs: number): Promise<boolean> {
  const operationsOf = () => standin.control.operations().operations.filter(({ callbackId }) => callbackId === job.id);
  const haveAllEnded = (): boolean =>
    operationsOf().every(
      ({ deletedAt, status }) => deletedAt !== null || status === 'completed' || status === 'failed',
    );
  const left = descendantsRunning(job.id).length;
  // The worker's maintenance task finds an operation that was created after its job was canceled.
  for (const endMs = performance.now() + reconcileLimitMs; performance.now() < endMs && !haveAllEnded();)
    await sleep(500);
  const [operations, isStopped] = [operationsOf(), haveAllEnded()];
  const states =
    operations.map(({ status, deletedAt }) => (deletedAt === null ? status : 'deleted')).join(', ') || 'none';
  const isEnded = job.status === 'canceled' || (job.status === 'completed' && lateSteps.has(name));
  console.log(
    `| ${name} | ${job.status} | ${states} | ${left} | ${(elapsedMs / 1000).toFixed(1)} |${isEnded && isStopped && left === 0 ? '' : ' UNEXPECTED'}`,
  );
  return isEnded && isStopped && left === 0;
}

async function checkBalances(stack: HeygenStack, signal: AbortSignal): Promise<boolean> {
  let balances = await stack.readBalances();
  for (
    const endMs = performance.now() + reconcileLimitMs;
    performance.now() < endMs && (balances.pendingSettlements > 0 || balances.reservedMicros > 0);
    balances = await stack.readBalances()
  )
    await sleep(1_000, undefined, { signal });
  const leftovers = (await stack.leftovers()).length;
  const costs = (await stack.store.list({ kind: 'lipsync', limit: 100 })).records.map(
    (record) => toJobView(record, null).cost_usd,
  );
  const reportedMicros = Math.round(costs.reduce<number>((sum, usd) => sum + (usd ?? 0), 0) * 1e6);
  const unknown = costs.filter((usd) => usd === null).length;
  const { runningNow } = stack.standin.control.operations();
  console.log(
    '\n| wallet, µ$ | ledger, µ$ | reported by jobs, µ$ | jobs with unknown cost | reserved, µ$ | slots held | pending settlements | operations still running | leftovers |\n|---|---|---|---|---|---|---|---|---|',
  );
  console.log(
    `| ${[balances.walletMicros, balances.spentMicros, reportedMicros, unknown, balances.reservedMicros, balances.slotsHeld, balances.pendingSettlements, runningNow, leftovers].join(' | ')} |`,
  );
  return (
    runningNow === 0 &&
    unknown === 0 &&
    reportedMicros === balances.walletMicros &&
    balances.walletMicros === balances.spentMicros &&
    balances.reservedMicros === 0 &&
    balances.slotsHeld === 0 &&
    balances.pendingSettlements === 0 &&
    leftovers === 0
  );
}
