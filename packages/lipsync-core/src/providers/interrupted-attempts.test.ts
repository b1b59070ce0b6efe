import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, ProviderError } from '../errors/index.ts';
import { Ledger } from '../billing/ledger.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots, type ConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import type { Admission } from './admission.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { SettlementReconciler } from './settlement-reconciler.ts';
import { abandonChain, runChain, type ChainOutcome } from './chain.ts';
import type { ChainContext, LocalPrice } from './attempt-runner.ts';
import type { InlineProvider, OperationStatus, Provider, TakeRequest } from './provider.ts';
import { SharedAdmission } from '../jobs/shared-admission.ts';
import type { Attempt } from './attempt.ts';
import { toMicros } from '../billing/micros.ts';
import { StoreFailure } from '../storage/store-failure.ts';

const canceled = new LipsyncError('canceled', 'enough');
const hourMs = 3_600_000;
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };
const reservedTotals = { spentMicros: 0, reservedMicros: 100 };
const spentTotals = { spentMicros: 70, reservedMicros: 0 };
const noTotals = { spentMicros: 0, reservedMicros: 0 };

let vendor: ScriptedVendor;
let ledger: Ledger;
let slots: ConcurrencySlots;
let breaker: CircuitBreaker;
let admission: Admission;
let reconciler: SettlementReconciler;
let context: ChainContext;
/** The attempts in the job record. */
let attempts: readonly Attempt[];
/** Whether the worker is killed before it saves the cost or the end of an attempt. */
let isKilled: boolean;

beforeEach(() => {
  time.nowMs = Date.UTC(2026, 10, 21);
  vendor = new ScriptedVendor();
  [attempts, isKilled] = [[], false];
  const state = createMemoryState().open();
  ledger = new Ledger({
    state,
    clock,
    caps: { dailyMicros: toMicros(150), monthlyMicros: null, userDailyMicros: null },
  });
  slots = createConcurrencySlots({ state, clock });
  const pendingSettlements = new PendingSettlementStore({ state, clock });
  reconciler = new SettlementReconciler({
    store: pendingSettlements,
    ledger,
    clock,
    onSettled: async ({ provider, jobId }) => void (await slots.release(provider, jobId)),
    // Like a job record: a running attempt reports its own cost.
    onLateCost: async ({ index }) => attempts[index]?.outcome !== 'running',
  });
  breaker = new CircuitBreaker({ state, clock });
  admission = new SharedAdmission({
    breaker,
    slots,
    ledger,
    pendingSettlements,
    clock,
    slotPollIntervalMs: 30_000,
    onSlotReleased: () => undefined,
  });
  context = {
    jobId: 'job_1',
    payer: { user: null },
    maxCostMicros: null,
    admission,
    canRun: () => true,
    signal: new AbortController().signal,
    clock,
    onProgress: () => undefined,
    earlierAttempts: [],
    async saveAttempts(changed) {
      const { outcome, costMicros } = changed.at(-1) ?? {};
      if (isKilled && (outcome !== 'running' || costMicros !== null)) throw new Error('killed');
      attempts = changed;
    },
  };
});

/** An inline provider that works for an hour. */
function local(fails = false): InlineProvider {
  return {
    kind: 'inline',
    facts: { id: 'wav2lip', degraded: false },
    async run() {
      time.nowMs += hourMs;
      if (fails) throw new LipsyncError('model_missing', 'No model.');
      return { path: 'take.mp4', warnings: [], costMicros: 0 };
    },
  };
}

// The fakes read only the job id.
const request = { jobId: 'job_1' } as TakeRequest;
const run = (chain: readonly Provider[] = [vendor], change: Partial<ChainContext> = {}): Promise<ChainOutcome> =>
  runChain(chain, async () => request, { ...context, earlierAttempts: attempts, ...change });
const abandon = (providers: readonly Provider[], reason = canceled): Promise<void> =>
  abandonChain(providers, reason, { ...context, earlierAttempts: attempts });
const reconcile = (): Promise<number> => reconciler.reconcile([vendor], context.signal);

const holders = async (): Promise<readonly string[]> => (await slots.holders('heygen')).map(({ jobId }) => jobId);

async function runAndBeKilledAtTheEnd(): Promise<void> {
  isKilled = true;
  await expect(run()).rejects.toThrow('killed');
  isKilled = false;
}

/** The cancel reached the vendor, but the worker crashed before it saved the answer. */
async function cancelAndBeKilled(): Promise<void> {
  vendor.checks = ['pending', 'pending'];
  await run();
  isKilled = true;
  await expect(abandon([vendor])).rejects.toThrow('killed');
  isKilled = false;
}

async function totals(): Promise<unknown> {
  const rows = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
  return {
    spentMicros: rows.reduce((sum, row) => sum + row.spentMicros, 0),
    reservedMicros: rows.reduce((sum, row) => sum + row.reservedMicros, 0),
  };
}

describe('attempt whose worker crashed after adding a pending settlement', () => {
  it('The attempt is resumed, and its settlement is withdrawn without canceling the operation.', async () => {
    vendor.starts = ['provider_protocol'];
    await runAndBeKilledAtTheEnd();
    vendor.checks = ['pending'];
    expect(await run()).toMatchObject({ type: 'waiting' });
    vendor.finds = ['op'];
    expect([await reconcile(), vendor.canceled]).toEqual([0, []]);
    expect(await run()).toMatchObject({ type: 'made' });
    expect([attempts, vendor.canceled, await totals()]).toMatchObject([
      [{ outcome: 'succeeded', costMicros: 70 }],
      [],
      spentTotals,
    ]);
  });

  it('The attempt ends without a new request when its operation is already being canceled.', async () => {
    vendor.starts = ['provider_protocol'];
    await runAndBeKilledAtTheEnd();
    vendor.finds = ['op'];
    vendor.checks = ['pending'];
    expect([await reconcile(), vendor.canceled]).toEqual([0, ['op-of-job_1-0']]);
    expect(await run([vendor, local()])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    expect([vendor.started, attempts]).toMatchObject([
      ['job_1-0'],
      [{ outcome: 'failed', code: 'worker_crashed', costMicros: null }, { outcome: 'succeeded' }],
    ]);
    // The deleted operation is gone.
    vendor.checks = ['provider_protocol'];
    expect([await reconcile(), await totals(), await slots.holders('heygen')]).toEqual([1, noTotals, []]);
  });

  it('Money is reserved again before a request is sent; without budget nothing is sent.', async () => {
    const refusal = (code: 'rate_limited' | 'provider_balance_exhausted') =>
      new ProviderError(code, 'No.', { requestOutcome: 'refused', retryAfterMs: 1_000 });
    vendor.starts = [refusal('rate_limited'), refusal('provider_balance_exhausted')];
    await run();
    await runAndBeKilledAtTheEnd();
    expect(await totals()).toEqual(noTotals);
    vendor.starts = [refusal('rate_limited')];
    expect([await run(), await totals()]).toMatchObject([{ type: 'waiting' }, reservedTotals]);
    vendor.starts = [refusal('provider_balance_exhausted')];
    await runAndBeKilledAtTheEnd();
    await ledger.reserve({
      id: 'job_2-0',
      jobId: 'job_2',
      provider: 'heygen',
      user: null,
      micros: toMicros(100),
      atMs: time.nowMs,
    });
    await expect(run()).rejects.toMatchObject({ code: 'budget_exceeded' });
    expect([vendor.started.length, await totals()]).toEqual([4, reservedTotals]);
  });
});

describe('attempt at a provider that this process lacks', () => {
  beforeEach(async () => {
    vendor.checks = ['pending'];
    await run();
  });

  it('A pending settlement remains when the job continues with another provider.', async () => {
    expect(await run([local()])).toMatchObject({ type: 'made' });
    expect([attempts, await totals(), await slots.holders('heygen')]).toMatchObject([
      [{ code: 'worker_crashed', costMicros: null }, {}],
      reservedTotals,
      [],
    ]);
    expect([await reconcile(), await totals(), vendor.canceled, await slots.holders('heygen')]).toEqual([
      1,
      spentTotals,
      [],
      [],
    ]);
  });

  it('A pending settlement of a canceled job lets another process cancel the operation.', async () => {
    await abandon([local()]);
    expect([attempts, await totals()]).toMatchObject([[{ outcome: 'failed', costMicros: null }], reservedTotals]);
    vendor.checks = ['pending'];
    expect([await reconcile(), await totals(), vendor.canceled]).toEqual([1, noTotals, ['op-of-job_1-0']]);
  });

  it('A known cost is settled.', async () => {
    vendor.checks = ['billed'];
    await run();
    await run([local()]);
    expect([attempts[0]?.costMicros, await totals(), await reconcile()]).toEqual([70, spentTotals, 0]);
  });
});

describe('canceled job', () => {
  it('Canceling a running operation costs nothing and releases its slot and money.', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    await abandon([vendor]);
    expect(vendor.canceled).toEqual(['op-of-job_1-0']);
    expect(attempts).toMatchObject([{ outcome: 'canceled', code: 'canceled', costMicros: 0 }]);
    expect([await totals(), await holders()]).toEqual([noTotals, []]);
  });

  it('A canceled job pays for an operation that had already finished.', async () => {
    vendor.checks = ['pending', 'done'];
    await run();
    await abandon([vendor]);
    expect([attempts[0]?.costMicros, await totals()]).toEqual([70, spentTotals]);
  });

  it('An operation is not canceled before it could be checked, because its cost would be lost.', async () => {
    vendor.checks = ['pending', 'provider_unavailable'];
    await run();
    await abandon([vendor]);
    expect([vendor.canceled, attempts[0]?.costMicros, await totals()]).toEqual([[], null, reservedTotals]);
    expect(await reconcile()).toBe(1);
    expect([vendor.canceled.length, await totals()]).toEqual([1, spentTotals]);
  });

  it('At the deadline, a pending settlement waits for the end of the operation.', async () => {
    vendor.checks = ['pending'];
    await run();
    await abandon([vendor], new LipsyncError('deadline_exceeded', 'late'));
    expect([vendor.canceled, attempts[0]?.code, await holders()]).toEqual([[], 'deadline_exceeded', ['job_1']]);
    expect(await reconcile()).toBe(1);
    expect([await totals(), await holders()]).toEqual([spentTotals, []]);
  });

  it('Canceling before the first attempt releases the slot and the role as breaker probe.', async () => {
    await breaker.report('heygen', 'other', 'opens');
    time.nowMs += 300_000;
    expect(await admission.admit(vendor, { jobId: 'job_1' })).toEqual({ type: 'admitted' });
    await abandon([vendor]);
    expect(await holders()).toEqual([]);
    expect(await admission.admit(vendor, { jobId: 'job_2' })).toEqual({ type: 'admitted' });
  });

  it('A canceled run cancels its operation; a worker shutdown leaves it running.', async () => {
    for (const [reason, stopped] of [
      [canceled, 1],
      [new Error('shutting down'), 0],
    ] as const) {
      vendor = new ScriptedVendor();
      attempts = [];
      const controller = new AbortController();
      const stuck = Promise.withResolvers<OperationStatus>();
      const { check } = vendor;
      vendor.check = () => {
        vendor.check = check;
        controller.abort(reason);
        stuck.reject(new Error('cut off'));
        return stuck.promise;
      };
      const running = run([vendor], { signal: controller.signal });
      await expect(running).rejects.toThrow();
      expect([vendor.canceled.length, attempts[0]?.outcome]).toEqual([stopped, stopped ? 'canceled' : 'running']);
    }
  });
});

describe('slot of an operation with a pending settlement', () => {
  it('The slot is kept for at most ten minutes.', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    time.nowMs += vendor.timeoutMs;
    await expect(run()).rejects.toMatchObject({ code: 'provider_timeout' });
    // The job ends while the operation may still run.
    await abandon([vendor]);
    expect(await holders()).toEqual(['job_1']);
    time.nowMs += 600_000;
    expect([await holders(), await totals()]).toEqual([[], reservedTotals]);
  });
});

describe('cancel that did not reach the vendor', () => {
  beforeEach(async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null];
    await run();
    await abandon([vendor]);
  });

  it('The cancel is repeated.', async () => {
    expect([attempts[0]?.outcome, vendor.canceled.length, await totals()]).toEqual(['canceled', 1, reservedTotals]);
    vendor.checks = ['pending'];
    expect([await reconcile(), vendor.canceled.length, await totals()]).toEqual([1, 2, noTotals]);
  });

  it('An operation that is gone after a cancel costs nothing.', async () => {
    vendor.checks = ['provider_protocol'];
    expect([await reconcile(), await totals()]).toEqual([1, noTotals]);
  });
});

describe('worker killed after it sent a cancel', () => {
  it('An operation that is gone after the cancel costs nothing and leaves no settlement.', async () => {
    await cancelAndBeKilled();
    vendor.checks = ['provider_protocol'];
    await abandon([vendor]);
    expect([attempts, vendor.canceled.length, await totals(), await reconcile()]).toMatchObject([
      [{ outcome: 'canceled', costMicros: 0 }],
      2,
      noTotals,
      0,
    ]);
  });

  it('The sent cancel stays recorded however the job ends.', async () => {
    await cancelAndBeKilled();
    await abandon([vendor], new LipsyncError('worker_crashed', 'The job was not resumed.'));
    vendor.checks = ['provider_protocol'];
    expect([attempts, await reconcile(), await totals()]).toMatchObject([[{ code: 'worker_crashed' }], 1, noTotals]);
  });

  it('A later request for the same job does not resume the canceled operation.', async () => {
    await cancelAndBeKilled();
    expect(await run([vendor, local()])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    vendor.checks = ['provider_protocol'];
    expect([attempts, await reconcile(), await totals()]).toMatchObject([
      [{ outcome: 'failed', code: 'worker_crashed' }, { outcome: 'succeeded' }],
      1,
      noTotals,
    ]);
  });
});

/** The price of local work of an hour, which each job is expected to take. */
const priced = (microsPerHour: number): LocalPrice => ({ microsPerHour, quote: async () => microsPerHour });

describe('run that fails after a later run has taken over its job', () => {
  const superseded = new StoreFailure(canceled);
  const requireCurrentRun = (): Promise<void> => Promise.reject(superseded);

  it('A superseded run reserves nothing for local work.', async () => {
    await expect(run([local(false)], { localPrice: priced(140), requireCurrentRun })).rejects.toBe(superseded);
    expect(await totals()).toEqual({ spentMicros: 0, reservedMicros: 0 });
  });

  it.each([true, false])('The reservation of local work is left to the later run (work fails: %s).', async (fails) => {
    let checks = 0;
    const requireRun = (): Promise<void> => (checks++ === 0 ? Promise.resolve() : requireCurrentRun());
    const change = { localPrice: priced(140), requireCurrentRun: requireRun };
    await expect(run([local(fails)], change)).rejects.toBe(superseded);
    expect(await totals()).toEqual({ spentMicros: 0, reservedMicros: 140 });
  });

  it('The slot and the reservation of an operation are left to the later run.', async () => {
    vendor.checks = ['pending', 'failed'];
    await run();
    await expect(run([vendor], { requireCurrentRun })).rejects.toBe(superseded);
    await expect(
      abandonChain([vendor], canceled, { ...context, earlierAttempts: attempts, requireCurrentRun }),
    ).rejects.toBe(superseded);
    expect([await holders(), await totals(), attempts]).toMatchObject([
      ['job_1'],
      reservedTotals,
      [{ outcome: 'running' }],
    ]);
  });
});

describe('cost of local work', () => {
  it.each([
    ['makes a take', false],
    ['fails', true],
  ])('that %s costs once, the same in take, attempt and ledger', async (_, fails) => {
    const outcome = await run([local(fails)], { localPrice: priced(10) }).catch(() => null);
    expect(outcome?.type === 'made' ? outcome.take.costMicros : null).toBe(fails ? null : 10);
    expect([attempts, await totals()]).toMatchObject([[{ costMicros: 10 }], { spentMicros: 10, reservedMicros: 0 }]);
  });

  it('The expected cost of local work is reserved while it runs.', async () => {
    const seen: unknown[] = [];
    const engine = local();
    const outcome = await run(
      [{ ...engine, run: async (...given) => (seen.push(await totals()), engine.run(...given)) }],
      { localPrice: priced(140) },
    );
    expect([outcome, seen, await totals()]).toMatchObject([
      { type: 'made' },
      [{ spentMicros: 0, reservedMicros: 140 }],
      { spentMicros: 140, reservedMicros: 0 },
    ]);
  });

  it.each([
    ['a budget', { localPrice: priced(151) }],
    ['the job', { localPrice: priced(100), maxCostMicros: 99 }],
  ] as const)('Local work does not start when its cost would exceed the cap of %s.', async (_, change) => {
    await expect(run([local()], change)).rejects.toMatchObject({ code: 'budget_exceeded' });
    expect([attempts, await totals()]).toMatchObject([[{ outcome: 'failed', costMicros: 0 }], noTotals]);
  });

  it('Local work that takes longer than expected is charged by its actual time.', async () => {
    const outcome = await run([local()], { localPrice: { microsPerHour: 140, quote: async () => 70 } });
    expect([outcome, await totals()]).toMatchObject([
      { type: 'made', take: { costMicros: 140 } },
      { spentMicros: 140, reservedMicros: 0 },
    ]);
  });
});
