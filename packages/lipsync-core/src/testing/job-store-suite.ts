import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jobStatuses, lipsyncOptionsSchema, type LipsyncOptionsInput } from '../contract/index.ts';
import type { JobEvent } from '../jobs/job-events.ts';
import type { JobRecord, JobResult } from '../jobs/job-record.ts';
import type { JobStore } from '../jobs/job-store.ts';
import { newJobRecord } from '../jobs/new-job-record.ts';

export interface JobStoreUnderTest {
  readonly store: JobStore;
  dispose(): Promise<void>;
}

const result: JobResult = {
  methodUsed: 'preview',
  degraded: true,
  cached: false,
  durationMs: 1_000,
  outputKey: 'outputs/job_1/output.mp4',
};

/** A record of a waiting job, for tests. */
export function testJobRecord(id: string, createdAtMs = 1_000, options: LipsyncOptionsInput = {}): JobRecord {
  return newJobRecord({
    id,
    options: lipsyncOptionsSchema.parse(options),
    video: { kind: 'url', url: 'https://example.com/clip.mp4' },
    audio: { kind: 'artifact', key: `inputs/${'a'.repeat(64)}`, name: 'speech "one".wav' },
    owner: null,
    nowMs: createdAtMs,
  });
}

/** What every job store promises. `makeStore` is called once per test and gives an empty one. */
export function jobStoreSuite(name: string, makeStore: () => Promise<JobStoreUnderTest>): void {
  describe(`job store: ${name}`, () => {
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

    describe('a record', () => {
      it('comes back as it was stored', async () => {
        const record = testJobRecord('job_1', 1_000, {
          deadlineMs: 5_000,
          metadata: { title: 'Grüße, 世界 😀', deep: [1, { a: null }], empty: {} },
        });
        await store.create(record);
        expect(await store.get('job_1')).toEqual(record);
      });

      it('that is at its end hears what it cost, and stays among those at their end', async () => {
        const attempt = {
          provider: 'heygen',
          outcome: 'canceled',
          code: 'canceled',
          message: null,
          startedAtMs: 1,
          endedAtMs: 2,
          costMicros: null,
          operation: null,
          operationAtMs: null,
          transientFailures: 0,
        } as const;
        await store.create({ ...testJobRecord('job_1'), attempts: [attempt] });
        await finish('job_1', { type: 'canceled', atMs: 3_000 });
        await store.append('job_1', { type: 'attempt_billed', index: 0, costMicros: 70 });
        expect(await store.get('job_1')).toMatchObject({ status: 'canceled', attempts: [{ costMicros: 70 }] });
        expect([
          (await store.list({ status: 'canceled', limit: 10 })).records.length,
          await store.unfinished(),
        ]).toEqual([1, []]);
      });

      it('is undefined when it was never stored', async () => {
        expect(await store.get('job_1')).toBeUndefined();
      });

      it('is not replaced by another one with its id', async () => {
        const first = testJobRecord('job_1', 1_000);
        await store.create(first);
        await expect(store.create(testJobRecord('job_1', 2_000))).rejects.toMatchObject({ code: 'internal' });
        expect(await store.get('job_1')).toEqual(first);
        expect((await store.list({ limit: 10 })).records).toHaveLength(1);
      });
    });

    describe('events', () => {
      it('change the stored record and return it', async () => {
        await store.create(testJobRecord('job_1'));
        const returned = await store.append('job_1', { type: 'run_started', atMs: 2_000 });
        expect(returned).toMatchObject({ status: 'processing', runs: 1, revision: 1, startedAtMs: 2_000 });
        expect(await store.get('job_1')).toEqual(returned);
      });

      it('that change nothing leave the revision alone', async () => {
        await store.create(testJobRecord('job_1'));
        await store.append('job_1', { type: 'cancel_requested' });
        expect(await store.append('job_1', { type: 'cancel_requested' })).toMatchObject({
          revision: 1,
          cancelRequested: true,
        });
      });

      it('for a job that does not exist are refused', async () => {
        await expect(store.append('job_1', { type: 'cancel_requested' })).rejects.toMatchObject({ code: 'not_found' });
        expect(await store.get('job_1')).toBeUndefined();
      });

      it('lose nothing when fifty come at once', async () => {
        await store.create(testJobRecord('job_1'));
        const events = Array.from({ length: 50 }, (_, index): JobEvent => ({
          type: 'run_started',
          atMs: 2_000 + index,
        }));
        const returned = await Promise.all(events.map((event) => store.append('job_1', event)));
        expect(await store.get('job_1')).toMatchObject({ runs: 50, crashes: 49, revision: 50 });
        expect(new Set(returned.map(({ runs }) => runs)).size).toBe(50);
      });

      it('never take progress back, whatever order they arrive in', async () => {
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
      ] as const)('after a job is %s change nothing any more', async (status, event) => {
        await store.create(testJobRecord('job_1'));
        const ended = await finish('job_1', event);
        expect(ended.status).toBe(status);
        await store.append('job_1', { type: 'run_started', atMs: 9_000 });
        await store.append('job_1', { type: 'canceled', atMs: 9_000 });
        await store.append('job_1', { type: 'cancel_requested' });
        expect(await store.get('job_1')).toEqual(ended);
      });

      it('that end a job in two ways at once end it in one', async () => {
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

    describe('lists', () => {
      it('begin with the newest', async () => {
        await createAll(testJobRecord('job_b', 2_000), testJobRecord('job_c', 3_000), testJobRecord('job_a', 1_000));
        expect(ids((await store.list({ limit: 10 })).records)).toEqual(['job_c', 'job_b', 'job_a']);
      });

      it('give every job exactly once over pages, also when many were made in the same millisecond', async () => {
        await createAll(
          ...Array.from({ length: 25 }, (_, index) =>
            testJobRecord(`job_${String(index).padStart(2, '0')}`, 1_000 + Math.floor(index / 10)),
          ),
        );
        const pages = await allPages(store, 4);
        expect(pages.map((page) => page.length)).toEqual([4, 4, 4, 4, 4, 4, 1]);
        expect(pages.flat()).toEqual(ids((await store.list({ limit: 100 })).records));
        expect(new Set(pages.flat()).size).toBe(25);
      });

      it('have no next page when the last one is just full', async () => {
        await createAll(testJobRecord('job_a'), testJobRecord('job_b'));
        expect((await store.list({ limit: 2 })).nextCursor).toBeNull();
      });

      it('go on where they were when newer jobs arrive in between', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 2_000));
        const first = await store.list({ limit: 1 });
        await store.create(testJobRecord('job_c', 3_000));
        const second = await store.list({
          limit: 1,
          ...(first.nextCursor === null ? {} : { cursor: first.nextCursor }),
        });
        expect([...ids(first.records), ...ids(second.records)]).toEqual(['job_b', 'job_a']);
      });

      it('go on where they were when the job they stopped at has left the list', async () => {
        await createAll(testJobRecord('job_a', 1_000), testJobRecord('job_b', 2_000), testJobRecord('job_c', 3_000));
        const { nextCursor } = await store.list({ status: 'queued', limit: 2 });
        await store.append('job_b', { type: 'canceled', atMs: 4_000 });
        const rest = await store.list({
          status: 'queued',
          limit: 2,
          ...(nextCursor === null ? {} : { cursor: nextCursor }),
        });
        expect(ids(rest.records)).toEqual(['job_a']);
      });

      it('by status hold each job under its present status only', async () => {
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
          jobStatuses.map(async (status) => ids((await store.list({ status, limit: 10 })).records)),
        );
        expect(listed).toEqual([['job_1'], ['job_2'], ['job_3'], ['job_4'], ['job_5']]);
      });

      it.each([0, 101, 1.5, -1, Number.NaN])('of %d jobs are refused', async (limit) => {
        await expect(store.list({ limit })).rejects.toMatchObject({ code: 'request_invalid' });
      });

      it.each(['', 'nonsense', '(+', Buffer.from('+').toString('base64url')])(
        'from the made-up cursor %j are refused',
        async (cursor) => {
          await expect(store.list({ limit: 10, cursor })).rejects.toMatchObject({ code: 'request_invalid' });
        },
      );
    });

    it('names the jobs that are not at an end, oldest first', async () => {
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
  });
}

function ids(records: readonly JobRecord[]): string[] {
  return records.map(({ id }) => id);
}

async function allPages(store: JobStore, limit: number): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | null = null;
  do {
    const page = await store.list({ limit, ...(cursor === null ? {} : { cursor }) });
    pages.push(ids(page.records));
    cursor = page.nextCursor;
  } while (cursor !== null && pages.length < 100);
  return pages;
}
