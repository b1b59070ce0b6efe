import { createHash } from 'node:crypto';
import type { JobStatus } from '@lipsync/core/contract';
import {
  inputFields,
  isTerminal,
  type JobInputs,
  type JobFilter,
  type JobKind,
  type JobRecord,
} from '@lipsync/core/host';

/** Redis keys of job records. Not under BullMQ's prefix: records outlive queue entries. All names are stored data. */
export const jobKeyPrefix = 'lipsync:jobs:';
export const unfinishedJobsKey = 'lipsync:jobs-unfinished';
/** Ids of jobs with a deadline, by deadline; an id stays until the deadline has passed. */
export const deadlinesKey = 'lipsync:jobs-deadlines';
/** Set when the deadlines of stored jobs are indexed. */
export const indexedDeadlinesKey = 'lipsync:deadlines-indexed';
/** Stream of the ends of jobs. */
export const outboxKey = 'lipsync:outbox';
/** Lock of the process that compares records with queues. */
export const sweepLockKey = 'lipsync:sweep-lock';
/** Last member of the index of unfinished jobs that a sweep has compared; absent at the start of a pass. */
export const sweepPositionKey = 'lipsync:sweep-position';
/** Channel that announces the ids of jobs whose current run should stop: canceled, or claimed by another run. */
export const interruptChannel = 'lipsync:job-interrupts';
/** Hash of the numbers of ended jobs and attempts, by their labels. */
export const jobCountsKey = 'lipsync:job-counts';
/** Hash of the numbers of results of webhook deliveries, by result. */
export const webhookResultsKey = 'lipsync:webhook-results';
/** Prefix of the number of requests of an API key in the current minute, by limit and name of the key. */
export const rateLimitPrefix = 'lipsync:requests:';

/** Data of ended jobs that are deleted at an age of their own. */
export const retainedData = ['inputs', 'outputs', 'records'] as const;
export type RetainedData = (typeof retainedData)[number];
/** Prefix of the sets of the ids of ended jobs that still have such data, by time of their end. */
export const endedJobsPrefix = 'lipsync:jobs-ended-with-';

/** Time of a job in the sets of ended jobs; an empty text for a job that has not ended. */
export function endTimeOf({ status, completedAtMs, createdAtMs }: JobRecord): string {
  return isTerminal(status) ? String(completedAtMs ?? createdAtMs) : '';
}

/** Set of the ids of jobs whose deletion has begun. */
export const erasingJobsKey = 'lipsync:jobs-erasing';
/** Sorted set of the users whose deletion has begun, as JSON, by the time of the request. */
export const erasingUsersKey = 'lipsync:users-erasing';
/** Exists once the references of all records that earlier versions stored are counted. */
export const countedInputsKey = 'lipsync:inputs-counted';
/** Exists once the jobs that earlier versions stored are in the indexes by API key, user and method. */
export const indexedJobsKey = 'lipsync:jobs-indexed';
/** Prefix of the set of ids of the jobs that name a stored input, by artifact key. */
export const inputJobsPrefix = 'lipsync:jobs-of:';
/** Sorted set of the uploaded inputs that no job names yet, by time of the upload. */
export const uploadedInputsKey = 'lipsync:inputs-uploaded';
/** Prefix of the marker of a stored input that is being deleted, by artifact key. */
export const erasingInputPrefix = 'lipsync:erasing:';

/** Version of the engine of the worker that started last. */
export const engineVersionKey = 'lipsync:engine-version';
/** Prefix of the id of the job whose result equal jobs reuse, by engine version and digest of the content. */
export const resultPrefix = 'lipsync:results:';

/** Prefix of the id of the job that makes a result now, by engine version and digest of the content. */
export const renderingPrefix = 'lipsync:rendering:';
/** Prefix of the set of ids of the jobs that wait for the result of a job. */
export const followersPrefix = 'lipsync:followers:';

/** Artifact key of the output of a job. */
export function outputKeyOf(jobId: string): string {
  return `outputs/${jobId}/output.mp4`;
}

export function jobKey(id: string): string {
  return `${jobKeyPrefix}${id}`;
}

/** Index of all jobs of a kind, by time. The first kind had no name. */
export function allJobsKey(kind: JobKind): string {
  return `${indexPrefix(kind)}jobs-by-time`;
}

/** Index of the jobs of a kind with a status, by time. */
export function statusKey(kind: JobKind, status: JobStatus): string {
  return `${indexPrefix(kind)}jobs-${status}`;
}

/** Index of the jobs of a kind that an API key created, by time. */
export function ownerKey(kind: JobKind, owner: string): string {
  return `${indexPrefix(kind)}jobs-of-key:${owner}`;
}

/** Index of the jobs of a kind with a `user_id`, of all API keys, by time. A user id may contain any character. */
export function userKey(kind: JobKind, userId: string): string {
  return `${indexPrefix(kind)}jobs-of-user:${createHash('sha256').update(userId).digest('base64url')}`;
}

/** Index of the jobs of a kind that requested a method, by time. */
function methodKey(kind: JobKind, method: string): string {
  return `${indexPrefix(kind)}jobs-with-method:${method}`;
}

/** Index of the deliveries about a job, by time. */
function subjectKey(kind: JobKind, subjectId: string): string {
  return `${indexPrefix(kind)}jobs-about:${subjectId}`;
}

/** Index of the jobs of a batch, by time. */
export function batchKey(kind: JobKind, batchId: string): string {
  return `${indexPrefix(kind)}jobs-of-batch:${batchId}`;
}

/** Indexes of a job besides those by time and status. It stays in them until it is deleted. */
export function lastingIndexes(record: JobRecord): readonly string[] {
  const { kind, owner } = record;
  const { userId } = record.kind === 'webhook' ? {} : record.spec.options;
  return filterIndexes(kind, {
    ...(owner !== null && { owner }),
    ...(userId !== undefined && { userId }),
    ...(record.kind === 'lipsync' && { method: record.spec.options.method }),
    ...(record.kind === 'webhook' && { subjectId: record.spec.subjectId }),
    ...(record.batch && { batchId: record.batch.id }),
  });
}

/** Indexes that together contain the jobs that meet these conditions. */
export function filterIndexes(
  kind: JobKind,
  { owner, userId, batchId, method, subjectId }: Omit<JobFilter, 'status' | 'metadata'>,
): readonly string[] {
  return [
    ...(batchId === undefined ? [] : [batchKey(kind, batchId)]),
    ...(owner === undefined ? [] : [ownerKey(kind, owner)]),
    ...(userId === undefined ? [] : [userKey(kind, userId)]),
    ...(method === undefined ? [] : [methodKey(kind, method)]),
    ...(subjectId === undefined ? [] : [subjectKey(kind, subjectId)]),
  ];
}

function indexPrefix(kind: JobKind): string {
  return kind === 'lipsync' ? 'lipsync:' : `lipsync:${kind}-`;
}

/** Hash of the outcomes of the ended jobs of a batch, by job id. */
export function outcomesKey(batchId: string): string {
  return `lipsync:batch-outcomes:${batchId}`;
}

/** Channel that announces each change of a job; the message is the new revision. */
export function jobChannel(id: string): string {
  return `lipsync:job:${id}`;
}

const inputKey = 'inputs/[0-9a-f]{64}';
const wholeInputKey = new RegExp(`^${inputKey}$`);
const quotedInputKey = new RegExp(`"(${inputKey})"`, 'g');

/** Artifact keys of the stored inputs of a job, and of a batch as long as its record names those of its items. */
export function storedInputs(record: JobRecord): readonly string[] {
  const sources: readonly JobInputs[] = record.kind === 'batch' ? record.spec.items : [record.spec];
  const inputs = sources.flatMap((source) => inputFields.map((field) => source[field]));
  const keys = inputs.flatMap((input) =>
    input?.kind === 'artifact' && wholeInputKey.test(input.key) ? [input.key] : [],
  );
  return [...new Set(keys)];
}

/** As `storedInputs`, for a record that may be unreadable: every key that its JSON names, so also one in its metadata. */
export function inputsNamedIn(recordJson: string): readonly string[] {
  return Array.from(recordJson.matchAll(quotedInputKey), ([, key = '']) => key);
}

const timeDigits = 15;
const memberPattern = /^\d{15}:.{1,200}$/;
/** Length of the part of an index member before the job id. */
export const memberPrefixLength = timeDigits + 1;

/**
 * Member of an index of jobs. All scores are equal, so Redis orders by member: by time, then by id. A page can start
 * after any member, even one that was removed.
 */
export function indexMember({ createdAtMs, id }: { readonly createdAtMs: number; readonly id: string }): string {
  return `${earliestMemberAt(createdAtMs)}${id}`;
}

/** Text that is less than every index member of this time, and greater than those of earlier times. */
export function earliestMemberAt(ms: number): string {
  return `${String(ms).padStart(timeDigits, '0')}:`;
}

export function idOfMember(member: string): string {
  return member.slice(memberPrefixLength);
}

export function toCursor(member: string): string {
  return Buffer.from(member).toString('base64url');
}

/** The index member that a cursor encodes; undefined for a string that is not a cursor. */
export function fromCursor(cursor: string): string | undefined {
  const member = Buffer.from(cursor, 'base64url').toString();
  return memberPattern.test(member) ? member : undefined;
}
