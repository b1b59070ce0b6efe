import { setTimeout as sleep } from 'node:timers/promises';
import type { JobRecord } from '@lipsync/core/host';
import { shortenSample } from '../lib/short-sample.ts';
import { heldMib, processorSeconds } from '../lib/watch-memory.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const jobCount = Number(process.env['HEYGEN_WAITING_JOBS'] ?? 2_000);
const maxConcurrent = 20;
const workerCount = 4;
const submittedAtOnce = 16;
/** Number of jobs that must complete after the stand-in resumes. */
const requiredCompletions = Math.min(jobCount, 2 * maxConcurrent);
const watchedMs = 60_000;
/** Longer than the poll interval of a job that waits for a slot. */
const resumeLimitMs = 120_000;
const timeLimitMs = 40 * 60_000;
const pollIntervalMs = 1_000;

/**
 * Lets thousands of jobs wait while the stand-in is stuck. Measures memory and CPU of the workers, and checks that the
 * concurrency limit holds and that all jobs resume after the workers were stopped, half of them by SIGKILL.
 */
export async function proveHeygenWaiting(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack(
    {
      standin: {
        settings: { pace: { by: 'reads', pendingReads: 0, runningReads: 0 }, maxConcurrent: 10 * maxConcurrent },
      },
      environment: {
        HEYGEN_MAX_CONCURRENT: String(maxConcurrent),
        HEYGEN_TIMEOUT_MS: '7200000',
        HEYGEN_POLL_INTERVAL_MS: '5000',
        QUEUE_LOCK_MS: '30000',
        QUEUE_STALLED_INTERVAL_MS: '5000',
      },
    },
    signal,
  );
  let workers: readonly GuardedProcess[] = [];
  try {
    workers = await startWorkers(stack);
    const idleMib = memoryOf(workers);
    stack.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' }, times: 'always' });
    const ids = await submitAll(stack);
    await waitUntilAll(stack, ids, isWaiting, 'wait', signal);
    const usage = await watchUsage(workers, signal);
    const before = new Map((await recordsOf(stack, ids)).map(({ id, runs }) => [id, runs]));
    workers.slice(0, 2).forEach(({ pid }) => process.kill(pid, 'SIGKILL'));
    await Promise.all(workers.map((worker) => worker.stop()));
    workers = await startWorkers(stack);
    const resumed = await countWithin(stack, ids, ({ id, runs }) => runs > (before.get(id) ?? 0), signal);
    const stuck = stack.standin.control.operations();
    stack.standin.control.clearFaults();
    stack.standin.control.release();
    const completed = await countWithin(
      stack,
      ids,
      ({ status }) => status === 'completed',
      signal,
      requiredCompletions,
    );
    const { mostAtOnce } = stack.standin.control.operations();
    console.log('| | MiB each, idle | MiB each, waiting | CPU of all four while waiting |\n|---|---|---|---|');
    console.log(
      `| ${workerCount} workers | ${idleMib.map(round).join(' ')} | ${usage.mib.map(round).join(' ')} | ${(usage.processors * 100).toFixed(1)} % of one core |`,
    );
    console.log(
      '\n| jobs | operations while stuck | most operations at once | allowed | polled again after the restart | completed after the release |\n|---|---|---|---|---|---|',
    );
    console.log(
      `| ${ids.length} | ${stuck.runningNow} | ${mostAtOnce} | ${maxConcurrent} | ${resumed} | ${completed} |`,
    );
    return (
      mostAtOnce === Math.min(maxConcurrent, jobCount) &&
      stuck.operations.length === Math.min(maxConcurrent, jobCount) &&
      resumed === ids.length &&
      completed >= requiredCompletions
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await stack.stop();
  }
}

function startWorkers(stack: HeygenStack): Promise<readonly GuardedProcess[]> {
  return Promise.all(Array.from({ length: workerCount }, () => stack.startWorker()));
}

async function submitAll(stack: HeygenStack): Promise<readonly string[]> {
  const sample = await shortenSample(stack.folder, 1);
  const ids: string[] = [];
  let accepted = 0;
  const submitSome = async (): Promise<void> => {
    while (accepted < jobCount) {
      accepted += 1;
      const { id } = await stack.submit(sample, { method: 'heygen' });
      ids.push(id);
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: Math.min(submittedAtOnce, jobCount) }, submitSome));
  console.log(`${ids.length} jobs accepted in ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
  return ids;
}

/** Whether the job waits for its operation or for a slot and no worker runs it. */
function isWaiting({ status, parkedUntilMs }: JobRecord): boolean {
  return status === 'processing' && parkedUntilMs !== null;
}

async function recordsOf({ store }: HeygenStack, ids: readonly string[]): Promise<readonly JobRecord[]> {
  const records = await Promise.all(ids.map((id) => store.get(id)));
  return records.flatMap((record) => record ?? []);
}

/** Resolves when every job has met the condition once and all slots are in use. */
async function waitUntilAll(
  stack: HeygenStack,
  ids: readonly string[],
  isReached: (record: JobRecord) => boolean,
  what: string,
  signal: AbortSignal,
): Promise<void> {
  const left = new Set(ids);
  while (left.size > 0) {
    for (const record of await recordsOf(stack, [...left])) if (isReached(record)) left.delete(record.id);
    process.stderr.write(`${ids.length - left.size} of ${ids.length} jobs ${what}\n`);
    await sleep(pollIntervalMs, undefined, { signal });
  }
  while (stack.standin.control.operations().runningNow < Math.min(maxConcurrent, ids.length))
    await sleep(pollIntervalMs, undefined, { signal });
}

/** Counts the jobs that meet the condition within the time limit; stops at `enough`. */
async function countWithin(
  stack: HeygenStack,
  ids: readonly string[],
  isReached: (record: JobRecord) => boolean,
  signal: AbortSignal,
  enough = ids.length,
): Promise<number> {
  const left = new Set(ids);
  for (const endMs = performance.now() + resumeLimitMs; performance.now() < endMs && ids.length - left.size < enough;) {
    for (const record of await recordsOf(stack, [...left])) if (isReached(record)) left.delete(record.id);
    await sleep(pollIntervalMs, undefined, { signal });
  }
  return ids.length - left.size;
}

async function watchUsage(
  workers: readonly GuardedProcess[],
  signal: AbortSignal,
): Promise<{ readonly mib: readonly number[]; readonly processors: number }> {
  const used = (): number => workers.reduce((sum, { pid }) => sum + processorSeconds(pid), 0);
  const [startedMs, before] = [performance.now(), used()];
  await sleep(watchedMs, undefined, { signal });
  return { mib: memoryOf(workers), processors: (used() - before) / ((performance.now() - startedMs) / 1000) };
}

function memoryOf(workers: readonly GuardedProcess[]): readonly number[] {
  return workers.map(({ pid }) => heldMib(pid));
}

function round(mib: number): string {
  return mib.toFixed(0);
}
