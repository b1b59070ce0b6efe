import { createHash } from 'node:crypto';
import type { LipsyncOptions } from '../contract/index.ts';
import type { Warning } from '../contract/provider-types.ts';
import type { InputReference, JobRecord, LipsyncResult } from './job-record.ts';

/** What a job completes with that uses the output of an equal one. */
export interface ReusedResult {
  readonly result: LipsyncResult;
  readonly warnings: readonly Warning[];
}

/** How a job that is about to begin gets its result. */
export type ResultClaim =
  | ({ readonly type: 'reused' } & ReusedResult)
  /** An equal job is making the result. */
  | { readonly type: 'waiting'; readonly jobId: string }
  | { readonly type: 'render' };

/** Lets equal jobs share one result. */
export interface ResultCache {
  /** Version of the engine of this host; undefined while it is unknown. Its results are stored under it. */
  readonly engineVersion: string | undefined;
  /**
   * Returns the result of an equal job, whose output the job then shares, or makes equal jobs wait until this one has
   * ended. Idempotent. Throws `resource_exhausted` when the cache cannot be read.
   */
  claim(record: JobRecord<'lipsync'>): Promise<ResultClaim>;
}

/** Options that do not change the output. Any other option is part of the key, a new one too. */
const withoutEffect: ReadonlySet<string> = new Set<keyof LipsyncOptions>([
  'cache',
  'consent',
  'deadlineMs',
  'metadata',
  'priority',
  'userId',
  'webhookProgress',
  'webhookUrl',
]);

/** Warnings of results that another run may improve. */
const passingWarnings: ReadonlySet<string> = new Set([
  'output_not_labeled',
  'output_not_marked',
  'output_not_time_stamped',
  'quality_below_request',
  'quality_not_measured',
]);

/**
 * Digest of what decides the output of a job, for one engine version: API key, content of clip and speech, and options.
 * Undefined for inputs that are not stored, whose content is unknown. Pure.
 */
export function resultKeyOf({ owner, spec }: Pick<JobRecord<'lipsync'>, 'owner' | 'spec'>): string | undefined {
  const clip = digestOf(spec.video);
  const speech = digestOf(spec.audio);
  if (clip === undefined || speech === undefined) return undefined;
  const options = Object.entries(spec.options).filter(([name]) => !withoutEffect.has(name));
  const content = [owner, clip, speech, Object.fromEntries(options)];
  return createHash('sha256').update(JSON.stringify(content, sortKeys)).digest('hex');
}

/**
 * Returns whether a job may offer its result to equal ones. One that another provider made after a failure, that is
 * not marked although it should be, or whose quality was not measured or not reached, is made again. Pure.
 */
export function isReusable({ status, result, attempts, warnings }: JobRecord<'lipsync'>): boolean {
  if (status !== 'completed' || !result) return false;
  const isSubstitute = attempts.some(
    ({ provider, outcome, code }) =>
      outcome !== 'succeeded' && code !== 'quality_rejected' && provider !== result.methodUsed,
  );
  return !isSubstitute && !warnings.some(({ code }) => passingWarnings.has(code));
}

/** Returns what a job completes with that reuses the result of `source`; undefined unless that has one. Pure. */
export function reusedResultOf({ result, warnings }: JobRecord<'lipsync'>): ReusedResult | undefined {
  return result ? { result: { ...result, cached: true }, warnings } : undefined;
}

/** Stored inputs are named by the hash of their content. */
function digestOf(input: InputReference): string | undefined {
  return input.kind === 'artifact' ? input.key : undefined;
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
