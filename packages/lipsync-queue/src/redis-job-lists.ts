import {
  checkPageSize,
  decodeJobRecord,
  InvalidCursorError,
  isOfKind,
  LipsyncError,
  matchesFilter,
  type JobKind,
  type JobPage,
  type JobPageQuery,
  type JobRecord,
  type UnreadableRecordListener,
} from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import {
  allJobsKey,
  earliestMemberAt,
  filterIndexes,
  fromCursor,
  idOfMember,
  memberPrefixLength,
  statusKey,
  toCursor,
} from './job-keys.ts';
import { listScript } from './job-scripts.ts';
import { indexStoredJobs } from './stored-jobs.ts';

/** Maximum number of reads for one page. */
const maxReads = 2;
/** Maximum number of index members that one read inspects: with, and without, a search of the records. */
const maxSearched = 250;
const maxInspected = 5_000;

interface ListCommand {
  lipsyncListJobs(...values: readonly (string | number)[]): Promise<string[]>;
}

interface StoredEntry {
  readonly member: string;
  readonly format: string;
  readonly text: string;
}

/** Pages of job records in Redis, from indexes by status, API key, user and method. The caller closes the connection. */
export class RedisJobLists {
  readonly #connection: Redis;
  readonly #command: ListCommand;
  readonly #onUnreadable: UnreadableRecordListener;
  #isIndexed = false;

  constructor(connection: Redis, onUnreadable: UnreadableRecordListener) {
    connection.defineCommand('lipsyncListJobs', { lua: listScript, readOnly: true });
    this.#connection = connection;
    // `as`: defineCommand adds the method at runtime, so ioredis' types lack it.
    this.#command = connection as unknown as ListCommand;
    this.#onUnreadable = onUnreadable;
  }

  /** As `JobStore.list`. */
  async list<Kind extends JobKind>(query: JobPageQuery<Kind>): Promise<JobPage<Kind>> {
    const { kind, limit, cursor } = query;
    checkPageSize(limit);
    const after = cursor === undefined ? undefined : fromCursor(cursor);
    if (cursor !== undefined && after === undefined) throw new InvalidCursorError();
    const indexes = await this.#indexesOf(query);
    const records: JobRecord<Kind>[] = [];
    let unreadable = 0;
    let position = after;
    for (let reads = 0; reads < maxReads; reads += 1) {
      const { entries, end } = await this.#read(indexes, rangeOf(query, position), query);
      for (const entry of entries) {
        if (records.length + unreadable === limit && position !== undefined)
          return { records, unreadable, nextCursor: toCursor(position) };
        position = entry.member;
        const record = this.#decodeOrReport(entry);
        if (!record) unreadable += 1;
        else if (isOfKind(record, kind) && matchesFilter(record, query)) records.push(record);
      }
      if (end === '') return { records, unreadable, nextCursor: null };
      position = end;
    }
    return { records, unreadable, nextCursor: position === undefined ? null : toCursor(position) };
  }

  async #read(indexes: readonly string[], range: readonly [string, string], query: JobPageQuery) {
    // One record more than requested shows whether there is a next page.
    const count = query.limit + 1;
    const texts = textsOf(query);
    const maximum = texts.length > 0 ? maxSearched : maxInspected;
    const values = [...indexes, ...range, count, memberPrefixLength, maximum, ...texts];
    const answer = await guardRedis(() => this.#command.lipsyncListJobs(indexes.length, ...values));
    const entries: StoredEntry[] = [];
    for (let index = 1; index < answer.length; index += 3) {
      const [member = '', format = '', text = ''] = answer.slice(index, index + 3);
      entries.push({ member, format, text });
    }
    return { entries, end: answer[0] ?? '' };
  }

  /** The indexes that together contain the jobs of a query, and others only if their records do not match. */
  async #indexesOf(query: JobPageQuery): Promise<readonly string[]> {
    const { kind, status } = query;
    const further = filterIndexes(kind, query);
    if (further.length > 0 && !this.#isIndexed) {
      await indexStoredJobs(this.#connection);
      this.#isIndexed = true;
    }
    if (status !== undefined) return [statusKey(kind, status), ...further];
    return further.length > 0 ? further : [allJobsKey(kind)];
  }

  #decodeOrReport({ member, format, text }: StoredEntry): JobRecord | undefined {
    try {
      return decodeJobRecord({ format, text });
    } catch (error) {
      if (!LipsyncError.isInstance(error)) throw error;
      this.#onUnreadable(idOfMember(member), error);
      return undefined;
    }
  }
}

/** Texts of which the JSON of each matching record contains one; empty if every record may match. */
function textsOf({ metadata }: JobPageQuery): readonly string[] {
  if (!metadata) return [];
  const field = `${JSON.stringify(metadata.key)}:`;
  return [`${field}${JSON.stringify(metadata.text)}`, `${field}${metadata.text}`];
}

/** The latest and the earliest index member of a query, of those after `position`. */
function rangeOf({ fromMs, toMs }: JobPageQuery, position: string | undefined): readonly [string, string] {
  const ends = [position, toMs === undefined ? undefined : earliestMemberAt(toMs)].filter((end) => end !== undefined);
  const latest = ends.sort()[0];
  return [latest === undefined ? '+' : `(${latest}`, fromMs === undefined ? '-' : `[${earliestMemberAt(fromMs)}`];
}
