import { beforeEach, describe, expect, it } from 'vitest';
import { testJobRecord } from '../testing/job-store-suite.ts';
import { createMemoryJobStore } from '../testing/memory-job-store.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { toJobView } from './job-view.ts';
import { recordLateCost } from './attempt-recorder.ts';
import type { Attempt } from '../providers/attempt.ts';

const attempt = (change: Partial<Attempt>): Attempt => ({
  provider: 'heygen',
  outcome: 'failed',
  code: 'provider_failed',
  message: null,
  startedAtMs: 1,
  endedAtMs: 2,
  costMicros: null,
  operation: null,
  operationAtMs: null,
  transientFailures: 0,
  ...change,
});

let store: JobStore;

beforeEach(() => {
  store = createMemoryJobStore();
});

/** The cost of a job with these attempts, as callers see it. */
async function costOf(change: Partial<JobRecord>): Promise<number | null> {
  await store.create({ ...testJobRecord('job_1'), ...change });
  return costNow();
}

async function costNow(): Promise<number | null> {
  const record = await store.get('job_1');
  return record ? toJobView(record, null).cost_usd : null;
}

const tell = (index: number, costMicros: number): Promise<boolean> =>
  recordLateCost(store, { jobId: 'job_1', index, costMicros });

describe('the cost of a job that made nothing', () => {
  it.each(['failed', 'canceled'] as const)('is that of all its attempts: %s', async (status) => {
    expect(await costOf({ status, attempts: [attempt({ costMicros: 70_000 }), attempt({ costMicros: 5 })] })).toBe(
      0.070005,
    );
  });

  it.each(['failed', 'canceled'] as const)('is nothing when it tried nothing: %s', async (status) => {
    expect(await costOf({ status })).toBe(0);
  });

  it('is not known while it goes on', async () => {
    expect(await costOf({ status: 'processing', attempts: [attempt({ costMicros: 5 })] })).toBeNull();
  });

  it('is not known while a bill is open, and known from then on', async () => {
    expect(await costOf({ status: 'canceled', attempts: [attempt({ costMicros: 5 }), attempt({})] })).toBeNull();
    expect(await tell(1, 70_000)).toBe(true);
    expect(await costNow()).toBe(0.070005);
  });
});

describe('a bill that comes while the next provider works', () => {
  it('is not wiped out by what that run still saves', async () => {
    const failed = attempt({});
    await costOf({
      status: 'processing',
      runs: 1,
      attempts: [failed, attempt({ outcome: 'running', endedAtMs: null })],
    });
    expect(await tell(0, 70_000)).toBe(true);
    const record = await store.append('job_1', {
      type: 'attempts_changed',
      run: 1,
      attempts: [failed, attempt({ outcome: 'succeeded', costMicros: 5 })],
    });
    expect(record.attempts).toMatchObject([{ costMicros: 70_000 }, { outcome: 'succeeded', costMicros: 5 }]);
  });
});

describe('a bill that comes after the end', () => {
  it('is what the cost of a completed job waits for, and is added once however often it is told', async () => {
    const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1_000, outputKey: 'x' } as const;
    expect(
      await costOf({ status: 'completed', result, attempts: [attempt({}), attempt({ costMicros: 5 })] }),
    ).toBeNull();
    await tell(0, 70_000);
    await tell(0, 70_000);
    expect(await costNow()).toBe(0.070005);
    expect(await store.get('job_1')).toMatchObject({
      status: 'completed',
      attempts: [{ costMicros: 70_000 }, { costMicros: 5 }],
    });
  });

  it('waits for an attempt that goes on', async () => {
    await costOf({ status: 'processing', attempts: [attempt({ outcome: 'running' })] });
    expect(await tell(0, 70_000)).toBe(false);
    expect((await store.get('job_1'))?.attempts[0]?.costMicros).toBeNull();
  });

  it("of a job that is not kept any more is nobody's", async () => {
    expect(await tell(0, 70_000)).toBe(true);
  });
});
