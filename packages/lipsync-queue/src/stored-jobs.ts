import { decodeJobRecord, jobKinds, LipsyncError, type JobRecord } from '@lipsync/core/host';
import type { Redis } from 'ioredis';
import { guardRedis } from './connection.ts';
import { allJobsKey, endTimeOf, idOfMember, indexedJobsKey, indexMember, jobKey, lastingIndexes } from './job-keys.ts';
import { indexJobsScript } from './job-scripts.ts';

const batchSize = 200;

/** Yields the ids of all stored jobs of every kind, oldest first within a kind, in batches. */
export async function* listStoredJobs(connection: Redis): AsyncGenerator<readonly string[]> {
  for (const kind of jobKinds) {
    let start = '-';
    for (;;) {
      const members = await guardRedis(() =>
        connection.zrange(allJobsKey(kind), start, '+', 'BYLEX', 'LIMIT', 0, batchSize),
      );
      const last = members.at(-1);
      if (last === undefined) break;
      yield members.map(idOfMember);
      start = `(${last}`;
    }
  }
}

/**
 * Adds the jobs that earlier versions stored to the indexes by API key, user, method and end; once per installation. May be
 * interrupted and run twice. Unreadable records are left out. Throws `resource_exhausted` without Redis.
 */
export async function indexStoredJobs(connection: Redis): Promise<void> {
  if (await guardRedis(() => connection.exists(indexedJobsKey))) return;
  for await (const ids of listStoredJobs(connection)) {
    const records = await readRecords(connection, ids);
    const values = records.flatMap((record) => [
      record.id,
      indexMember(record),
      lastingIndexes(record).join(' '),
      endTimeOf(record),
    ]);
    await guardRedis(() => connection.eval(indexJobsScript, 0, ...values));
  }
  await guardRedis(() => connection.set(indexedJobsKey, '1'));
}

async function readRecords(connection: Redis, ids: readonly string[]): Promise<readonly JobRecord[]> {
  const found = await guardRedis(() => Promise.all(ids.map((id) => connection.hmget(jobKey(id), 'format', 'record'))));
  return found.flatMap(([format, text]) => {
    try {
      return typeof text === 'string' ? [decodeJobRecord({ format: format ?? '', text })] : [];
    } catch (error) {
      if (!LipsyncError.isInstance(error)) throw error;
      return [];
    }
  });
}
