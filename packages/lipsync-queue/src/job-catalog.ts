import { maxBatchItems, nextWork, type JobRecord, type JobWork, type RunnableKind } from '@lipsync/core/host';
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';

/**
 * Kinds of worker capacity: `fetch` downloads inputs, `cloud` waits for remote providers, `render` computes on this
 * machine, `webhook` sends messages to receivers of callers.
 */
export const lanes = ['fetch', 'cloud', 'render', 'webhook'] as const;
export type Lane = (typeof lanes)[number];

/** Lanes that an operator assigns to workers. */
export const workerLanes = ['cloud', 'render'] as const satisfies readonly Lane[];
export type WorkerLane = (typeof workerLanes)[number];

/** A worker that waits for remote servers also fetches inputs and sends webhooks, so that every installation does. */
export const queuesOfLane: Readonly<Record<WorkerLane, readonly Lane[]>> = Object.freeze({
  cloud: ['fetch', 'cloud', 'webhook'],
  render: ['render'],
});

/** BullMQ queue of each lane. Stored data: the names stay. */
export const queueNames: Readonly<Record<Lane, string>> = Object.freeze({
  fetch: 'lipsync-fetch',
  cloud: 'lipsync-cloud',
  render: 'lipsync-render',
  webhook: 'lipsync-webhook',
});

interface CatalogEntry {
  readonly payload: z.ZodType;
  readonly options: JobsOptions;
}

const hourSeconds = 3_600;

/** Payload of a job that has a record. Fields that a later version adds are ignored. */
export const recordedJobPayload = z.object({ jobId: z.string().min(1).max(100) });

const recordedJob = {
  payload: recordedJobPayload,
  options: {
    attempts: 5,
    backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
    removeOnComplete: { age: 24 * hourSeconds, count: 1_000 },
    removeOnFail: { age: 7 * 24 * hourSeconds, count: 5_000 },
  },
} as const satisfies CatalogEntry;

/** Entries by which other workers take segments of a job. They do nothing once none is left. */
const segmentOffer = {
  payload: recordedJobPayload,
  options: { ...recordedJob.options, removeOnComplete: true, removeOnFail: true },
} as const satisfies CatalogEntry;

/**
 * Payload and BullMQ options of each kind of queued job, by the name of its queue entries. A payload carries only an
 * id; the record is the source of truth. A failed job is final in its record and its entry fails as unrecoverable, so
 * BullMQ's attempts only retry outages of Redis or the disk, never work that costs money.
 */
export const jobCatalog = Object.freeze({
  lipsync: recordedJob,
  quality: recordedJob,
  webhook: recordedJob,
  segments: segmentOffer,
} satisfies Record<RunnableKind | 'segments', CatalogEntry>);

export type JobName = keyof typeof jobCatalog;
export type JobPayload<Name extends JobName> = z.output<(typeof jobCatalog)[Name]['payload']>;

const laneOfWork: Readonly<Record<JobWork, Lane>> = Object.freeze({
  fetch: 'fetch',
  remote: 'cloud',
  inline: 'render',
  deliver: 'webhook',
});

/** The lane that does this work. */
export function laneFor(work: JobWork): Lane {
  return laneOfWork[work];
}

/** The lane of a job: `render` while its next provider is unknown. */
export function laneOf(record: JobRecord): Lane {
  return laneFor(nextWork(record) ?? 'inline');
}

/** Jobs of batches wait behind all single jobs. */
const batchOffset = 12;

/** BullMQ priorities of jobs that belong to no batch. */
export const singlePriorities: readonly number[] = Array.from({ length: batchOffset - 1 }, (_, index) => index + 1);

/**
 * BullMQ priority of a request priority (0–10). One is added because BullMQ runs 0 before all priorities. Batches take
 * turns: of two, the first items run before the second items.
 */
export function queuePriority(priority: number, batchItem?: number): number {
  return batchItem === undefined ? priority + 1 : batchOffset + priority * maxBatchItems + batchItem;
}
