import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  applyJobEvent,
  checkPageSize,
  decodeJobRecord,
  encodeJobRecord,
  invalidCursor,
  isTerminal,
  LipsyncError,
  outboxEventFor,
  type JobEvent,
  type JobPage,
  type JobPageQuery,
  type JobRecord,
  type JobStore,
  type OutboxEntry,
  type OutboxEvent,
  type UnreadableRecordListener,
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
  outboxKey,
  statusKey,
  toCursor,
  unfinishedJobsKey,
} from './job-keys.ts';
import { createScript, listScript, replaceScript } from './job-scripts.ts';

const maxConflicts = 500;
const maxConflictDelayMs = 10;
/** About how many entries the outbox keeps if nothing reads it; Redis then drops the oldest. */
const maxOutboxLength = 10_000;

/** The scripts as `defineCommand` adds them to the connection. */
interface ScriptCommands {
  lipsyncCreateJob(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncReplaceJob(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncListJobs(...keysAndArguments: readonly string[]): Promise<string[]>;
}

export interface RedisJobStoreOptions {
  /** Created by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly onUnreadable?: UnreadableRecordListener;
}

/**
 * Job records in Redis. Every change is one script that also updates the indexes and the outbox and announces the new
 * revision on the job's channel. Records are kept until they are deleted. While Redis cannot be reached every call throws
 * `resource_exhausted`.
 */
export function createRedisJobStore({ connection, onUnreadable }: RedisJobStoreOptions): JobStore {
  const scripts = defineScripts(connection);

  async function get(id: string): Promise<JobRecord | undefined> {
    const [format, text] = await connection.hmget(jobKey(id), 'format', 'record');
    return typeof text === 'string' ? decodeJobRecord({ format: format ?? '', text }) : undefined;
  }

  return {
    create: (record) => guarded(() => create(scripts, record)),
    get: (id) => guarded(() => get(id)),
    append: (id, event) => guarded(() => append(scripts, get, id, event)),
    list: (query) => guarded(() => list(scripts, query, onUnreadable)),
    unfinished: () => guarded(async () => (await connection.zrange(unfinishedJobsKey, 0, '-1')).map(idOfMember)),
    readOutbox: (limit) =>
      guarded(async () => (await connection.xrange(outboxKey, '-', '+', 'COUNT', limit)).map(toOutboxEntry)),
    ackOutbox: (ids) => guarded(async () => void (ids.length > 0 && (await connection.xdel(outboxKey, ...ids)))),
  };
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncCreateJob', { numberOfKeys: 4, lua: createScript });
  connection.defineCommand('lipsyncReplaceJob', { numberOfKeys: 5, lua: replaceScript });
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
  const { format, text } = encodeJobRecord(record);
  const stored = await scripts.lipsyncCreateJob(
    jobKey(record.id),
    allJobsKey,
    statusKey(record.status),
    unfinishedJobsKey,
    randomUUID(),
    String(record.revision),
    record.status,
    format,
    text,
    memberOf(record),
    jobChannel(record.id),
  );
  if (stored !== 1) throw new LipsyncError('internal', `A job with the id ${record.id} exists already.`);
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
  const { format, text } = encodeJobRecord(next);
  const outboxEvent = outboxEventFor(current, next);
  const stored = await scripts.lipsyncReplaceJob(
    jobKey(next.id),
    statusKey(current.status),
    statusKey(next.status),
    unfinishedJobsKey,
    outboxKey,
    randomUUID(),
    String(current.revision),
    String(next.revision),
    next.status,
    format,
    text,
    memberOf(next),
    isTerminal(next.status) ? '1' : '0',
    jobChannel(next.id),
    outboxEvent ? JSON.stringify(outboxEvent) : '',
    String(maxOutboxLength),
  );
  return stored === 1;
}

async function list(
  scripts: ScriptCommands,
  { status, limit, cursor }: JobPageQuery,
  onUnreadable: UnreadableRecordListener = () => undefined,
): Promise<JobPage> {
  checkPageSize(limit);
  const after = cursor === undefined ? undefined : fromCursor(cursor);
  if (cursor !== undefined && after === undefined) throw invalidCursor();
  // One entry more than the limit shows whether there is a next page.
  const answer = await scripts.lipsyncListJobs(
    status === undefined ? allJobsKey : statusKey(status),
    after === undefined ? '+' : `(${after}`,
    String(limit + 1),
    jobKeyPrefix,
    String(indexMember(0, '').length),
  );
  return toPage(answer, limit, onUnreadable);
}

/** `answer` is a flat list of member, format and record text. */
function toPage(answer: readonly string[], limit: number, onUnreadable: UnreadableRecordListener): JobPage {
  const records: JobRecord[] = [];
  const size = Math.min(limit, answer.length / 3);
  for (let index = 0; index < size; index += 1) {
    const [member = '', format = '', text = ''] = answer.slice(3 * index, 3 * index + 3);
    try {
      records.push(decodeJobRecord({ format, text }));
    } catch (error) {
      if (!LipsyncError.isInstance(error)) throw error;
      onUnreadable(idOfMember(member), error);
    }
  }
  const last = answer[3 * (size - 1)];
  return {
    records,
    unreadable: size - records.length,
    nextCursor: last !== undefined && answer.length > 3 * limit ? toCursor(last) : null,
  };
}

function memberOf(record: JobRecord): string {
  return indexMember(record.createdAtMs, record.id);
}

function toOutboxEntry([id, fields]: readonly [string, readonly string[]]): OutboxEntry {
  // `as`: only the replace script writes entries, with one field.
  return { ...(JSON.parse(fields[1] ?? '') as OutboxEvent), id };
}
