import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  applyJobEvent,
  isTerminal,
  LipsyncError,
  migrateAttempt,
  type JobEvent,
  type JobPage,
  type JobPageQuery,
  type JobRecord,
  type JobStore,
} from '@lipsync/core';
import type { Redis } from 'ioredis';
import { toRedisError } from './connection.ts';
import {
  allJobsKey,
  fromCursor,
  idOfMember,
  indexMember,
  jobChannel,
  jobKey,
  jobKeyPrefix,
  statusKey,
  toCursor,
  unfinishedJobsKey,
} from './job-keys.ts';
import { createScript, listScript, replaceScript } from './job-scripts.ts';

/** Increase when a stored record can no longer be read as a `JobRecord` of this version. */
const recordFormat = '3';
/** What records of this format may lack, because it was added without a new one. */
const addedSince = Object.freeze({ outputMs: null } satisfies Partial<JobRecord>);
const maxConflicts = 500;
const maxConflictDelayMs = 10;
const maxPageSize = 100;

/** The scripts as `defineCommand` adds them to the connection. */
interface ScriptCommands {
  lipsyncCreateJob(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncReplaceJob(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncListJobs(...keysAndArguments: readonly string[]): Promise<string[]>;
}

/**
 * Job records in Redis. Every change is one script that also moves the indexes and announces the new revision on the
 * job's channel. Records are kept until somebody deletes them. While Redis cannot be reached every call throws
 * `resource_exhausted`. The caller keeps and ends the connection.
 */
export function createRedisJobStore({ connection }: { readonly connection: Redis }): JobStore {
  const scripts = defineScripts(connection);

  async function get(id: string): Promise<JobRecord | undefined> {
    const [format, text] = await connection.hmget(jobKey(id), 'format', 'record');
    return typeof text === 'string' ? parseRecord(format, text) : undefined;
  }

  return {
    create: (record) => guarded(() => create(scripts, record)),
    get: (id) => guarded(() => get(id)),
    append: (id, event) => guarded(() => append(scripts, get, id, event)),
    list: (query) => guarded(() => list(scripts, query)),
    unfinished: () => guarded(async () => (await connection.zrange(unfinishedJobsKey, 0, '-1')).map(idOfMember)),
  };
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncCreateJob', { numberOfKeys: 4, lua: createScript });
  connection.defineCommand('lipsyncReplaceJob', { numberOfKeys: 4, lua: replaceScript });
  connection.defineCommand('lipsyncListJobs', { numberOfKeys: 1, lua: listScript, readOnly: true });
  // `as`: defineCommand has just added these methods, which ioredis' types cannot know.
  return connection as unknown as ScriptCommands;
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toRedisError(error);
  }
}

async function create(scripts: ScriptCommands, record: JobRecord): Promise<void> {
  const stored = await scripts.lipsyncCreateJob(
    jobKey(record.id),
    allJobsKey,
    statusKey(record.status),
    unfinishedJobsKey,
    randomUUID(),
    String(record.revision),
    record.status,
    recordFormat,
    JSON.stringify(record),
    memberOf(record),
    jobChannel(record.id),
  );
  if (stored !== 1) throw new LipsyncError('internal', `There is a job ${record.id} already.`);
}

async function append(
  scripts: ScriptCommands,
  get: (id: string) => Promise<JobRecord | undefined>,
  id: string,
  event: JobEvent,
): Promise<JobRecord> {
  for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
    const current = await get(id);
    if (!current) throw new LipsyncError('not_found', `There is no job ${id}.`);
    const next = applyJobEvent(current, event);
    if (next === current || (await replace(scripts, current, next))) return next;
    await delay(Math.random() * maxConflictDelayMs);
  }
  throw new LipsyncError('resource_exhausted', 'The job is being changed too often at once. Try again shortly.');
}

async function replace(scripts: ScriptCommands, current: JobRecord, next: JobRecord): Promise<boolean> {
  const stored = await scripts.lipsyncReplaceJob(
    jobKey(next.id),
    statusKey(current.status),
    statusKey(next.status),
    unfinishedJobsKey,
    randomUUID(),
    String(current.revision),
    String(next.revision),
    next.status,
    recordFormat,
    JSON.stringify(next),
    memberOf(next),
    isTerminal(next.status) ? '1' : '0',
    jobChannel(next.id),
  );
  return stored === 1;
}

async function list(scripts: ScriptCommands, { status, limit, cursor }: JobPageQuery): Promise<JobPage> {
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize) {
    throw new LipsyncError('request_invalid', `limit: must be a whole number from 1 to ${maxPageSize}`);
  }
  const after = cursor === undefined ? undefined : fromCursor(cursor);
  if (cursor !== undefined && after === undefined) {
    throw new LipsyncError('request_invalid', 'cursor: is not one that this service gave out; start again without it');
  }
  // One more than asked for tells whether there is a next page.
  const answer = await scripts.lipsyncListJobs(
    status === undefined ? allJobsKey : statusKey(status),
    after === undefined ? '+' : `(${after}`,
    String(limit + 1),
    jobKeyPrefix,
    String(indexMember(0, '').length),
  );
  return toPage(answer, limit);
}

function toPage(answer: readonly string[], limit: number): JobPage {
  const records: JobRecord[] = [];
  for (let offset = 0; offset < answer.length && records.length < limit; offset += 3) {
    records.push(parseRecord(answer[offset + 1], answer[offset + 2] ?? ''));
  }
  const last = records.at(-1);
  return { records, nextCursor: last && answer.length > 3 * limit ? toCursor(memberOf(last)) : null };
}

function memberOf(record: JobRecord): string {
  return indexMember(record.createdAtMs, record.id);
}

function parseRecord(format: string | null | undefined, text: string): JobRecord {
  if (format !== recordFormat) {
    throw new LipsyncError(
      'internal',
      'The job was stored by another version of this service. Start the version that stored it.',
    );
  }
  // `as`: only this file writes records, in this format; the first of them do not have what was added to it since.
  const record = JSON.parse(text) as JobRecord;
  return { ...addedSince, ...record, attempts: record.attempts.map(migrateAttempt) };
}
