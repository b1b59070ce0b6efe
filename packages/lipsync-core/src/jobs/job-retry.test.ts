import { describe, expect, it } from 'vitest';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import { abandonChain, runChain } from '../providers/chain.ts';
import type { ChainContext } from '../providers/attempt-runner.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { InlineProvider, Provider, TakeRequest } from '../providers/provider.ts';
import { SettlementReconciler } from '../providers/settlement-reconciler.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { createTestAdmission, createUncappedLedger } from '../testing/test-admission.ts';
import { testPlan } from '../testing/test-plan.ts';
import { lipsyncJob, testJobRecord, testQualityRecord, testAttempt } from '../testing/test-records.ts';
import { applyJobEvent, type JobEvent } from './job-events.ts';
import { firstAttemptOf, type JobRecord } from './job-record.ts';
import { findRetryObstacle } from './job-retry.ts';

const start = { plan: testPlan('heygen'), needs: 'remote' } as const;
const retryAt = (atMs: number): JobEvent => ({ type: 'retried', atMs, start });
const operation = { id: 'op', state: {} };

function failed(record: JobRecord, code: ErrorCode = 'provider_failed'): JobRecord {
  const event = { type: 'failed', run: record.runs, atMs: 2_000, code, message: 'It broke.', warnings: [] } as const;
  return applyJobEvent(record, event);
}

function attempt(change: Partial<Attempt>): Attempt {
  return testAttempt({
    outcome: 'failed',
    code: 'provider_failed',
    endedAtMs: 2,
    costMicros: 0,
    ...change,
  });
}

const withAttempts = (...attempts: readonly Attempt[]): JobRecord =>
  failed({ ...testJobRecord('job_1', 1_000, { deadlineMs: 5_000 }), attempts });
const request = { idempotencyKey: 'k', state: {}, unacknowledgedSinceMs: 1 };

describe('A retry', () => {
  it('queues a failed job with a new deadline and plan, and keeps its attempts.', () => {
    const lost = attempt({});
    expect(applyJobEvent(withAttempts(lost), retryAt(9_000))).toMatchObject({
      status: 'queued',
      stage: 'queued',
      progress: 0,
      error: null,
      completedAtMs: null,
      deadlineAtMs: 14_000,
      attempts: [lost],
      retry: { count: 1, atMs: 9_000, firstAttempt: 1 },
      ...start,
    });
    const quality = applyJobEvent(failed(testQualityRecord('job_2')), retryAt(9_000));
    expect(quality).toMatchObject({ status: 'queued', needs: 'inline', error: null, retry: { count: 1 } });
  });

  it('of a job whose output was deleted because of its age makes one that can be downloaded.', () => {
    const deleted = applyJobEvent(withAttempts(attempt({})), { type: 'files_deleted', files: 'output', atMs: 8_000 });
    expect(deleted).toMatchObject({ outputDeletedAtMs: 8_000 });
    expect(applyJobEvent(deleted, retryAt(9_000))).not.toHaveProperty('outputDeletedAtMs');
  });

  it('changes only a job that has failed.', () => {
    const queued = testJobRecord('job_1');
    const canceled = applyJobEvent(queued, { type: 'canceled', atMs: 2_000 });
    for (const record of [queued, canceled]) expect(applyJobEvent(record, retryAt(9_000))).toBe(record);
  });

  it.each<[string, Partial<Attempt>, boolean]>([
    ['timed out', { operation, code: 'provider_timeout', costMicros: null }, true],
    ['timed out and was billed later', { operation, code: 'provider_timeout', costMicros: 70 }, true],
    ['made a take that was not published', { operation, outcome: 'succeeded', code: null, costMicros: 70 }, true],
    ['was not acknowledged', { request, code: 'deadline_exceeded', costMicros: null }, true],
    ['was not acknowledged and started nothing', { request, code: 'deadline_exceeded' }, false],
    ['failed at the vendor', { operation, code: 'provider_failed' }, false],
    ['timed out and cost nothing', { operation, code: 'provider_timeout' }, false],
    ['is being stopped', { operation, code: 'worker_crashed', costMicros: null, isStopSent: true }, false],
    ['timed out a day ago', { operation, code: 'provider_timeout', costMicros: null, endedAtMs: -86_400_000 }, false],
  ])('of a job whose last operation %s: %j is continued: %s.', (_, change, isContinued) => {
    const record = lipsyncJob(applyJobEvent(withAttempts(attempt({}), attempt(change)), retryAt(9_000)));
    expect(record.retry?.firstAttempt).toBe(isContinued ? 1 : 2);
    expect(record.attempts.at(-1)?.outcome).toBe(isContinued ? 'running' : 'failed');
  });

  it('waits until the cost of an attempt that it does not continue is known.', () => {
    const open = attempt({ operation, code: 'provider_timeout', costMicros: null });
    expect(findRetryObstacle(withAttempts(open, attempt({ provider: 'wav2lip' })), 9_000)).toBe('cost_unknown');
    expect(findRetryObstacle(withAttempts(attempt({ provider: 'wav2lip' }), open), 9_000)).toBeUndefined();
    const settled = withAttempts({ ...open, costMicros: 70 }, attempt({ provider: 'wav2lip' }));
    expect(findRetryObstacle(settled, 9_000)).toBeUndefined();
  });

  it('needs the query of a URL, which an ended job no longer has.', () => {
    expect(findRetryObstacle(failed(testQualityRecord('job_1')), 9_000)).toBe('inputs_gone');
    const { spec, ...record } = testQualityRecord('job_1');
    const video = { kind: 'url', url: 'https://example.org/video.mp4' } as const;
    expect(findRetryObstacle(failed({ ...record, spec: { ...spec, video } }), 9_000)).toBeUndefined();
  });
});

describe('The provider chain after a retry', () => {
  const local: InlineProvider = {
    kind: 'inline',
    facts: { id: 'wav2lip', degraded: false },
    run: async () => ({ path: 'take.mp4', warnings: [], costMicros: 0 }),
  };

  /** Runs the chain of a job over the real admission. */
  function openChain() {
    const time = { nowMs: 1_000 };
    const clock = { nowMs: () => time.nowMs };
    const state = createMemoryState().open();
    const ledger = createUncappedLedger({ state, clock });
    const pendingSettlements = new PendingSettlementStore({ state, clock });
    const vendor = new ScriptedVendor();
    let record: JobRecord<'lipsync'> = testJobRecord('job_1');
    const context = (): ChainContext => ({
      jobId: 'job_1',
      payer: { user: null },
      maxCostMicros: null,
      admission: createTestAdmission({ state, clock, ledger, pendingSettlements }),
      canRun: () => true,
      signal: new AbortController().signal,
      clock,
      onProgress: () => undefined,
      earlierAttempts: record.attempts,
      firstAttempt: firstAttemptOf(record),
      saveAttempts: async (attempts) => void (record = { ...record, attempts }),
    });
    return {
      time,
      vendor,
      reconciler: new SettlementReconciler({ store: pendingSettlements, ledger, clock }),
      record: () => record,
      apply: (event: JobEvent) => void (record = lipsyncJob(applyJobEvent(record, event))),
      // The fakes read only the job id.
      run: (chain: readonly Provider[] = [vendor]) =>
        runChain(chain, async () => ({ jobId: 'job_1' }) as TakeRequest, context()),
      abandon: (reason: LipsyncError) => abandonChain([vendor], reason, context()),
      spentMicros: async () => {
        const rows = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
        return rows.map((row) => [row.spentMicros, row.reservedMicros]);
      },
    };
  }

  it('An operation that was still running at the deadline is collected by the retry and paid for once.', async () => {
    const job = openChain();
    job.vendor.checks = ['pending'];
    await job.run();
    await job.abandon(new LipsyncError('deadline_exceeded', 'Too late.'));
    job.apply({ type: 'failed', run: 0, atMs: 2_000, code: 'deadline_exceeded', message: '', warnings: [] });
    expect(job.record().attempts).toMatchObject([{ outcome: 'failed', costMicros: null }]);
    job.time.nowMs = 3_600_000;
    job.apply({ type: 'retried', atMs: job.time.nowMs, start });
    expect(await job.run()).toMatchObject({ type: 'made' });
    expect(job.vendor.started).toEqual(['job_1-0']);
    expect(job.record().attempts).toMatchObject([{ outcome: 'succeeded', costMicros: 70 }]);
    expect(await job.reconciler.reconcile([job.vendor], new AbortController().signal)).toBe(0);
    expect(await job.spentMicros()).toEqual([[70, 0]]);
  });

  it('All providers are tried again, in their order, and a new attempt has a ledger entry of its own.', async () => {
    const job = openChain();
    job.vendor.checks = ['failed', 'failed', 'done'];
    for (const atMs of [10_000, 20_000]) {
      await expect(job.run()).rejects.toMatchObject({ code: 'provider_failed' });
      job.apply({ type: 'failed', run: 0, atMs, code: 'provider_failed', message: '', warnings: [] });
      job.apply({ type: 'retried', atMs, start });
    }
    expect(await job.run([job.vendor, local])).toMatchObject({ type: 'made', provider: job.vendor });
    expect(job.vendor.started).toEqual(['job_1-0', 'job_1-1', 'job_1-2']);
    expect(job.record().retry).toMatchObject({ count: 2, firstAttempt: 2 });
    expect(await job.spentMicros()).toEqual([[70, 0]]);
  });
});
