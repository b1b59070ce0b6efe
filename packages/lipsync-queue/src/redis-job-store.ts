import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  applyJobEvent,
  decodeJobRecord,
  encodeJobRecord,
  isTerminal,
  jobKinds,
  listPages,
  LipsyncError,
  outboxEventFor,
  outcomeOf,
  type ItemOutcome,
  type JobEvent,
  type JobKind,
  type JobPage,
  type JobPageQuery,
  type JobRecord,
  type JobStore,
  type OutboxEntry,
  type OutboxEvent,
  type UnreadableRecordListener,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { countsOf } from './job-counts.ts';
import { claimValues, idempotencyKeyOf, parseKeyState, repeatedJobId, type RequestClaim } from './idempotency-keys.ts';
import {
  allJobsKey,
  deadlinesKey,
  endTimeOf,
  idOfMember,
  indexedDeadlinesKey,
  indexMember,
  interruptChannel,
  jobChannel,
  jobKey,
  lastingIndexes,
  outcomesKey,
  outboxKey,
  statusKey,
  storedInputs,
  unfinishedJobsKey,
  webhookResultsKey,
} from './job-keys.ts';
import { createOnceScript, createScript, listReplaceArguments, replaceScript } from './job-scripts.ts';
import { RedisJobLists } from './redis-job-lists.ts';
import { resultEntryOf } from './redis-result-cache.ts';
import { waitingProvidersKey, waitingSetPrefix } from './redis-concurrency-slots.ts';
import { webhookResultOf } from './webhook-counts.ts';

const unfinishedPageSize = 1_000;
const maxConflicts = 500;
const maxConflictDelayMs = 10;

/** The scripts as `defineCommand` adds them to the connection. */
interface ScriptCommands {
  lipsyncCreateJob(...keysAndArguments: readonly string[]): Promise<number>;
  lipsyncCreateJobOnce(...keysAndArguments: readonly string[]): Promise<number | string>;
  lipsyncReplaceJob(...keysAndArguments: readonly string[]): Promise<number>;
}

export interface UnfinishedPage {
  readonly ids: readonly string[];
  /** Where the next page starts; null at the end. */
  readonly position: string | null;
}

export interface RedisJobStoreOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly onUnreadable?: UnreadableRecordListener;
  /** Called after each change of a record that this process stored. */
  readonly onChange?: (current: JobRecord, next: JobRecord) => void;
}

/**
 * Job records in Redis. Each change is one script that also updates the indexes and the outbox and publishes the new
 * revision on the job's channel. Records are kept until they are deleted. Every call throws `resource_exhausted` when
 * Redis cannot be reached. The caller closes the connection.
 */
export class RedisJobStore implements JobStore {
  readonly #connection: Redis;
  readonly #onChange: NonNullable<RedisJobStoreOptions['onChange']>;
  readonly #scripts: ScriptCommands;
  readonly #lists: RedisJobLists;

  constructor({ connection, onUnreadable = () => undefined, onChange = () => undefined }: RedisJobStoreOptions) {
    this.#onChange = onChange;
    this.#connection = connection;
    this.#lists = new RedisJobLists(connection, onUnreadable);
    this.#scripts = defineScripts(connection);
  }

  async create(record: JobRecord): Promise<void> {
    await this.#indexDeadline(record);
    const { keys, values } = creation(record);
    requireStored(record, await guardRedis(() => this.#scripts.lipsyncCreateJob(...keys, ...values)));
  }

  /**
   * Stores a new record unless an equal request with the same key has created a job, whose id it then returns. Throws
   * `idempotency_mismatch` for a key of another request, `idempotency_in_progress` while another request holds it.
   */
  async createOnce(record: JobRecord, claim: RequestClaim): Promise<string | undefined> {
    await this.#indexDeadline(record);
    const { keys, values } = creation(record);
    const { held, used, lifetimeMs } = claimValues(claim, record.id);
    const key = idempotencyKeyOf(claim);
    const stored = await guardRedis(() =>
      this.#scripts.lipsyncCreateJobOnce(...keys, key, ...values, held, used, lifetimeMs),
    );
    if (typeof stored === 'string') return repeatedJobId(parseKeyState(stored), claim);
    requireStored(record, stored);
    return undefined;
  }

  get(id: string): Promise<JobRecord | undefined> {
    return guardRedis(async () => {
      const [format, text] = await this.#connection.hmget(jobKey(id), 'format', 'record');
      return typeof text === 'string' ? decodeJobRecord({ format: format ?? '', text }) : undefined;
    });
  }

  async append(id: string, event: JobEvent): Promise<JobRecord> {
    for (let conflicts = 0; conflicts < maxConflicts; conflicts += 1) {
      const current = await this.get(id);
      if (!current) throw new LipsyncError('not_found', `There is no job ${id}.`);
      const next = applyJobEvent(current, event);
      if (next.deadlineAtMs !== current.deadlineAtMs) await this.#indexDeadline(next);
      if (next === current || (await this.#replace({ current, next, event }))) return next;
      await delay(Math.random() * maxConflictDelayMs);
    }
    throw new LipsyncError('resource_exhausted', 'Too many processes changed this job at once. Try again shortly.');
  }

  list<Kind extends JobKind>(query: JobPageQuery<Kind>): Promise<JobPage<Kind>> {
    return this.#lists.list(query);
  }

  async unfinished(): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let position: string | null = ''; position !== null;) {
      const page: UnfinishedPage = await this.listUnfinished(unfinishedPageSize, position);
      ids.push(...page.ids);
      position = page.position;
    }
    return ids;
  }

  /** Ids of up to `limit` jobs that have not ended, oldest first, after a position that this method returned. */
  async listUnfinished(limit: number, position: string): Promise<UnfinishedPage> {
    const start = position === '' ? '-' : `(${position}`;
    const members = await guardRedis(() =>
      this.#connection.zrange(unfinishedJobsKey, start, '+', 'BYLEX', 'LIMIT', 0, limit),
    );
    return { ids: members.map(idOfMember), position: members.length < limit ? null : (members.at(-1) ?? null) };
  }

  /** Ids of jobs whose deadline has passed, also of some that have ended; the caller forgets these. */
  async listOverdue(nowMs: number, limit: number): Promise<readonly string[]> {
    return guardRedis(async () => {
      if (!(await this.#connection.exists(indexedDeadlinesKey))) await this.#indexDeadlines();
      return this.#connection.zrangebyscore(deadlinesKey, '-inf', nowMs, 'LIMIT', 0, limit);
    });
  }

  async forgetDeadlines(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await guardRedis(() => this.#connection.zrem(deadlinesKey, ...ids));
  }

  /** Before the record, so that no stored deadline is missing in the index. */
  async #indexDeadline({ id, deadlineAtMs }: JobRecord): Promise<void> {
    if (deadlineAtMs !== null) await guardRedis(() => this.#connection.zadd(deadlinesKey, deadlineAtMs, id));
  }

  /** Indexes, once per installation, the deadlines of jobs that versions without the index have stored. */
  async #indexDeadlines(): Promise<void> {
    for (const kind of jobKinds)
      for await (const { records } of listPages(this, { kind, status: 'queued', limit: 100 }))
        for (const record of records) await this.#indexDeadline(record);
    await this.#connection.set(indexedDeadlinesKey, '1');
  }

  async listOutcomes(batchId: string): Promise<ReadonlyMap<string, ItemOutcome>> {
    const outcomes = await guardRedis(() => this.#connection.hgetall(outcomesKey(batchId)));
    // `as`: only the replace script writes outcomes.
    return new Map(Object.entries(outcomes).map(([id, text]) => [id, JSON.parse(text) as ItemOutcome]));
  }

  readOutbox(limit: number, after?: string): Promise<readonly OutboxEntry[]> {
    const start = after === undefined ? '-' : `(${after}`;
    return guardRedis(async () =>
      (await this.#connection.xrange(outboxKey, start, '+', 'COUNT', limit)).map(toOutboxEntry),
    );
  }

  async ackOutbox(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await guardRedis(() => this.#connection.xdel(outboxKey, ...ids));
  }

  /** False when another call changed the record since `current` was read. */
  async #replace({ current, next, event }: Replacement): Promise<boolean> {
    const { format, text } = encodeJobRecord(next);
    const outboxEvent = outboxEventFor(current, next);
    const isInterrupt = next.cancelRequested !== current.cancelRequested || next.runs !== current.runs;
    const isRetried = isTerminal(current.status) && !isTerminal(next.status);
    const stored = await guardRedis(() =>
      this.#scripts.lipsyncReplaceJob(
        jobKey(next.id),
        statusKey(current.kind, current.status),
        statusKey(next.kind, next.status),
        unfinishedJobsKey,
        waitingProvidersKey,
        outboxKey,
        next.batch ? outcomesKey(next.batch.id) : jobKey(next.id),
        webhookResultsKey,
        ...listReplaceArguments({
          writer: randomUUID(),
          expectedRevision: String(current.revision),
          revision: String(next.revision),
          status: next.status,
          format,
          record: text,
          member: indexMember(next),
          id: next.id,
          channel: jobChannel(next.id),
          phase: isTerminal(next.status) ? 'ended' : isRetried ? 'retried' : 'open',
          interruptChannel: isInterrupt ? interruptChannel : '',
          waitingPrefix: waitingSetPrefix,
          outboxEvent: outboxEvent ? JSON.stringify(outboxEvent) : '',
          inputs: next.spec === current.spec && !isRetried ? '' : storedInputs(next).join(' '),
          releasedInputs: releasedInputs(current, next).join(' '),
          resultKey: resultEntryOf(next, event) ?? '',
          outcome: next.batch ? JSON.stringify(outcomeOf(next)) : '',
          endMs: endTimeOf(next),
          counts: countsOf(current, next).join(' '),
          deliveryResult: webhookResultOf(current, next) ?? '',
          batchChannel: next.batch ? jobChannel(next.batch.id) : '',
        }),
      ),
    );
    if (stored === -2) throw new LipsyncError('conflict', 'The job is being deleted and cannot be retried.');
    if (stored === 1) this.#onChange(current, next);
    return stored === 1;
  }
}

interface Replacement {
  readonly current: JobRecord;
  readonly next: JobRecord;
  readonly event: JobEvent;
}

/** The files that a batch no longer uses, once the jobs of its items do. */
function releasedInputs(current: JobRecord, next: JobRecord): readonly string[] {
  if (current.kind !== 'batch' || next.spec === current.spec) return [];
  const kept = storedInputs(next);
  return storedInputs(current).filter((key) => !kept.includes(key));
}

/** Keys and arguments of the script that stores a new record. */
function creation(record: JobRecord) {
  const { format, text } = encodeJobRecord(record);
  const { id, kind, revision, status } = record;
  return {
    keys: [jobKey(id), allJobsKey(kind), statusKey(kind, status), unfinishedJobsKey],
    values: [
      randomUUID(),
      String(revision),
      status,
      format,
      text,
      indexMember(record),
      jobChannel(id),
      storedInputs(record).join(' '),
      lastingIndexes(record).join(' '),
    ],
  };
}

function requireStored({ id }: JobRecord, stored: number): void {
  if (stored === -1) throw inputErased();
  if (stored !== 1) throw new LipsyncError('internal', `A job with the id ${id} already exists.`);
}

/** Returns the error for a new job with a stored input that is deleted with another job at this moment. */
export function inputErased(): LipsyncError {
  return new LipsyncError(
    'resource_exhausted',
    'A file of this request was deleted with another job while the request was received. Send it again.',
  );
}

function defineScripts(connection: Redis): ScriptCommands {
  connection.defineCommand('lipsyncCreateJob', { numberOfKeys: 4, lua: createScript });
  connection.defineCommand('lipsyncCreateJobOnce', { numberOfKeys: 5, lua: createOnceScript });
  connection.defineCommand('lipsyncReplaceJob', { numberOfKeys: 8, lua: replaceScript });
  // `as`: defineCommand adds these methods at runtime, so ioredis' types lack them.
  return connection as unknown as ScriptCommands;
}

function toOutboxEntry([id, fields]: readonly [string, readonly string[]]): OutboxEntry {
  // `as`: only the replace script writes entries, with one field.
  return { ...(JSON.parse(fields[1] ?? '') as OutboxEvent), id };
}
