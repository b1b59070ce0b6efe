import { isTerminal, isUnderWay, LipsyncError, type Clock, type JobRecord, type JobStore } from '@lipsync/core';
import type { Redis } from 'ioredis';
import { laneOf } from './job-catalogue.ts';
import { sweepLockKey } from './job-keys.ts';
import type { QueueEntries } from './queue-entries.ts';

export interface Swept {
  /** Jobs that no queue was going to run and that are queued now. */
  readonly requeued: number;
  /** Jobs that were still waiting at their deadline and have failed now. */
  readonly expired: number;
}

export interface SweepDependencies {
  readonly connection: Redis;
  readonly store: JobStore;
  readonly entries: QueueEntries;
  readonly clock: Clock;
  /** Jobs younger than this are taken to be on their way into the queue. */
  readonly requeueAfterMs: number;
}

/** A lock that is not given back: whatever the number of workers, there is one sweep in this time. */
const sweepLockMs = 5_000;
const batchSize = 50;
const pageSize = 100;

/**
 * Mends what is amiss between records and queues. Does nothing while or soon after another process does it; correct
 * also when two do it at once. Throws what Redis and the store throw.
 */
export async function sweepJobs(dependencies: SweepDependencies): Promise<Swept> {
  const lock = await dependencies.connection.set(sweepLockKey, 'held', 'PX', sweepLockMs, 'NX');
  if (lock !== 'OK') return { requeued: 0, expired: 0 };
  const expired = await failOverdue(dependencies);
  return { requeued: await requeueMissing(dependencies), expired };
}

async function failOverdue({ store, entries, clock }: SweepDependencies): Promise<number> {
  let expired = 0;
  for await (const record of queuedRecords(store)) {
    const { id, runs, deadlineAtMs } = record;
    const atMs = clock.nowMs();
    // What it began elsewhere is for a worker to end.
    if (deadlineAtMs === null || deadlineAtMs > atMs || isUnderWay(record)) continue;
    // Not heard when a run began meanwhile: that run keeps the deadline itself.
    const message = 'The job was still waiting at its deadline. Allow it more time, or try when there is less to do.';
    const ended = await store.append(id, {
      type: 'failed',
      run: runs,
      atMs,
      code: 'deadline_exceeded',
      message,
      warnings: [],
    });
    if (ended.status !== 'failed') continue;
    expired += 1;
    await entries.remove(id);
  }
  return expired;
}

async function* queuedRecords(store: JobStore): AsyncGenerator<JobRecord> {
  let cursor: string | null = null;
  do {
    const page = await store.list({ status: 'queued', limit: pageSize, ...(cursor === null ? {} : { cursor }) });
    yield* page.records;
    cursor = page.nextCursor;
  } while (cursor !== null);
}

async function requeueMissing(dependencies: SweepDependencies): Promise<number> {
  // Records first: what is queued after this look is missing from the records, not from the queues.
  const unfinished = await dependencies.store.unfinished();
  if (unfinished.length === 0) return 0;
  const live = await dependencies.entries.live();
  const missing = unfinished.filter((id) => !live.has(id));
  let requeued = 0;
  for (let start = 0; start < missing.length; start += batchSize) {
    const added = await Promise.all(
      missing.slice(start, start + batchSize).map((id) => requeueIfReadable(dependencies, id)),
    );
    requeued += added.filter(Boolean).length;
  }
  return requeued;
}

/** One record that cannot be read does not keep the others from being requeued. */
async function requeueIfReadable(dependencies: SweepDependencies, id: string): Promise<boolean> {
  try {
    return await requeue(dependencies, id);
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'internal') return false;
    throw error;
  }
}

/** Looks at one job alone and again, since it may have been queued, taken up or finished in the meantime. */
async function requeue({ store, entries, clock, requeueAfterMs }: SweepDependencies, id: string): Promise<boolean> {
  const before = await store.get(id);
  if (!before || isTerminal(before.status) || before.createdAtMs > clock.nowMs() - requeueAfterMs) return false;
  if (await entries.isLive(id)) return false;
  // Read again: a worker may have finished both record and queue job between the two looks.
  const record = await store.get(id);
  if (!record || isTerminal(record.status)) return false;
  // An ended queue job keeps its id taken. Should another sweep have queued the job afresh just now, this takes it out
  // before it starts, or finds it held by a worker.
  if (!(await entries.remove(id))) return false;
  await entries.add(record, laneOf(record));
  return true;
}
