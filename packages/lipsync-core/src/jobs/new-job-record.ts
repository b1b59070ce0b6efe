import type { LipsyncOptions } from '../contract/index.ts';
import type { InputReference, JobRecord } from './job-record.ts';

export interface NewJob {
  readonly id: string;
  readonly options: LipsyncOptions;
  readonly video: InputReference;
  readonly audio: InputReference;
  /** Name of the API key that asks, or null where the API is open. */
  readonly owner: string | null;
  readonly nowMs: number;
  /** What is known already of who is to make it. */
  readonly start?: JobStart;
}

/** The plan of a job, where it needs no look at the inputs, and the kind of provider that it begins with. */
export type JobStart = Pick<JobRecord, 'plan' | 'needs'>;

/**
 * Of a job that a worker plans. It begins in the lane that waits for others, which has places for many jobs: what is only
 * looked at does not stand behind renderings.
 */
export const undecidedStart: JobStart = Object.freeze({ plan: null, needs: 'remote' });

/** The record of a job that was just accepted. Pure; the deadline counts from `nowMs`. */
export function newJobRecord({ id, options, video, audio, owner, nowMs, start }: NewJob): JobRecord {
  return {
    id,
    revision: 0,
    status: 'queued',
    stage: 'queued',
    progress: 0,
    message: 'Waiting for a worker.',
    options,
    video,
    audio,
    owner,
    runs: 0,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    plan: start?.plan ?? null,
    outputMs: null,
    needs: start?.needs ?? null,
    attempts: [],
    warnings: [],
    result: null,
    error: null,
    createdAtMs: nowMs,
    startedAtMs: null,
    completedAtMs: null,
    deadlineAtMs: options.deadlineMs === undefined ? null : nowMs + options.deadlineMs,
  };
}
