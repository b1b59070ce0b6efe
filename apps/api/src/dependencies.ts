import type { ArtifactStore, InputReference, JobRecord, JobStore, Logger } from '@lipsync/core';
import type { LipsyncOptions } from '@lipsync/core/contract';
import type { RequestHandler } from 'express';
import type { ApiKey } from './http/access.ts';

/** What a caller asked for, checked. */
export interface LipsyncSubmission {
  readonly video: InputReference;
  readonly audio: InputReference;
  readonly options: LipsyncOptions;
  readonly owner: string | null;
}

/** Turns requests into jobs and takes them back. */
export interface LipsyncJobs {
  /** Records a job and queues it. Throws `resource_exhausted` when the queue cannot be reached. */
  submit(submission: LipsyncSubmission): Promise<JobRecord>;
  /** Ends a waiting job at once, asks the worker of a running one to stop. Returns the record as it then stands. Throws `not_found`. */
  cancel(jobId: string): Promise<JobRecord>;
  /** The record now and after each change, until `signal` aborts or the job is at its end. Throws `not_found`. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<JobRecord>;
}

/** One thing that must work for the service to be of use; throws when it does not. */
export interface ReadinessCheck {
  readonly name: string;
  readonly check: (signal: AbortSignal) => Promise<void>;
}

/** Everything that the app needs; `wiring.ts` builds the real ones. */
export interface ApiDependencies {
  readonly jobs: LipsyncJobs;
  readonly store: Pick<JobStore, 'get' | 'list'>;
  readonly artifacts: ArtifactStore;
  /** Throws `url_forbidden` or `request_invalid` for a URL that will not be fetched. */
  readonly checkUrl: (url: string) => void;
  readonly readiness: readonly ReadinessCheck[];
  /** The page about the queues, without access rules of its own. */
  readonly queueBoard: RequestHandler;
  readonly logger: Logger;
  /** Empty where the API is open to this machine. */
  readonly keys: readonly ApiKey[];
  readonly maxUploadBytes: number;
  /** Put before the paths of answers; empty for relative ones. No slash at the end. */
  readonly publicBaseUrl: string;
  /** How long the line of an event stream may be silent. */
  readonly heartbeatMs: number;
  readonly maxEventStreams: number;
}
