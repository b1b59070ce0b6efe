import type { JobStatus } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import { systemClock } from '../contract/system-ports.ts';
import { LipsyncError } from '../errors/index.ts';
import type { Json, StateStore, StoredDocument } from '../storage/state-store.ts';
import { applyJobEvent, type JobEvent } from './job-events.ts';
import { outcomeOf } from './batch-view.ts';
import { matchesFilter, type JobFilter } from './job-filter.ts';
import type { ItemOutcome } from './batch-summary.ts';
import { isOfKind, isTerminal, type JobKind, type JobRecord } from './job-record.ts';
import {
  checkPageSize,
  InvalidCursorError,
  outboxEventFor,
  type JobPage,
  type JobPageQuery,
  type JobStore,
  type OutboxEntry,
  type UnreadableRecordListener,
} from './job-store.ts';
import { decodeJobRecord, encodeJobRecord, type EncodedJobRecord } from './record-codec.ts';

/** A record with the fields that lists need even if the record cannot be read. */
interface JobDocument extends EncodedJobRecord {
  readonly id: string;
  /** Absent in documents of versions that had lip-sync jobs only. */
  readonly kind?: JobKind;
  readonly status: JobStatus;
  readonly createdAtMs: number;
  /** Id of its batch. */
  readonly batchId?: string;
  /** Time of the last change other than an event in `eventTypesWithoutNews`. */
  readonly changedAtMs: number;
}

export interface StateJobStoreOptions {
  /** Closed by the caller. */
  readonly state: StateStore;
  readonly clock?: Clock;
  readonly onUnreadable?: UnreadableRecordListener;
}

const jobPrefix = 'jobs/';
const outboxPrefix = 'job-outbox/';
const scanSize = 1_000;
const timeDigits = 16;

/** Events that say nothing about the operations of a job: they do not renew `changedAtMs`. */
const eventTypesWithoutNews: readonly JobEvent['type'][] = ['progressed', 'run_started'];

/**
 * Job records in a state store: SQLite for in-process jobs, memory in tests. Lists read every record, so it is meant
 * for the few jobs that one machine keeps; the queue has a store with indexes. Throws `resource_exhausted` when the
 * state store is unavailable.
 */
export class StateJobStore implements JobStore {
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #onUnreadable: UnreadableRecordListener;

  constructor({ state, clock = systemClock, onUnreadable = () => undefined }: StateJobStoreOptions) {
    this.#state = state;
    this.#clock = clock;
    this.#onUnreadable = onUnreadable;
  }

  create(record: JobRecord): Promise<void> {
    const { key, document } = storedJobRecord(record, this.#clock.nowMs());
    return this.#state.transact([key], (documents) => {
      if (documents.get(key)) throw new LipsyncError('internal', `A job with the id ${record.id} exists already.`);
      return { result: undefined, writes: new Map([[key, document]]) };
    });
  }

  async get(id: string): Promise<JobRecord | undefined> {
    const key = jobKey(id);
    const document = await this.#state.transact([key], (documents) => ({ result: toJobDocument(documents.get(key)) }));
    return document && decodeJobRecord(document);
  }

  /**
   * Returns when the plan, the attempts or the outcome of a job last changed, also if the record cannot be read.
   * Undefined if there is no such job.
   */
  getChangedAtMs(id: string): Promise<number | undefined> {
    const key = jobKey(id);
    return this.#state.transact([key], (documents) => ({ result: toJobDocument(documents.get(key))?.changedAtMs }));
  }

  append(id: string, event: JobEvent): Promise<JobRecord> {
    const key = jobKey(id);
    const outboxKey = outboxKeyOf(id, event);
    const nowMs = this.#clock.nowMs();
    return this.#state.transact(outboxKey === null ? [key] : [key, outboxKey], (documents) => {
      const document = toJobDocument(documents.get(key));
      if (!document) throw new LipsyncError('not_found', `There is no job ${id}.`);
      const before = decodeJobRecord(document);
      const after = applyJobEvent(before, event);
      if (after === before) return { result: before };
      const changedAtMs = eventTypesWithoutNews.includes(event.type) ? document.changedAtMs : nowMs;
      const writes = new Map([[key, storedJobRecord(after, changedAtMs).document]]);
      const outboxEvent = outboxEventFor(before, after);
      if (outboxKey !== null && outboxEvent !== null) writes.set(outboxKey, toJson(outboxEvent));
      return { result: after, writes };
    });
  }

  async list<Kind extends JobKind>({ kind, limit, cursor, ...filter }: JobPageQuery<Kind>): Promise<JobPage<Kind>> {
    checkPageSize(limit);
    const before = cursor === undefined ? undefined : fromCursor(cursor);
    const records: JobRecord<Kind>[] = [];
    let unreadable = 0;
    let last: JobDocument | undefined;
    for (const document of await this.#newestFirst()) {
      if (before !== undefined && placeOf(document) >= before) continue;
      if ((document.kind ?? 'lipsync') !== kind || !mayMatch(document, filter)) continue;
      if (last && records.length + unreadable === limit)
        return { records, unreadable, nextCursor: toCursor(placeOf(last)) };
      const record = this.#decodeOrReport(document);
      if (record && !(isOfKind(record, kind) && matchesFilter(record, filter))) continue;
      if (record) records.push(record);
      else unreadable += 1;
      last = document;
    }
    return { records, unreadable, nextCursor: null };
  }

  async unfinished(): Promise<readonly string[]> {
    const open = (await this.#newestFirst()).filter(({ status }) => !isTerminal(status));
    return open.reverse().map(({ id }) => id);
  }

  async listOutcomes(batchId: string): Promise<ReadonlyMap<string, ItemOutcome>> {
    const documents = (await this.#newestFirst()).filter((document) => document.batchId === batchId);
    const jobs = documents.map((document) => this.#decodeOrReport(document)).filter((job) => job !== undefined);
    return new Map(jobs.map((job) => [job.id, outcomeOf(job)]));
  }

  async readOutbox(limit: number, after?: string): Promise<readonly OutboxEntry[]> {
    const found = await this.#state.list(outboxPrefix, { limit, ...(after === undefined ? {} : { after }) });
    // `as`: only `append` writes these documents.
    return found.map(({ key, document }) => ({ ...(document as unknown as Omit<OutboxEntry, 'id'>), id: key }));
  }

  async ackOutbox(ids: readonly string[]): Promise<void> {
    await this.#delete(ids.filter((id) => id.startsWith(outboxPrefix)));
  }

  /** Deletes a record. An unknown id is ignored. */
  async delete(id: string): Promise<void> {
    await this.#delete([jobKey(id)]);
  }

  async #delete(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#state.transact(keys, () => ({ result: undefined, writes: new Map(keys.map((key) => [key, null])) }));
  }

  #decodeOrReport(document: JobDocument): JobRecord | undefined {
    try {
      return decodeJobRecord(document);
    } catch (error) {
      if (!LipsyncError.isInstance(error)) throw error;
      this.#onUnreadable(document.id, error);
      return undefined;
    }
  }

  async #newestFirst(): Promise<JobDocument[]> {
    const found: JobDocument[] = [];
    let page: Awaited<ReturnType<StateStore['list']>> = [];
    do {
      const after = page.at(-1)?.key;
      page = await this.#state.list(jobPrefix, { limit: scanSize, ...(after === undefined ? {} : { after }) });
      found.push(...page.flatMap(({ document }) => toJobDocument(document) ?? []));
    } while (page.length === scanSize);
    return found.sort((one, other) => (placeOf(one) < placeOf(other) ? 1 : -1));
  }
}

function jobKey(id: string): string {
  return `${jobPrefix}${id}`;
}

/** Checks what is known without the record, so that fewer of them are decoded. */
function mayMatch({ status, createdAtMs }: JobDocument, filter: JobFilter): boolean {
  return (
    (filter.status === undefined || filter.status === status) &&
    (filter.fromMs === undefined || filter.fromMs <= createdAtMs) &&
    (filter.toMs === undefined || filter.toMs > createdAtMs)
  );
}

/** Keys order the outbox by time. Null for an event that cannot end a job. */
function outboxKeyOf(id: string, event: JobEvent): string | null {
  if (event.type !== 'completed' && event.type !== 'failed' && event.type !== 'canceled') return null;
  return `${outboxPrefix}${paddedTime(event.atMs)}/${id}`;
}

/** Returns the document of a record, for a transaction that stores it together with other documents. */
export function storedJobRecord(record: JobRecord, changedAtMs: number): StoredDocument {
  const { id, kind, status, createdAtMs, batch } = record;
  const fields = { id, kind, status, createdAtMs, changedAtMs, ...(batch && { batchId: batch.id }) };
  const document: JobDocument = { ...fields, ...encodeJobRecord(record) };
  return { key: jobKey(id), document: toJson(document) };
}

// `as` in both: only this file writes these documents, and they are JSON throughout.
function toJson(value: object): Json {
  return value as Json;
}

function toJobDocument(document: Json | undefined): JobDocument | undefined {
  return document as unknown as JobDocument | undefined;
}

function paddedTime(ms: number): string {
  return String(ms).padStart(timeDigits, '0');
}

/** Orders records by time, then id. */
function placeOf({ createdAtMs, id }: Pick<JobDocument, 'createdAtMs' | 'id'>): string {
  return `${paddedTime(createdAtMs)} ${id}`;
}

function toCursor(place: string): string {
  return Buffer.from(place).toString('base64url');
}

function fromCursor(cursor: string): string {
  const place = Buffer.from(cursor, 'base64url').toString();
  if (!/^\d{16} ./.test(place)) throw new InvalidCursorError();
  return place;
}
