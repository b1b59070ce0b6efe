import { LipsyncError } from '../errors/index.ts';
import { applyJobEvent } from '../jobs/job-events.ts';
import { isTerminal, type JobRecord } from '../jobs/job-record.ts';
import type { JobStore } from '../jobs/job-store.ts';

const maxPageSize = 100;

/** A job store that lasts as long as the test that made it. */
export function createMemoryJobStore(): JobStore {
  const records = new Map<string, JobRecord>();
  const newestFirst = (): JobRecord[] =>
    [...records.values()].toSorted((one, other) => (placeOf(one) < placeOf(other) ? 1 : -1));

  return {
    async create(record) {
      if (records.has(record.id)) throw new LipsyncError('internal', `There is a job ${record.id} already.`);
      records.set(record.id, record);
    },
    async get(id) {
      return records.get(id);
    },
    async append(id, event) {
      const record = records.get(id);
      if (!record) throw new LipsyncError('not_found', `There is no job ${id}.`);
      const changed = applyJobEvent(record, event);
      records.set(id, changed);
      return changed;
    },
    async list({ status, limit, cursor }) {
      if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize)
        throw new LipsyncError('request_invalid', `A page holds 1 to ${maxPageSize} jobs.`);
      const before = cursor === undefined ? undefined : decodeCursor(cursor);
      const matching = newestFirst().filter(
        (record) =>
          (status === undefined || record.status === status) && (before === undefined || placeOf(record) < before),
      );
      const page = matching.slice(0, limit);
      const last = page.at(-1);
      return { records: page, nextCursor: last && matching.length > limit ? encodeCursor(placeOf(last)) : null };
    },
    async unfinished() {
      return newestFirst()
        .reverse()
        .filter(({ status }) => !isTerminal(status))
        .map(({ id }) => id);
    },
  };
}

const timeDigits = 16;

/** Sorts by time, then id. */
function placeOf({ createdAtMs, id }: JobRecord): string {
  return `${String(createdAtMs).padStart(timeDigits, '0')} ${id}`;
}

function encodeCursor(place: string): string {
  return Buffer.from(place).toString('base64url');
}

function decodeCursor(cursor: string): string {
  const place = Buffer.from(cursor, 'base64url').toString();
  if (!/^\d{16} ./.test(place)) throw new LipsyncError('request_invalid', 'The cursor is not one of ours.');
  return place;
}
