import { expect, it } from 'vitest';
import { createMemoryJobStore } from '../testing/memory-job-store.ts';
import { testJobRecord } from '../testing/test-records.ts';
import type { JobRecord } from './job-record.ts';
import type { JobPage } from './job-store.ts';
import { listMatchingJobs } from './list-matching-jobs.ts';

/** Ids of all pages; every third of `count` jobs matches. */
async function readPages(count: number, limit: number, read = createMemoryJobStore()) {
  for (let index = 0; index < count; index += 1)
    await read.create({
      ...testJobRecord(`job_${String(index).padStart(4, '0')}`, 1_000 + index),
      owner: index % 3 === 0 ? 'ann' : 'bob',
    });
  const pages: string[][] = [];
  let cursor: string | null = null;
  do {
    const query = { kind: 'lipsync', limit, ...(cursor !== null && { cursor }) } as const;
    const page: JobPage<'lipsync'> = await listMatchingJobs(read, query, (record: JobRecord) => record.owner === 'ann');
    pages.push(page.records.map(({ id }) => id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return pages;
}

it('Pages of a filtered list contain every match exactly once, newest first, and no more than the limit.', async () => {
  const pages = await readPages(250, 7);
  const expected = Array.from({ length: 84 }, (_, index) => `job_${String((83 - index) * 3).padStart(4, '0')}`);
  expect(pages.flat()).toEqual(expected);
  expect(Math.max(...pages.map(({ length }) => length))).toBe(7);
});

it('A page of a filtered list reads a bounded number of records and leads to the next ones.', async () => {
  const store = createMemoryJobStore();
  let reads = 0;
  const counted: typeof store = {
    ...store,
    async list() {
      reads += 1;
      return { records: [], unreadable: 1, nextCursor: `after-${reads}` };
    },
  };
  expect(await listMatchingJobs(counted, { kind: 'lipsync', limit: 5 }, () => true)).toEqual({
    records: [],
    unreadable: 10,
    nextCursor: 'after-10',
  });
});
