import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jobStatuses } from '../contract/index.ts';
import type { JobEvent } from '../jobs/job-events.ts';
import type { JobFilter } from '../jobs/job-filter.ts';
import type { JobRecord, LipsyncResult } from '../jobs/job-record.ts';
import type { JobPage, JobStore } from '../jobs/job-store.ts';
import type { EncodedJobRecord } from '../jobs/record-codec.ts';
import { testJobRecord, testQualityRecord, testAttempt } from './test-records.ts';

export interface JobStoreUnderTest {
  readonly store: JobStore;
  /** Ids that were passed to `onUnreadable`, in order. */
  readonly reported: readonly string[];
  /** Replaces the stored form of a record, as another version of the service may have written it. */
  overwrite(id: string, stored: EncodedJobRecord): Promise<void>;
  dispose(): Promise<void>;
}

const result: LipsyncResult = {
  methodUsed: 'preview',
  degraded: true,
  cached: false,
  durationMs: 1_000,
  outputKey: 'outputs/job_1/output.mp4',
};

/** Tests the contract of `JobStore`. `makeStore` returns an empty store and is called once per test. */
export function jobStoreSuite(name: string, makeStore: () => Promise<JobStoreUnderTest>): void {
  describe(`Job store on ${name}`, () => {
    let subject: JobStoreUnderTest;
    let store: JobStore;
    const createAll = (...records: readonly JobRecord[]): Promise<void[]> =>
      Promise.all(records.map((record) => store.create(record)));
    const finish = async (id: string, event: JobEvent): Promise<JobRecord> => {
      await store.append(id, { type: 'run_started', atMs: 2_000 });
      return store.append(id, event);
    };

    beforeEach(async () => {
      subject = await makeStore();
      store = subject.store;
    });
    afterEach(() => subject.dispose());

    describe('records', () => {
      it('A stored record is returned unchanged.', async () => {
        const record = testJobRecord('job_1', 1_000, {
          deadlineMs: 5_000,
          metadata: { title: 'Grüße, 世界 😀', deep: [1, { a: null }], empty: {} },
        });
        await store.create(record);
        expect(await store.get('job_1')).toEqual(record);
      });

      it('An ended job accepts the late cost of an attempt and keeps its place in the indexes.', async () => {
        const attempt = testAttempt({
          outcome: 'canceled',
          code: 'canceled',
          endedAtMs: 2,
        });
        await store.create({ ...testJobRecord('job_1'), attempts: [attempt] });
        await finish('job_1', { type: 'canceled', atMs: 3_000 });
        await store.append('job_1', { type: 'attempt_settled', index: 0, costMicros: 70 });
        expect(await store.get('job_1')).toMatchObject({ status: 'canceled', attempts: [{ costMicros: 70 }] });
        expect([
          (await store.list({ kind: 'lipsync', status: 'canceled', limit: 10 })).records.length,
          await store.unfinished(),
        ]).toEqual([1, []]);
      });

      it('An unknown id returns undefined.', async () => {
        expect(await store.get('job_1')).toBeUndefined();
      });

      it('A second record with the same id is refused and changes nothing.', async () => {
        const first = testJobRecord('job_1', 1_000);
        await store.create(first);
        await expect(store.create(testJobRecord('job_1', 2_000))).rejects.toMatchObject({ code: 'internal' });
        expect(await store.get('job_1')).toEqual(first);
        expect((await store.list({ kind: 'lipsync', limit: 10 })).records).toHaveLength(1);
      });
    });

    describe('events', () => {
      it('An event changes the stored record and returns it.', async () => {
        await store.create(testJobRecord('job_1'));
        const returned = await store.append('job_1', { type: 'run_started', atMs: 2_000 });
        expect(returned).toMatchObject({ status: 'processing', runs: 1, revision: 1, startedAtMs: 2_000 });
        expect(await store.get('job_1')).toEqual(returned);
      });

      it('An event without effect does not increase the revision.', async () => {
        await store.create(testJobRecord('job_1'));
        await store.append('job_1', { type: 'cancel_requested' });
        expect(await store.append('job_1', { type: 'cancel_requested' })).toMatchObject({
          revision: 1,
          cancelRequested: true,
        });
      });

      it('An event for an unknown job throws not_found.', async () => {
        await expect(store.append('job_1', { type: 'cancel_requested' })).rejects.toMatchObject({ code: 'not_found' });
        expect(await store.get('job_1')).toBeUndefined();
      });

      it('Fifty concurrent events are all applied.', async () => {
        await store.create(testJobRecord('job_1'));
        const events = Array.from({ length: 50 }, (_, index): JobEvent => ({
          type: 'run_started',
          atMs: 2_000 + index,
        }));
        const returned = await Promise.all(events.map((event) => store.append('job_1', event)));
        expect(await store.get('job_1')).toMatchObject({ runs: 50, crashes: 49, revision: 50 });
        expect(new Set(returned.map(({ runs }) => runs)).size).toBe(50);
      });

      it('Progress never decreases when reports arrive in random order.', async () => {
        await store.create(testJobRecord('job_1'));
        await store.append('job_1', { type: 'run_started', atMs: 2_000 });
        const values = Array.from({ length: 20 }, (_, index) => (index * 37) % 97);
        const returned = await Promise.all(
          values.map((progress) =>
            store.append('job_1', { type: 'progressed', run: 1, stage: 'render', progress, message: `at ${progress}` }),
          ),
        );
        const byRevision = returned
          .toSorted((one, other) => one.revision - other.revision)
          .map(({ progress }) => progress);
        expect(byRevision).toEqual(byRevision.toSorted((one, other) => one - other));
        expect((await store.get('job_1'))?.progress).toBe(Math.max(...values));
      });

      it.each([
        ['completed', { type: 'completed', run: 1, atMs: 3_000, result, warnings: [] }],
        ['failed', { type: 'failed', run: 1, atMs: 3_000, code: 'clip_unusable', message: 'No face.', warnings: [] }],
        ['canceled', { type: 'canceled', atMs: 3_000 }],
      ] as const)('A job that is %s ignores all later events.', async (status, event) => {
        await store.create(testJobRecord('job_1'));
        const ended = await finish('job_1', event);
        expect(ended.status).toBe(status);
        await store.append('job_1', { type: 'run_started', atMs: 9_000 });
        await store.append('job_1', { type: 'canceled', atMs: 9_000 });
        await store.append('job_1', { type: 'cancel_requested' });
        expect(await store.get('job_1')).toEqual(ended);
      });

      it('Two concurrent events that end a job produce one end.', async () => {
        await store.create(testJobRecord('job_1'));
        await store.append('job_1', { type: 'run_started', atMs: 2_000 });
        const [completed, canceled] = await Promise.all([
          store.append('job_1', { type: 'completed', run: 1, atMs: 3_000, result, warnings: [] }),
          store.append('job_1', { type: 'canceled', atMs: 3_000 }),
        ]);
        expect(completed).toEqual(canceled);
        expect(await store.get('job_1')).toEqual(completed);
      });
    });

    it('The outcomes of the ended jobs of a batch are stored with their ends.', async () => {
      const batch = { id: 'batch_1', item: 0, outputName: 'a.mp4' };
      await createAll(
        { ...testJobRecord('job_a'), batch },
        { ...testJobRecord('job_b'), batch: { ...batch, item: 1 } },
        { ...testJobRecord('job_c'), batch: { ...batch, id: 'batch_2' } },
        testJobRecord('job_d'),
      );
      const endedItems = async () =>
        [...(await store.listOutcomes('batch_1'))].filter(([, { status }]) => status !== 'queued');
      expect(await endedItems()).toEqual([]);
      for (const id of ['job_a', 'job_c', 'job_d', 'job_a']) await finish(id, { type: 'canceled', atMs: 3_000 });
      const outcome = { status: 'canceled', durationMs: 0, costMicros: 0 };
      expect(await endedItems()).toEqual([['job_a', outcome]]);
      const { runs: run } = await store.append('job_b', { type: 'run_started', atMs: 3_000 });
      await store.append('job_b', { type: 'released', run });
      expect((await store.listOutcomes('batch_1')).get('job_b')).toMatchObject({ status: 'processing' });
      expect(await store.readOutbox(1)).toMatchObject([{ jobId: 'job_a', batchId: 'batch_1' }]);
    });

    describe('lists', () => {
      it('A list starts with the newest job.', async () => {
        await createAll(testJobRecord('job_b', 2_000), testJobRecord('job_c', 3_000), testJobRecord('job_a', 1_000));
        expect(ids((await store.list({ kind: 'lipsync', limit: 10 })).records)).toEqual(['job_c', 'job_b', 'job_a']);
      });

      it('Pages contain every job exactly once, even if many have the same creation time.', async () => {
        await createAll(
          ...Array.from({ length: 25 }, (_, index) =>
            testJobRecord(`job_${String(index).padStart(2, '0')}`, 1_000 + Math.floor(index / 10)),
          ),
        );
        const pages = await allPages(store, 4);
        expect(pages.map((page) => page.length)).toEqual([4, 4, 4, 4, 4, 4, 1]);
        expect(pages.flat()).toEqual(ids((await store.list({ kind: 'lipsync', limit: 100 })).records));
        expect(new Set(pages.flat()).size).toBe(25);
      });

      it('A list contains the jobs of one kind, with pages of its own.', async () => {
        const quality = [testQualityRecord('job_b', 2_000), testQualityRecord('job_d', 4_000)];
        await createAll(testJobRecord('job_a', 1_000), ...quality, testJobRecord('job_c', 3_000));
        await store.append('job_b', { type: 'canceled', atMs: 5_000 });
        const { records, nextCursor } = await store.list({ kind: 'quality', limit: 1 });
        expect([ids(records), ids((await store.list({ kind: 'lipsync', limit: 10 })).records)]).toEqual([
          ['job_d'],
          ['job_c', 'job_a'],
        ]);
        const rest = await store.list({ kind: 'quality', limit: 1, cursor: nextCursor ?? '' });
        expect([ids(rest.records), rest.nextCursor]).toEqual([['job_b'], null]);
        expect(ids((await store.list({ kind: 'quality', status: 'queued', limit: 9 })).records)).toEqual(['job_d']);
        expect(await store.unfinished()).toEqual(['job_a', 'job_c', 'job_d']);
      });

      it('A full last page has no next cursor.', async () => {
        await createAll(testJobRecord('job_a'), testJobRecord('job_b'));
        expect((await store.list({ kind: 'lipsync', limit: 2 })).nextCursor).toBeNull();
      });

      it('A cursor stays valid when newer jobs arrive.', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 2_000));
        const first = await store.list({ kind: 'lipsync', limit: 1 });
        await store.create(testJobRecord('job_c', 3_000));
        const second = await store.list({
          kind: 'lipsync',
          limit: 1,
          ...(first.nextCursor === null ? {} : { cursor: first.nextCursor }),
        });
        expect([...ids(first.records), ...ids(second.records)]).toEqual(['job_b', 'job_a']);
      });

      it('A cursor stays valid when its job leaves the list.', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 2_000), testJobRecord('job_c', 3_000));
        const { nextCursor } = await store.list({ kind: 'lipsync', status: 'queued', limit: 2 });
        await store.append('job_b', { type: 'canceled', atMs: 4_000 });
        const rest = await store.list({
          kind: 'lipsync',
          status: 'queued',
          limit: 2,
          ...(nextCursor === null ? {} : { cursor: nextCursor }),
        });
        expect(ids(rest.records)).toEqual(['job_a']);
      });

      it('A list by status contains each job under its current status only.', async () => {
        await createAll(...['job_1', 'job_2', 'job_3', 'job_4', 'job_5'].map((id) => testJobRecord(id)));
        await store.append('job_2', { type: 'run_started', atMs: 2_000 });
        await finish('job_3', { type: 'completed', run: 1, atMs: 3_000, result, warnings: [] });
        await finish('job_4', {
          type: 'failed',
          run: 1,
          atMs: 3_000,
          code: 'internal',
          message: 'Broke.',
          warnings: [],
        });
        await store.append('job_5', { type: 'canceled', atMs: 3_000 });
        const listed = await Promise.all(
          jobStatuses.map(async (status) => ids((await store.list({ kind: 'lipsync', status, limit: 10 })).records)),
        );
        expect(listed).toEqual([['job_1'], ['job_2'], ['job_3'], ['job_4'], ['job_5']]);
      });

      it('A list contains the jobs that meet all of its conditions, and pages of it contain each one once.', async () => {
        const { expected, filters, records } = filteredJobs();
        await createAll(...records);
        await finish('job_11', { type: 'canceled', atMs: 3_000 });
        for (const [index, filter] of filters.entries()) {
          const found = (await allPages(store, 100, filter)).flat();
          expect(found, JSON.stringify(filter)).toEqual(expected[index]);
          expect((await allPages(store, 2, filter)).flat(), JSON.stringify(filter)).toEqual(found);
        }
      });

      it.each([0, 101, 1.5, -1, Number.NaN])('A page size of %d is refused.', async (limit) => {
        await expect(store.list({ kind: 'lipsync', limit })).rejects.toMatchObject({ code: 'request_invalid' });
      });

      it.each(['', 'nonsense', '(+', Buffer.from('+').toString('base64url')])(
        'The invalid cursor %j is refused.',
        async (cursor) => {
          await expect(store.list({ kind: 'lipsync', limit: 10, cursor })).rejects.toMatchObject({
            code: 'request_invalid',
          });
        },
      );
    });

    it('Unfinished jobs are returned oldest first.', async () => {
      await createAll(
        testJobRecord('job_d', 4_000),
        testJobRecord('job_a', 1_000),
        testJobRecord('job_c', 3_000),
        testJobRecord('job_b', 2_000),
      );
      await store.append('job_b', { type: 'run_started', atMs: 5_000 });
      await store.append('job_c', { type: 'canceled', atMs: 5_000 });
      expect(await store.unfinished()).toEqual(['job_a', 'job_b', 'job_d']);
    });

    describe('stored formats', () => {
      const newer = { format: '999', text: '{}' };

      it('A record in format 3 is read, listed and changed, and is stored in the current format with its next change.', async () => {
        const record = testJobRecord('job_1');
        await store.create(record);
        await subject.overwrite('job_1', toFormat3(record));
        expect(await store.get('job_1')).toEqual(record);
        expect((await store.list({ kind: 'lipsync', limit: 10 })).records).toEqual([record]);
        const changed = await store.append('job_1', { type: 'run_started', atMs: 2_000 });
        expect(changed).toMatchObject({ runs: 1, kind: 'lipsync', spec: record.spec });
        expect(await store.get('job_1')).toEqual(changed);
        expect(subject.reported).toEqual([]);
      });

      it('A list skips, counts and reports a record that it cannot read, and its cursor stays valid.', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 2_000), testJobRecord('job_c', 3_000));
        await subject.overwrite('job_b', newer);
        const first = await store.list({ kind: 'lipsync', limit: 2 });
        expect(first).toMatchObject({ records: [{ id: 'job_c' }], unreadable: 1 });
        const rest = await store.list({
          kind: 'lipsync',
          limit: 2,
          ...(first.nextCursor === null ? {} : { cursor: first.nextCursor }),
        });
        expect(rest).toMatchObject({ records: [{ id: 'job_a' }], unreadable: 0, nextCursor: null });
        expect(subject.reported).toEqual(['job_b']);
      });

      it.each([
        [newer, 'resource_exhausted'],
        [{ format: '4', text: 'no JSON' }, 'internal'],
        [{ format: '4', text: '{"id":"job_1"}' }, 'internal'],
      ])('A record stored as %j throws %s, is not changed, and stays unfinished.', async (stored, code) => {
        await store.create(testJobRecord('job_1'));
        await subject.overwrite('job_1', stored);
        await expect(store.get('job_1')).rejects.toMatchObject({ code });
        await expect(store.append('job_1', { type: 'canceled', atMs: 1 })).rejects.toMatchObject({ code });
        expect(await store.unfinished()).toEqual(['job_1']);
      });
    });

    describe('the outbox', () => {
      it('The end of a job adds one entry, and entries are returned oldest first.', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 1_000), testJobRecord('job_c', 1_000));
        await store.append('job_b', { type: 'canceled', atMs: 3_000 });
        await finish('job_a', { type: 'completed', run: 1, atMs: 4_000, result, warnings: [] });
        await store.append('job_a', { type: 'canceled', atMs: 5_000 });
        expect(await store.readOutbox(10)).toMatchObject([
          { jobId: 'job_b', kind: 'lipsync', status: 'canceled', atMs: 3_000 },
          { jobId: 'job_a', kind: 'lipsync', status: 'completed', atMs: 4_000 },
        ]);
        const [first] = await store.readOutbox(1);
        expect(await store.readOutbox(10, first?.id)).toMatchObject([{ jobId: 'job_a' }]);
      });

      it('A retried job is unfinished again, and its next end adds an entry of its own.', async () => {
        await store.create(testJobRecord('job_a', 1_000));
        const failed = { type: 'failed', atMs: 3_000, code: 'internal', message: '', warnings: [] } as const;
        await finish('job_a', { ...failed, run: 1 });
        await store.append('job_a', { type: 'retried', atMs: 4_000, start: { plan: null, needs: null } });
        expect(await store.unfinished()).toEqual(['job_a']);
        expect(ids((await store.list({ kind: 'lipsync', status: 'queued', limit: 10 })).records)).toEqual(['job_a']);
        await finish('job_a', { ...failed, run: 2, atMs: 5_000 });
        expect((await store.readOutbox(10)).map(({ retries }) => retries)).toEqual([0, 1]);
        expect(await store.unfinished()).toEqual([]);
      });

      it('Acknowledged entries are removed, and unknown ids are ignored.', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 1_000));
        await store.append('job_a', { type: 'canceled', atMs: 3_000 });
        await store.append('job_b', { type: 'canceled', atMs: 4_000 });
        const [first] = await store.readOutbox(10);
        await store.ackOutbox([first?.id ?? '', '1-1']);
        await store.ackOutbox([]);
        expect(await store.readOutbox(10)).toMatchObject([{ jobId: 'job_b' }]);
      });
    });
  });
}

/** Returns a record as it was stored before records had a kind. */
function toFormat3(record: JobRecord): EncodedJobRecord {
  const { kind: _, spec, traceparent: _traceparent, requestId: _requestId, ...rest } = record;
  return { format: '3', text: JSON.stringify({ ...rest, ...spec }) };
}

function ids(records: readonly JobRecord[]): string[] {
  return records.map(({ id }) => id);
}

/** Twelve jobs, filters, and the ids that each filter finds. */
function filteredJobs() {
  const records = Array.from({ length: 12 }, (_, index) => ({
    ...testJobRecord(`job_${String(index).padStart(2, '0')}`, 1_000 + 100 * index, {
      ...(index % 3 === 0 && { userId: 'Zoë / "1"' }),
      ...(index % 4 === 0 && { method: 'preview' }),
      metadata: { order: index % 2, name: `n${index % 5}`, list: [index] },
    }),
    owner: index % 2 === 0 ? 'alice' : null,
  }));
  const cases: readonly (readonly [JobFilter, readonly number[]])[] = [
    [{ owner: 'alice' }, [10, 8, 6, 4, 2, 0]],
    [{ owner: 'bob' }, []],
    [{ owner: 'constructor' }, []],
    [{ userId: 'Zoë / "1"' }, [9, 6, 3, 0]],
    [{ userId: 'Zoë / "1"', owner: 'alice' }, [6, 0]],
    [{ method: 'preview' }, [8, 4, 0]],
    [{ fromMs: 1_300, toMs: 1_600 }, [5, 4, 3]],
    [{ fromMs: 1_950, owner: 'alice' }, [10]],
    [{ metadata: { key: 'name', text: 'n4' } }, [9, 4]],
    [{ metadata: { key: 'order', text: '1' }, toMs: 1_400 }, [3, 1]],
    [{ metadata: { key: 'list', text: '3' } }, []],
    [{ metadata: { key: 'toString', text: '' } }, []],
    [{ status: 'canceled' }, [11]],
    [{ status: 'canceled', owner: 'alice' }, []],
    [{ status: 'queued', owner: 'alice', method: 'preview', userId: 'Zoë / "1"' }, [0]],
  ];
  return {
    records,
    filters: cases.map(([filter]) => filter),
    expected: cases.map(([, indexes]) => indexes.map((index) => `job_${String(index).padStart(2, '0')}`)),
  };
}

async function allPages(store: JobStore, limit: number, filter: JobFilter = {}): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | null = null;
  do {
    const page: JobPage = await store.list({
      ...filter,
      kind: 'lipsync',
      limit,
      ...(cursor === null ? {} : { cursor }),
    });
    pages.push(ids(page.records));
    cursor = page.nextCursor;
  } while (cursor !== null && pages.length < 100);
  return pages;
}
