import { setTimeout as delay } from 'node:timers/promises';
import {
  isTerminal,
  needsWorkerToEnd,
  UnreadableRecordError,
  type Clock,
  type JobRecord,
  type JobStore,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { laneOf } from './job-catalog.ts';
import { sweepLockKey, sweepPositionKey } from './job-keys.ts';
import { isHeldByPause } from './paused-batches.ts';
import type { QueueEntries } from './queue-entries.ts';
import type { RedisJobStore, UnfinishedPage } from './redis-job-store.ts';

export interface SweptJobs {
  /** Number of unfinished jobs that no queue held and that are queued now. */
  readonly requeued: number;
  /** Number of jobs that still waited at their deadline and have failed now. */
  readonly expired: number;
}

export interface SweepOptions {
  readonly connection: Redis;
  readonly store: JobStore & Pick<RedisJobStore, 'listOverdue' | 'forgetDeadlines' | 'listUnfinished'>;
  readonly entries: QueueEntries;
  readonly clock: Clock;
  /** Younger jobs are ignored: they may be on their way into the queue. */
  readonly requeueAfterMs: number;
  readonly limits?: SweepLimits;
}

/** Bounds of the work of one sweep. */
export interface SweepLimits {
  /** Unfinished jobs that are read at once. */
  readonly pageSize: number;
  /** A sweep ends after the page that reaches this number of jobs. */
  readonly maxCompared: number;
  /** A sweep ends after the page that reaches this number of jobs whose records it had to read. */
  readonly maxChecked: number;
}

/** While jobs are read or compared, no job of the process starts, so pages are small. */
const defaultLimits: SweepLimits = { pageSize: 100, maxCompared: 20_000, maxChecked: 2_000 };
/** Between two pages, other work of the process and of Redis proceeds. */
const pauseMs = 10;

/** The lock is not released but expires, so that there is one sweep per interval, whatever the number of workers. */
const sweepLockMs = 5_000;
/** A sweep extends its lock after the page that reaches this time, so that no other process sweeps meanwhile. */
const extendLockAfterMs = 1_000;
const batchSize = 50;
/** Overdue jobs that one sweep looks at. */
const maxOverdue = 1_000;

/**
 * Repairs differences between records and queues. Does nothing while or soon after another process sweeps, and stays
 * correct if two sweep at once. A sweep compares a limited number of unfinished jobs and stores where it stops; the next
 * one, of any process, continues there. So each of `n` jobs is compared within `ceil(n / maxCompared) + 1` sweeps, plus
 * one per `maxChecked` jobs that no queue holds. Throws `resource_exhausted` when Redis or the store is unavailable.
 */
export async function sweepJobs(options: SweepOptions): Promise<SweptJobs> {
  const lock = await options.connection.set(sweepLockKey, 'held', 'PX', sweepLockMs, 'NX');
  if (lock !== 'OK') return { requeued: 0, expired: 0 };
  const expired = await failExpired(options);
  return { requeued: await requeueMissing(options), expired };
}

/** Reads only jobs whose deadline has passed, so that its cost does not depend on the length of the queue. */
async function failExpired(options: SweepOptions): Promise<number> {
  const { store, clock } = options;
  const ended: string[] = [];
  let expired = 0;
  for (const id of await store.listOverdue(clock.nowMs(), maxOverdue)) {
    const record = await readIfPossible(store, id);
    if (record === undefined) continue;
    if (record === null || isTerminal(record.status)) ended.push(id);
    else if (record.status === 'queued' && (await failIfExpired(record, options))) expired += 1;
  }
  await store.forgetDeadlines(ended);
  return expired;
}

/** Null for a job that does not exist; undefined for a record of another version. */
async function readIfPossible(store: JobStore, id: string): Promise<JobRecord | null | undefined> {
  try {
    return (await store.get(id)) ?? null;
  } catch (error) {
    if (error instanceof UnreadableRecordError) return undefined;
    throw error;
  }
}

async function failIfExpired(record: JobRecord, options: SweepOptions): Promise<boolean> {
  const { store, entries, clock } = options;
  const { id, runs: run, deadlineAtMs } = record;
  const atMs = clock.nowMs();
  if (deadlineAtMs === null || deadlineAtMs > atMs || record.kind === 'batch') return false;
  // A worker records the pending settlement of a remote operation, and delivers or deletes a kept take.
  if (needsWorkerToEnd(record)) {
    await endInCloudLane(record, options);
    return false;
  }
  const message = 'The deadline passed while the job was queued. Allow more time, or retry when the load is lower.';
  // Ignored if a run started meanwhile: that run enforces the deadline itself.
  const ended = await store.append(id, {
    type: 'failed',
    run,
    atMs,
    code: 'deadline_exceeded',
    message,
    warnings: [],
  });
  if (ended.status !== 'failed') return false;
  await entries.remove(id);
  return true;
}

/**
 * Moves an expired job to the lane whose workers are soon free: it is not rendered any more. A job that is lost between
 * the steps is requeued as a missing one.
 */
async function endInCloudLane(record: JobRecord, { store, entries }: SweepOptions): Promise<void> {
  if (record.needs !== 'inline' || !(await entries.remove(record.id))) return;
  const moved = await store.append(record.id, { type: 'transferred', run: record.runs, needs: 'remote' });
  if (moved.status === 'queued') await entries.add(moved, laneOf(moved));
}

/** Continues where the last sweep stopped; a pass that reaches the youngest job ends, and the next sweep begins another. */
async function requeueMissing(options: SweepOptions): Promise<number> {
  const { clock, connection, entries, store, limits = defaultLimits } = options;
  let position: string | null = (await connection.get(sweepPositionKey)) ?? '';
  let [compared, checked, requeued] = [0, 0, 0];
  let extendedAtMs = clock.nowMs();
  while (position !== null && compared < limits.maxCompared && checked < limits.maxChecked) {
    if (compared > 0) await delay(pauseMs);
    // Records first: a job that is queued after this read is missing here, not in the queues.
    const page: UnfinishedPage = await store.listUnfinished(limits.pageSize, position);
    const missing = await entries.filterNotWaiting(page.ids);
    requeued += await requeueAll(options, missing);
    compared += page.ids.length;
    checked += missing.length;
    position = page.position;
    // After the page: the sweep after a killed one repeats it.
    await storePosition(connection, position);
    if (clock.nowMs() - extendedAtMs < extendLockAfterMs) continue;
    await connection.set(sweepLockKey, 'held', 'PX', sweepLockMs);
    extendedAtMs = clock.nowMs();
  }
  return requeued;
}

async function storePosition(connection: Redis, position: string | null): Promise<void> {
  await (position === null ? connection.del(sweepPositionKey) : connection.set(sweepPositionKey, position));
}

async function requeueAll(options: SweepOptions, missing: readonly string[]): Promise<number> {
  let requeued = 0;
  for (let start = 0; start < missing.length; start += batchSize) {
    const batch = missing.slice(start, start + batchSize);
    const added = await Promise.all(batch.map((id) => requeueIfReadable(options, id)));
    requeued += added.filter(Boolean).length;
  }
  return requeued;
}

/** False for an unreadable record, so that it does not keep other jobs from being requeued. */
async function requeueIfReadable(options: SweepOptions, id: string): Promise<boolean> {
  try {
    return await requeue(options, id);
  } catch (error) {
    if (error instanceof UnreadableRecordError) return false;
    throw error;
  }
}

/** Checks one job again by itself: it may have been queued, started or finished since the ids were read. */
async function requeue({ store, entries, clock, requeueAfterMs }: SweepOptions, id: string): Promise<boolean> {
  const before = await store.get(id);
  if (
    !before ||
    before.kind === 'batch' ||
    isTerminal(before.status) ||
    before.createdAtMs > clock.nowMs() - requeueAfterMs
  )
    return false;
  if ((await entries.isLive(id)) || (await isHeldByPause(store, id))) return false;
  // Read again: a worker may have finished both the record and the queue entry between the two checks.
  const record = await store.get(id);
  if (!record || isTerminal(record.status)) return false;
  // An ended entry keeps its id taken. If another sweep has just queued the job, this removes that entry before it
  // starts, or finds it held by a worker.
  if (!(await entries.remove(id))) return false;
  await entries.add(record, laneOf(record));
  return true;
}
