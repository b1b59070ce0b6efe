import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, ProviderError } from '../errors/index.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import { Ledger } from '../billing/ledger.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots, type ConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import type { Admission } from './admission.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { SettlementReconciler } from './settlement-reconciler.ts';
import { runChain, type ChainOutcome } from './chain.ts';
import type { ChainContext } from './attempt-runner.ts';
import type { InlineProvider, RemoteProvider, Take, TakeRequest } from './provider.ts';
import { SharedAdmission } from '../jobs/admission.ts';
import type { Attempt } from './attempt.ts';
import { toMicros } from '../billing/micros.ts';

const take: Take = { path: 'take.mp4', warnings: [], costMicros: 0 };
// The doubles below look at the job's id only.
const request = { jobId: 'job_1' } as TakeRequest;
const never = new AbortController().signal;

const local: InlineProvider = {
  kind: 'inline',
  facts: { id: 'wav2lip', degraded: false },
  run: async () => take,
};

const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };
let vendor: ScriptedVendor;
let ledger: Ledger;
let breaker: CircuitBreaker;
let slots: ConcurrencySlots;
let reconciler: SettlementReconciler;
let admission: Admission;
/** How often it was told that a place is free. */
let freed: number;
/** The attempts as the job's record has them. */
let attempts: readonly Attempt[];

beforeEach(async () => {
  time.nowMs = Date.UTC(2026, 10, 21);
  vendor = new ScriptedVendor();
  attempts = [];
  freed = 0;
  const state = createMemoryState().open();
  ledger = new Ledger({
    state,
    clock,
    caps: { dailyMicros: toMicros(1_000), monthlyMicros: null, userDailyMicros: null },
  });
  breaker = new CircuitBreaker({ state, clock });
  slots = createConcurrencySlots({ state, clock });
  const pendingSettlements = new PendingSettlementStore({ state, clock });
  reconciler = new SettlementReconciler({
    store: pendingSettlements,
    ledger,
    clock,
    onSettled: async ({ provider, jobId }) => void (await slots.release(provider, jobId)),
  });
  admission = new SharedAdmission({
    breaker,
    slots,
    ledger,
    pendingSettlements,
    clock,
    slotPollIntervalMs: 30_000,
    onSlotReleased: () => (freed += 1),
  });
  await breaker.recordAcceptance('heygen');
});

function contextOf(change: Partial<ChainContext> = {}): ChainContext {
  return {
    jobId: 'job_1',
    user: null,
    maxCostMicros: null,
    admission,
    canRun: () => true,
    signal: never,
    earlierAttempts: attempts,
    clock,
    onProgress: () => undefined,
    async saveAttempts(changed) {
      attempts = changed;
    },
    ...change,
  };
}

/** One run of the job, which goes on with what the ones before saved. */
function run(
  change: Partial<ChainContext> = {},
  chain: readonly (RemoteProvider | InlineProvider)[] = [vendor],
): Promise<ChainOutcome> {
  return runChain(chain, async () => request, contextOf(change));
}

/** Runs the job whenever it is due, until it waits no longer. */
async function runToItsEnd(chain?: readonly (RemoteProvider | InlineProvider)[]): Promise<ChainOutcome> {
  for (;;) {
    const outcome = await run({}, chain);
    if (outcome.type !== 'waiting') return outcome;
    time.nowMs = Math.max(time.nowMs, outcome.untilMs);
  }
}

async function spent(): Promise<{ readonly spentMicros: number; readonly reservedMicros: number }> {
  const rows = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
  return {
    spentMicros: rows.reduce((sum, row) => sum + row.spentMicros, 0),
    reservedMicros: rows.reduce((sum, row) => sum + row.reservedMicros, 0),
  };
}

const holders = async (): Promise<readonly string[]> => (await slots.holders('heygen')).map(({ jobId }) => jobId);

describe('a job at a remote provider', () => {
  it('waits until the time that the provider names, then goes on with the same operation to the take', async () => {
    vendor.checks = ['pending', 'pending', 'done'];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 5_000 });
    expect(await spent()).toEqual({ spentMicros: 0, reservedMicros: 100 });
    expect(await holders()).toEqual(['job_1']);
    expect(await runToItsEnd()).toMatchObject({ type: 'made', take: { path: 'take.mp4', costMicros: 70 } });
    expect(vendor.started).toEqual(['job_1-0']);
    expect(attempts).toMatchObject([{ outcome: 'succeeded', costMicros: 70, operation: { id: 'op-of-job_1-0' } }]);
    expect([await spent(), await holders(), freed]).toEqual([{ spentMicros: 70, reservedMicros: 0 }, [], 1]);
  });

  it('has its attempt saved before its order is made, that before it is started, its operation before it is asked for, its cost before it is collected', async () => {
    const saved: unknown[] = [];
    await run({
      saveAttempts: async ([last]) =>
        void saved.push([last?.outcome, last?.request?.idempotencyKey, last?.operation?.id, last?.costMicros]),
    });
    expect(saved).toEqual([
      ['running', undefined, undefined, null],
      ['running', 'job_1-0', undefined, null],
      ['running', 'job_1-0', 'op-of-job_1-0', null],
      ['running', 'job_1-0', 'op-of-job_1-0', 70],
      ['succeeded', 'job_1-0', 'op-of-job_1-0', 70],
    ]);
  });

  it('prepares nothing while the operation only runs', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    const prepare = (): Promise<TakeRequest> => Promise.reject(new Error('was prepared'));
    expect(await runChain([vendor], prepare, contextOf())).toMatchObject({ type: 'waiting' });
  });

  it('waits as long as a limited vendor says, and tries with the same key', async () => {
    vendor.starts = [new ProviderError('rate_limited', 'Slower.', { retryAfterMs: 17_000 })];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 17_000 });
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toEqual(['job_1-0', 'job_1-0']);
  });

  it.each([
    ['a limited vendor', 'rate_limited'],
    ['one that is out of order', 'provider_unavailable'],
  ] as const)('does not ask %s without end that says to ask again at once', async (_, code) => {
    vendor.starts = [new ProviderError(code, 'Now.', { retryAfterMs: 0 })];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 1_000 });
  });

  it('waits as long as a vendor says that is out of order', async () => {
    vendor.starts = [new ProviderError('provider_unavailable', 'Later.', { retryAfterMs: 60_000 })];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 60_000 });
  });

  it('looks once more at an operation when its time is up, however long its vendor wants not to be asked', async () => {
    vendor.checks = [new ProviderError('rate_limited', 'Slower.', { retryAfterMs: 3_600_000 }), 'done'];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + vendor.timeoutMs });
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('is tried three times in one attempt and with one key when it cannot be started, then goes on to the next provider', async () => {
    vendor.starts = ['provider_unavailable', 'provider_unavailable', 'provider_unavailable'];
    expect(await runToItsEnd([vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(vendor.started).toEqual(['job_1-0', 'job_1-0', 'job_1-0']);
    expect(attempts.map(({ provider, code }) => [provider, code])).toEqual([
      ['heygen', 'provider_unavailable'],
      ['wav2lip', null],
    ]);
    expect([await holders(), (await breaker.inspect('heygen')).recentFaults]).toEqual([[], 1]);
  });

  it('is asked for as long as there is time when the vendor does not answer', async () => {
    vendor.checks = [...Array.from({ length: 12 }, () => 'provider_unavailable' as const), 'done'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toHaveLength(1);
  });

  it('fetches a take that was paid for three times, however silent the vendor was before', async () => {
    vendor.checks = Array.from({ length: 5 }, () => 'provider_unavailable' as const);
    vendor.collects = ['provider_unavailable', 'provider_unavailable', 'take'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('fetches a take that was paid for at the last moment beyond the limit of its operation', async () => {
    vendor.checks = ['pending'];
    await run();
    time.nowMs += vendor.timeoutMs - 1;
    vendor.collects = ['provider_unavailable'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('waits for the link of a take that was paid for beyond the limit of its operation', async () => {
    vendor.checks = ['pending'];
    await run();
    time.nowMs += vendor.timeoutMs - 1;
    vendor.checks = ['billed', 'billed', 'billed'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('looks once more for a take that was paid for, however long its vendor wants not to be asked', async () => {
    vendor.collects = [new ProviderError('provider_unavailable', 'Later.', { retryAfterMs: 3_600_000 })];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('waits for room for a take that was paid for', async () => {
    vendor.collects = ['resource_exhausted', 'resource_exhausted', 'resource_exhausted', 'resource_exhausted'];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 30_000 });
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('has paid for a take that turned out to be unusable, and goes on to the next provider', async () => {
    vendor.collects = ['provider_protocol'];
    expect(await runToItsEnd([vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(attempts).toMatchObject([
      { outcome: 'failed', code: 'provider_protocol', costMicros: 70 },
      { outcome: 'succeeded' },
    ]);
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('goes on to the next provider when its time is up, and its bill stays open and its place taken until the vendor says', async () => {
    vendor.checks = Array.from({ length: 1_000 }, () => 'pending' as const);
    const beganMs = time.nowMs;
    expect(await runToItsEnd([vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(time.nowMs - beganMs).toBe(vendor.timeoutMs);
    expect(attempts).toMatchObject([
      { outcome: 'failed', code: 'provider_timeout', costMicros: null },
      { outcome: 'succeeded' },
    ]);
    expect([await spent(), await holders()]).toEqual([{ spentMicros: 0, reservedMicros: 100 }, ['job_1']]);
    vendor.checks = [];
    expect(await reconciler.reconcile([vendor], never)).toBe(1);
    expect([await spent(), await holders()]).toEqual([{ spentMicros: 70, reservedMicros: 0 }, []]);
  });

  it('has all of its time although no worker was there between its beginning and its operation', async () => {
    vendor.starts = ['provider_unavailable'];
    await run();
    time.nowMs += vendor.timeoutMs + 1;
    vendor.checks = ['pending'];
    expect(await run()).toMatchObject({ type: 'waiting' });
  });

  it('goes on to the next provider without asking when the budget does not allow it', async () => {
    expect(await run({ maxCostMicros: 99 }, [vendor, local])).toMatchObject({
      type: 'made',
      provider: { kind: 'inline' },
    });
    expect(vendor.started).toEqual([]);
    expect(attempts).toMatchObject([{ outcome: 'failed', code: 'budget_exceeded' }, { outcome: 'succeeded' }]);
    await ledger.reserve({
      id: 'other',
      jobId: 'other',
      provider: 'heygen',
      user: null,
      micros: toMicros(950),
      atMs: time.nowMs,
    });
    attempts = [];
    await run({ jobId: 'job_2' }, [vendor, local]);
    expect([vendor.started, attempts[0]?.code, await holders()]).toEqual([[], 'budget_exceeded', []]);
  });

  it('goes on to the next provider without asking while the breaker is open, and is no further fault', async () => {
    await breaker.report('heygen', 'other', 'opens');
    const { openUntilMs } = await breaker.inspect('heygen');
    expect(await run({}, [vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(attempts).toMatchObject([
      {
        outcome: 'failed',
        code: 'provider_unavailable',
        message: expect.stringContaining('rejected our credentials or has no credit left'),
        costMicros: 0,
      },
      { outcome: 'succeeded' },
    ]);
    expect([vendor.started, await holders(), await breaker.inspect('heygen')]).toMatchObject([
      [],
      [],
      { openUntilMs, openings: 1 },
    ]);
  });

  it('does not stand in line while the breaker is open, whoever keeps the places for what may still run', async () => {
    vendor.maxConcurrent = 1;
    await slots.acquire('heygen', 'other', { limit: 1 });
    await slots.keep('heygen', 'other', time.nowMs + 600_000);
    await breaker.report('heygen', 'other', 'opens');
    expect(await run({}, [vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
  });

  it('goes on with its operation although the breaker opened meanwhile', async () => {
    vendor.checks = ['pending', 'done'];
    await run();
    await breaker.report('heygen', 'other', 'opens');
    expect(await run()).toMatchObject({ type: 'made' });
  });

  it('is booked for the time that it takes when it is made here instead', async () => {
    const slow: InlineProvider = {
      ...local,
      async run() {
        time.nowMs += 3_600;
        return take;
      },
    };
    expect(await run({ localPrice: { microsPerHour: 500_000, quote: async () => 0 } }, [slow])).toMatchObject({
      type: 'made',
      take: { costMicros: 500 },
    });
    expect(await spent()).toEqual({ spentMicros: 500, reservedMicros: 0 });
  });

  it('stands in line while all places are taken, without an attempt', async () => {
    vendor.maxConcurrent = 1;
    await slots.acquire('heygen', 'other', { limit: 1 });
    const outcome = await run();
    expect(outcome).toMatchObject({ type: 'waiting' });
    expect(outcome.type === 'waiting' ? outcome.untilMs - time.nowMs : 0).toSatisfy(
      (waitMs: number) => waitMs >= 30_000 && waitMs <= 40_000,
    );
    expect(attempts).toEqual([]);
    await slots.release('heygen', 'other');
    expect(await run()).toMatchObject({ type: 'made' });
  });
});

describe('a remote attempt after a crash', () => {
  const crashed = (change: Partial<Attempt>): void => {
    attempts = [
      {
        provider: 'heygen',
        outcome: 'running',
        code: null,
        message: null,
        startedAtMs: time.nowMs,
        endedAtMs: null,
        costMicros: null,
        operation: null,
        operationAtMs: null,
        transientFailures: 0,
        ...change,
      },
    ];
  };

  it('goes on with its operation instead of starting another', async () => {
    crashed({ operation: { id: 'op-old', state: {} }, operationAtMs: time.nowMs });
    await ledger.reserve({
      id: 'job_1-0',
      jobId: 'job_1',
      provider: 'heygen',
      user: null,
      micros: toMicros(100),
      atMs: time.nowMs,
    });
    expect(await run()).toMatchObject({ type: 'made' });
    expect([vendor.started, attempts.length]).toEqual([[], 1]);
  });

  it('is started again with the same key when its operation was not known, once there is a place', async () => {
    crashed({});
    vendor.maxConcurrent = 1;
    await slots.acquire('heygen', 'other', { limit: 1 });
    expect(await run()).toMatchObject({ type: 'waiting' });
    await slots.release('heygen', 'other');
    expect(await run()).toMatchObject({ type: 'made' });
    expect(vendor.started).toEqual(['job_1-0']);
  });

  it('collects a take that was made but not published, and pays for it once', async () => {
    await runToItsEnd();
    expect(await run()).toMatchObject({ type: 'made' });
    expect([vendor.started.length, attempts.length, await spent()]).toEqual([
      1,
      1,
      { spentMicros: 70, reservedMicros: 0 },
    ]);
  });

  it('at any of its saves has paid once', async () => {
    for (let survived = 0; survived < 5; survived += 1) {
      attempts = [];
      vendor = new ScriptedVendor();
      const jobId = `job_${survived}`;
      let saves = 0;
      const killed = new StoreFailure(new Error('killed'));
      const cutOff = run({
        jobId,
        async saveAttempts(changed) {
          if ((saves += 1) > survived) throw killed;
          attempts = changed;
        },
      });
      await expect(cutOff).rejects.toBe(killed);
      expect(await run({ jobId })).toMatchObject({ type: 'made' });
      expect(new Set(vendor.started).size).toBe(1);
    }
    expect([await spent(), await holders()]).toEqual([{ spentMicros: 5 * 70, reservedMicros: 0 }, []]);
  });
});

describe('a store that fails', () => {
  it('is blamed on no provider: neither when an operation cannot be saved nor when the account cannot be kept', async () => {
    const failure = new StoreFailure(new Error('away'));
    const unsaved = run({
      saveAttempts: async ([last]) =>
        last?.operation ? Promise.reject(failure) : void (attempts = last ? [last] : []),
    });
    await expect(unsaved).rejects.toBe(failure);
    expect(attempts).toMatchObject([{ outcome: 'running' }]);
    const away = new LipsyncError('resource_exhausted', 'The store is away.');
    const broken = new SharedAdmission({
      breaker,
      slots,
      pendingSettlements: new PendingSettlementStore({ state: createMemoryState().open(), clock }),
      clock,
      slotPollIntervalMs: 1,
      onSlotReleased: () => undefined,
      ledger: Object.assign(ledger, { reserve: () => Promise.reject(away) }),
    });
    await expect(run({ jobId: 'job_2', admission: broken, earlierAttempts: [] })).rejects.toMatchObject({
      cause: away,
    });
    expect(attempts).toMatchObject([{ outcome: 'running', code: null }]);
  });
});
