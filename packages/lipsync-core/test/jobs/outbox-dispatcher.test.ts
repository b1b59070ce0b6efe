import { beforeEach, describe, expect, it } from 'vitest';
import type { JobStore } from '../../src/jobs/job-store.ts';
import { OutboxDispatcher, type OutboxConsumer } from '../../src/jobs/outbox-dispatcher.ts';
import { testJobRecord } from '../../src/testing/index.ts';
import { createMemoryJobStore } from '../../src/testing/memory-job-store.ts';

const ignore = () => undefined;
const never = new AbortController().signal;
let store: JobStore;
let nowMs: number;
let warnings: unknown[];

beforeEach(() => {
  store = createMemoryJobStore();
  nowMs = 10_000;
  warnings = [];
});

function dispatcherOf(consumers: readonly OutboxConsumer[], change: { consumerLimitMs?: number } = {}) {
  const logger = { debug: ignore, info: ignore, warn: (fields: object) => void warnings.push(fields), error: ignore };
  return new OutboxDispatcher({ store, consumers, clock: { nowMs: () => nowMs }, logger, ...change });
}

async function endJobs(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `job_${`${index}`.padStart(4, '0')}`);
  for (const id of ids) {
    await store.create(testJobRecord(id));
    await store.append(id, { type: 'canceled', atMs: 2_000 });
  }
  return ids;
}

const outbox = async () => (await store.readOutbox(1_000)).map(({ jobId }) => jobId);

describe('OutboxDispatcher', () => {
  it('Every consumer receives each entry of several pages in order, and the outbox is empty afterwards.', async () => {
    const ids = await endJobs(230);
    const seen: [string[], string[]] = [[], []];
    await dispatcherOf(
      seen.map(
        (list) =>
          async ({ jobId }) =>
            void list.push(jobId),
      ),
    ).deliver(never);
    expect(seen).toEqual([ids, ids]);
    expect(await outbox()).toEqual([]);
  });

  it('A failed consumer keeps its entry and not the others, and is retried after 1 s, 2 s, 4 s, at most 60 s.', async () => {
    await endJobs(2);
    const triesAtMs: number[] = [];
    const dispatcher = dispatcherOf([
      async ({ jobId }) => {
        if (jobId !== 'job_0000') return;
        triesAtMs.push(nowMs - 10_000);
        if (triesAtMs.length <= 8) throw new Error('not reachable');
      },
    ]);
    await dispatcher.deliver(never);
    expect(await outbox()).toEqual(['job_0000']);
    for (; nowMs <= 210_000; nowMs += 500) await dispatcher.deliver(never);
    expect(triesAtMs).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183].map((seconds) => seconds * 1_000));
    expect(await outbox()).toEqual([]);
    expect(warnings[0]).toMatchObject({ jobId: 'job_0000', status: 'canceled', failures: 1 });
    expect(warnings).toHaveLength(8);
  });

  it('More failing entries than a page holds do not keep later entries from their consumers.', async () => {
    await endJobs(150);
    const dispatcher = dispatcherOf([
      async ({ jobId }) => {
        if (jobId < 'job_0120') throw new Error('not reachable');
      },
    ]);
    await dispatcher.deliver(never);
    expect(await outbox()).toHaveLength(120);
  });

  it('A consumer that hangs fails at its time limit, and the next entry is delivered.', async () => {
    await endJobs(2);
    const dispatcher = dispatcherOf([({ jobId }) => (jobId === 'job_0000' ? new Promise(() => undefined) : done())], {
      consumerLimitMs: 20,
    });
    await dispatcher.deliver(never);
    expect(await outbox()).toEqual(['job_0000']);
  });

  it('An entry that was delivered but not acknowledged is delivered again.', async () => {
    await endJobs(1);
    const seen: string[] = [];
    const working = store;
    store = { ...working, ackOutbox: () => Promise.reject(new Error('killed')) };
    const consumers: OutboxConsumer[] = [async ({ jobId }) => void seen.push(jobId)];
    await expect(dispatcherOf(consumers).deliver(never)).rejects.toThrow('killed');
    store = working;
    await dispatcherOf(consumers).deliver(never);
    expect(seen).toEqual(['job_0000', 'job_0000']);
    expect(await outbox()).toEqual([]);
  });

  it('The loop survives an outbox that cannot be read, logs it once and stops with its signal.', async () => {
    await endJobs(1);
    const working = store;
    let reads = 0;
    const readOutbox: JobStore['readOutbox'] = (...page) =>
      (reads += 1) <= 3 ? Promise.reject(new Error('Redis is down')) : working.readOutbox(...page);
    const stop = new AbortController();
    const seen: string[] = [];
    const dispatcher = new OutboxDispatcher({
      store: { ...working, readOutbox },
      consumers: [
        async ({ jobId }) => {
          seen.push(jobId);
          stop.abort();
        },
      ],
      clock: { nowMs: () => nowMs },
      logger: { debug: ignore, info: ignore, warn: (fields) => void warnings.push(fields), error: ignore },
      intervalMs: 5,
    });
    await dispatcher.run(stop.signal);
    expect([seen, warnings.length]).toEqual([['job_0000'], 1]);
  });
});

async function done(): Promise<void> {}
