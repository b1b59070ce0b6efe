import { testAttempt } from '../testing/test-records.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, ProviderError, StorageError } from '../errors/index.ts';
import { StorageUnavailable, StoreFailure } from '../storage/store-failure.ts';
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
import { SharedAdmission } from '../jobs/shared-admission.ts';
import type { Attempt } from './attempt.ts';
import { toMicros } from '../billing/micros.ts';

const take: Take = { path: 'take.mp4', warnings: [], costMicros: 0 };
// The fakes read only the job id.
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
/** Number of calls of `onSlotReleased`. */
let releasedSlots: number;
/** The attempts in the job record. */
let attempts: readonly Attempt[];

beforeEach(async () => {
  time.nowMs = Date.UTC(2026, 10, 21);
  vendor = new ScriptedVendor();
  attempts = [];
  releasedSlots = 0;
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
    onSlotReleased: () => (releasedSlots += 1),
  });
  await breaker.recordAcceptance('heygen');
});

function contextOf(change: Partial<ChainContext> = {}): ChainContext {
  return {
    jobId: 'job_1',
    payer: { user: null },
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

/** One run of the job, which resumes from the saved attempts. */
function run(
  change: Partial<ChainContext> = {},
  chain: readonly (RemoteProvider | InlineProvider)[] = [vendor],
): Promise<ChainOutcome> {
  return runChain(chain, async () => request, contextOf(change));
}

/** Runs the job at each due time until it no longer waits. */
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

describe('remote attempt', () => {
  it('A job waits for the time that the provider names, then collects the take of the same operation.', async () => {
    vendor.checks = ['pending', 'pending', 'done'];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 5_000 });
    expect(await spent()).toEqual({ spentMicros: 0, reservedMicros: 100 });
    expect(await holders()).toEqual(['job_1']);
    expect(await runToItsEnd()).toMatchObject({ type: 'made', take: { path: 'take.mp4', costMicros: 70 } });
    expect(vendor.started).toEqual(['job_1-0']);
    expect(attempts).toMatchObject([{ outcome: 'succeeded', costMicros: 70, operation: { id: 'op-of-job_1-0' } }]);
    expect([await spent(), await holders(), releasedSlots]).toEqual([{ spentMicros: 70, reservedMicros: 0 }, [], 1]);
  });

  it('Attempt, request, operation and cost are each saved before the step that depends on them.', async () => {
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

  it('A run that only checks a running operation prepares no inputs.', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    const prepare = (): Promise<TakeRequest> => Promise.reject(new Error('was prepared'));
    expect(await runChain([vendor], prepare, contextOf())).toMatchObject({ type: 'waiting' });
  });

  it('After a rate limit, the request is repeated with the same key once the requested time has passed.', async () => {
    vendor.starts = [new ProviderError('rate_limited', 'Slower.', { retryAfterMs: 17_000 })];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 17_000 });
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toEqual(['job_1-0', 'job_1-0']);
  });

  it.each([
    ['a limited vendor', 'rate_limited'],
    ['one that is out of order', 'provider_unavailable'],
  ] as const)(
    'A vendor that answers with %s and a retry time of zero is called at most once per second.',
    async (_, code) => {
      vendor.starts = [new ProviderError(code, 'Now.', { retryAfterMs: 0 })];
      expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 1_000 });
    },
  );

  it('The retry time of an unavailable vendor is honored.', async () => {
    vendor.starts = [new ProviderError('provider_unavailable', 'Later.', { retryAfterMs: 60_000 })];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + 60_000 });
  });

  it('An operation is checked once more at its time limit, even if the vendor asked for a longer pause.', async () => {
    vendor.checks = [new ProviderError('rate_limited', 'Slower.', { retryAfterMs: 3_600_000 }), 'done'];
    expect(await run()).toEqual({ type: 'waiting', untilMs: time.nowMs + vendor.timeoutMs });
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('An operation that cannot be started is requested three times with one key; then the next provider follows.', async () => {
    vendor.starts = ['provider_unavailable', 'provider_unavailable', 'provider_unavailable'];
    expect(await runToItsEnd([vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(vendor.started).toEqual(['job_1-0', 'job_1-0', 'job_1-0']);
    expect(attempts.map(({ provider, code }) => [provider, code])).toEqual([
      ['heygen', 'provider_unavailable'],
      ['wav2lip', null],
    ]);
    expect([await holders(), (await breaker.inspect('heygen')).recentFaults]).toEqual([[], 1]);
  });

  it('An operation is checked until its time limit while the vendor does not answer.', async () => {
    vendor.checks = [...Array.from({ length: 12 }, () => 'provider_unavailable' as const), 'done'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toHaveLength(1);
  });

  it('A paid take is requested until its time limit while the vendor does not deliver it.', async () => {
    vendor.checks = Array.from({ length: 5 }, () => 'provider_unavailable' as const);
    vendor.collects = [...Array.from({ length: 40 }, () => 'provider_unavailable' as const), 'take'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('A take that is paid for shortly before the time limit is collected after it.', async () => {
    vendor.checks = ['pending'];
    await run();
    time.nowMs += vendor.timeoutMs - 1;
    vendor.collects = ['provider_unavailable'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('A job waits for the link of a paid take beyond the time limit of its operation.', async () => {
    vendor.checks = ['pending'];
    await run();
    time.nowMs += vendor.timeoutMs - 1;
    vendor.checks = ['billed', 'billed', 'billed'];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('A paid take is requested once more at the extended limit, even if the vendor asked for a longer pause.', async () => {
    vendor.collects = [new ProviderError('provider_unavailable', 'Later.', { retryAfterMs: 3_600_000 })];
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
  });

  it('A paid take that cannot be stored on this machine ends neither the attempt nor its operation.', async () => {
    vendor.collects = ['resource_exhausted', 'storage_unwritable'];
    for (const code of vendor.collects.slice())
      await expect(run()).rejects.toMatchObject({ name: 'StorageUnavailable', error: { code } });
    time.nowMs += 10 * vendor.timeoutMs;
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toHaveLength(1);
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('No request is sent while files cannot be stored, and the attempt sends it afterwards.', async () => {
    const error = new StorageError('storage_unwritable', '/out', 'It is read-only.', new Error('EROFS'));
    const checkStorage = () => Promise.reject(new StorageUnavailable(error));
    await expect(run({ checkStorage })).rejects.toMatchObject({ error });
    expect([vendor.started, attempts.map(({ outcome }) => outcome)]).toEqual([[], ['running']]);
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect(vendor.started).toHaveLength(1);
  });

  it('An unusable take is paid for, and the next provider follows.', async () => {
    vendor.collects = ['provider_protocol'];
    expect(await runToItsEnd([vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect(attempts).toMatchObject([
      { outcome: 'failed', code: 'provider_protocol', costMicros: 70 },
      { outcome: 'succeeded' },
    ]);
    expect(await spent()).toEqual({ spentMicros: 70, reservedMicros: 0 });
  });

  it('After the time limit, the next provider follows; a pending settlement and the slot remain until the vendor reports the cost.', async () => {
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

  it('The time limit of an operation starts with the operation, not with the attempt.', async () => {
    vendor.starts = ['provider_unavailable'];
    await run();
    time.nowMs += vendor.timeoutMs + 1;
    vendor.checks = ['pending'];
    expect(await run()).toMatchObject({ type: 'waiting' });
  });

  it('A vendor is not called when the cost would exceed the budget.', async () => {
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

  it('A vendor is not called while its breaker is open, which does not count as another fault.', async () => {
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

  it('No job waits for a slot while the breaker is open, even if failed operations keep all slots.', async () => {
    vendor.maxConcurrent = 1;
    await slots.acquire('heygen', 'other', { limit: 1 });
    await slots.keep('heygen', 'other', time.nowMs + 600_000);
    await breaker.report('heygen', 'other', 'opens');
    expect(await run({}, [vendor, local])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
  });

  it('A running operation is resumed although the breaker has opened in the meantime.', async () => {
    vendor.checks = ['pending', 'done'];
    await run();
    await breaker.report('heygen', 'other', 'opens');
    expect(await run()).toMatchObject({ type: 'made' });
  });

  it('Local work after a failed remote attempt is charged by its time.', async () => {
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

  it('A job waits without an attempt while all slots are taken.', async () => {
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

describe('remote attempt after a crash', () => {
  const crashed = (change: Partial<Attempt>): void => {
    attempts = [
      testAttempt({
        startedAtMs: time.nowMs,
        ...change,
      }),
    ];
  };

  it('A resumed attempt checks its operation and starts no other.', async () => {
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

  it('Without a known operation, the request is repeated with the same key once a slot is free.', async () => {
    crashed({});
    vendor.maxConcurrent = 1;
    await slots.acquire('heygen', 'other', { limit: 1 });
    expect(await run()).toMatchObject({ type: 'waiting' });
    await slots.release('heygen', 'other');
    expect(await run()).toMatchObject({ type: 'made' });
    expect(vendor.started).toEqual(['job_1-0']);
  });

  it('A take that was made but not published is collected again and paid for once.', async () => {
    await runToItsEnd();
    expect(await run()).toMatchObject({ type: 'made' });
    expect([vendor.started.length, attempts.length, await spent()]).toEqual([
      1,
      1,
      { spentMicros: 70, reservedMicros: 0 },
    ]);
  });

  it('A crash at any save leads to exactly one payment.', async () => {
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

describe('unavailable store', () => {
  it('An unavailable store is not recorded as a failure of the provider.', async () => {
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
