import type { JobRecord } from '@lipsync/core';
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';

/** Kinds of worker capacity: `cloud` waits on others, `render` computes here. */
export const lanes = ['cloud', 'render'] as const;
export type Lane = (typeof lanes)[number];

/** The BullMQ queue of each lane. */
export const queueNames: Readonly<Record<Lane, string>> = Object.freeze({
  cloud: 'lipsync-cloud',
  render: 'lipsync-render',
});

interface JobKind {
  readonly payload: z.ZodType;
  readonly options: JobsOptions;
}

const hourSeconds = 3_600;

/**
 * Every kind of queued job: what it carries, and how BullMQ treats it. Payloads carry ids only; the record is the
 * truth. A lip-sync that failed is final in its record and ends its entry here as unrecoverable, so these attempts
 * retry a lost Redis or a full disk, and nothing that costs money.
 */
export const jobCatalogue = Object.freeze({
  lipsync: {
    payload: z.strictObject({ jobId: z.string().min(1).max(100) }),
    options: {
      attempts: 5,
      backoff: { type: 'exponential', delay: 1_000, jitter: 0.5 },
      removeOnComplete: { age: 24 * hourSeconds, count: 1_000 },
      removeOnFail: { age: 7 * 24 * hourSeconds, count: 5_000 },
    },
  },
} satisfies Record<string, JobKind>);

export type JobName = keyof typeof jobCatalogue;
export type JobPayload<Name extends JobName> = z.output<(typeof jobCatalogue)[Name]['payload']>;

/** The lane that takes work of a kind: remote providers are waited for in `cloud`, all others compute in `render`. */
export function laneFor(needs: NonNullable<JobRecord['needs']>): Lane {
  return needs === 'remote' ? 'cloud' : 'render';
}

/** The lane that a job waits in. */
export function laneOf({ needs }: JobRecord): Lane {
  return laneFor(needs ?? 'inline');
}

/** BullMQ's priority of a request's 0–10. One is added because BullMQ's 0 means "before all priorities". */
export function queuePriority(priority: number): number {
  return priority + 1;
}
