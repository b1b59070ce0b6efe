import { beforeEach, describe, expect, it } from 'vitest';
import { lipsyncJob, testJobRecord, testAttempt } from '../testing/test-records.ts';
import { createMemoryJobStore } from '../testing/memory-job-store.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';
import { toJobView } from './job-view.ts';
import { recordLateCost } from './attempt-recorder.ts';
import type { Attempt } from '../providers/attempt.ts';

const attempt = (change: Partial<Attempt>): Attempt =>
  testAttempt({
    outcome: 'failed',
    code: 'provider_failed',
    endedAtMs: 2,
    ...change,
  });

let store: JobStore;

beforeEach(() => {
  store = createMemoryJobStore();
});

/** Creates a job and returns its cost as callers see it. */
async function costOf(change: Partial<JobRecord<'lipsync'>>): Promise<number | null> {
  await store.create({ ...testJobRecord('job_1'), ...change });
  return costNow();
}

async function costNow(): Promise<number | null> {
  const record = await store.get('job_1');
  return toJobView(lipsyncJob(record), null).cost_usd;
}

const tell = (index: number, costMicros: number): Promise<boolean> =>
  recordLateCost(store, { jobId: 'job_1', index, costMicros });

describe('The cost of a job without an output', () => {
  it.each(['failed', 'canceled'] as const)('The cost of a %s job is the sum of its attempts.', async (status) => {
    expect(await costOf({ status, attempts: [attempt({ costMicros: 70_000 }), attempt({ costMicros: 5 })] })).toBe(
      0.070005,
    );
  });

  it.each(['failed', 'canceled'] as const)('A %s job without attempts costs nothing.', async (status) => {
    expect(await costOf({ status })).toBe(0);
  });

  it('The cost of a running job is null.', async () => {
    expect(await costOf({ status: 'processing', attempts: [attempt({ costMicros: 5 })] })).toBeNull();
  });

  it('The cost is null until every attempt is settled.', async () => {
    expect(await costOf({ status: 'canceled', attempts: [attempt({ costMicros: 5 }), attempt({})] })).toBeNull();
    expect(await tell(1, 70_000)).toBe(true);
    expect(await costNow()).toBe(0.070005);
  });
});

describe('A cost that becomes known during the next attempt', () => {
  it('The run does not overwrite it with the attempts that it saves.', async () => {
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
    expect(lipsyncJob(record).attempts).toMatchObject([
      { costMicros: 70_000 },
      { outcome: 'succeeded', costMicros: 5 },
    ]);
  });
});

describe('A cost that becomes known after the end of the job', () => {
  it('It completes the cost of the job, and is added once even if it is reported twice.', async () => {
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

  it('It is not accepted while the attempt is open.', async () => {
    await costOf({ status: 'processing', attempts: [attempt({ outcome: 'running' })] });
    expect(await tell(0, 70_000)).toBe(false);
    expect(lipsyncJob(await store.get('job_1')).attempts[0]?.costMicros).toBeNull();
  });

  it('It is dropped if the job no longer exists.', async () => {
    expect(await tell(0, 70_000)).toBe(true);
  });
});
