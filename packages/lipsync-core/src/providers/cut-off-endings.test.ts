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
import { SharedAdmission } from '../jobs/admission.ts';
import type { Attempt } from './attempt.ts';
import { toMicros } from '../billing/micros.ts';

const canceled = new LipsyncError('canceled', 'enough');
const hourMs = 3_600_000;
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };
const held = { spentMicros: 0, reservedMicros: 100 };
const paid = { spentMicros: 70, reservedMicros: 0 };
const free = { spentMicros: 0, reservedMicros: 0 };

let vendor: ScriptedVendor;
let ledger: Ledger;
let slots: ConcurrencySlots;
let breaker: CircuitBreaker;
let admission: Admission;
let reconciler: SettlementReconciler;
let context: ChainContext;
/** The attempts as the job's record has them. */
let attempts: readonly Attempt[];
/** Whether the worker is killed before it saves what an attempt costs, or that it has ended. */
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
    // As a job's record does: an attempt that goes on says itself what it costs.
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
    user: null,
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

/** Works for an hour. */
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

// The doubles look at the job's id only.
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

/** The vendor was told to stop, and nobody wrote down that it heard. */
async function cancelAndBeKilled(): Promise<void> {
  vendor.checks = ['pending', 'pending'];
  await run();
  isKilled = true;
  await expect(abandon([vendor])).rejects.toThrow('killed');
  isKilled = false;
}

async function books(): Promise<unknown> {
  const rows = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
  return {
    spentMicros: rows.reduce((sum, row) => sum + row.spentMicros, 0),
    reservedMicros: rows.reduce((sum, row) => sum + row.reservedMicros, 0),
  };
}

describe('an attempt whose worker died over its end, after its bill was left', () => {
  it('is gone on with, and its bill does not stop the operation that it pays for', async () => {
    vendor.starts = ['provider_protocol'];
    await runAndBeKilledAtTheEnd();
    vendor.checks = ['pending'];
    expect(await run()).toMatchObject({ type: 'waiting' });
    vendor.finds = ['op'];
    expect([await reconcile(), vendor.canceled]).toEqual([0, []]);
    expect(await run()).toMatchObject({ type: 'made' });
    expect([attempts, vendor.canceled, await books()]).toMatchObject([
      [{ outcome: 'succeeded', costMicros: 70 }],
      [],
      paid,
    ]);
  });

  it('is over when its operation is being stopped already, and orders nothing', async () => {
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
    // Deleted, it is not there any more.
    vendor.checks = ['provider_protocol'];
    expect([await reconcile(), await books(), await slots.holders('heygen')]).toEqual([1, free, []]);
  });

  it('has its money held again before it orders, and orders nothing where there is none left', async () => {
    const refusal = (code: 'rate_limited' | 'provider_balance_exhausted') =>
      new ProviderError(code, 'No.', { requestOutcome: 'refused', retryAfterMs: 1_000 });
    vendor.starts = [refusal('rate_limited'), refusal('provider_balance_exhausted')];
    await run();
    await runAndBeKilledAtTheEnd();
    expect(await books()).toEqual(free);
    vendor.starts = [refusal('rate_limited')];
    expect([await run(), await books()]).toMatchObject([{ type: 'waiting' }, held]);
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
    expect([vendor.started.length, await books()]).toEqual([4, held]);
  });
});

describe('an attempt that runs at a provider that this process does not have', () => {
  beforeEach(async () => {
    vendor.checks = ['pending'];
    await run();
  });

  it('leaves its bill when another provider is begun instead', async () => {
    expect(await run([local()])).toMatchObject({ type: 'made' });
    expect([attempts, await books(), await slots.holders('heygen')]).toMatchObject([
      [{ code: 'worker_crashed', costMicros: null }, {}],
      held,
      [],
    ]);
    expect([await reconcile(), await books(), vendor.canceled, await slots.holders('heygen')]).toEqual([
      1,
      paid,
      [],
      [],
    ]);
  });

  it('leaves its bill when the job is canceled, and has its operation stopped by a process that can', async () => {
    await abandon([local()]);
    expect([attempts, await books()]).toMatchObject([[{ outcome: 'failed', costMicros: null }], held]);
    vendor.checks = ['pending'];
    expect([await reconcile(), await books(), vendor.canceled]).toEqual([1, free, ['op-of-job_1-0']]);
  });

  it('keeps the cost that was known', async () => {
    vendor.checks = ['billed'];
    await run();
    await run([local()]);
    expect([attempts[0]?.costMicros, await books(), await reconcile()]).toEqual([70, paid, 0]);
  });
});

describe('a job that is not wanted any more', () => {
  it('while it waits for an operation stops it, costs nothing and holds nothing', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    await abandon([vendor]);
    expect(vendor.canceled).toEqual(['op-of-job_1-0']);
    expect(attempts).toMatchObject([{ outcome: 'canceled', code: 'canceled', costMicros: 0 }]);
    expect([await books(), await holders()]).toEqual([free, []]);
  });

  it('costs what the vendor billed when the operation was done already', async () => {
    vendor.checks = ['pending', 'done'];
    await run();
    await abandon([vendor]);
    expect([attempts[0]?.costMicros, await books()]).toEqual([70, paid]);
  });

  it('is not deleted unseen, which would take the proof of its bill along, but once it can be looked at', async () => {
    vendor.checks = ['pending', 'provider_unavailable'];
    await run();
    await abandon([vendor]);
    expect([vendor.canceled, attempts[0]?.costMicros, await books()]).toEqual([[], null, held]);
    expect(await reconcile()).toBe(1);
    expect([vendor.canceled.length, await books()]).toEqual([1, paid]);
  });

  it('at its deadline leaves the operation to be billed or not', async () => {
    vendor.checks = ['pending'];
    await run();
    await abandon([vendor], new LipsyncError('deadline_exceeded', 'late'));
    expect([vendor.canceled, attempts[0]?.code, await holders()]).toEqual([[], 'deadline_exceeded', ['job_1']]);
    expect(await reconcile()).toBe(1);
    expect([await books(), await holders()]).toEqual([paid, []]);
  });

  it('before its first attempt gives back its place, and the word as the probe of the breaker', async () => {
    await breaker.report('heygen', 'other', 'opens');
    time.nowMs += 300_000;
    expect(await admission.admit(vendor, { jobId: 'job_1' })).toEqual({ type: 'admitted' });
    await abandon([vendor]);
    expect(await holders()).toEqual([]);
    expect(await admission.admit(vendor, { jobId: 'job_2' })).toEqual({ type: 'admitted' });
  });

  it('is stopped by the run that works on it, and left alone by one that only hands it back', async () => {
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

describe('the place of an operation that its attempt gave up', () => {
  it('is kept for ten minutes at most, whatever becomes of job and operation', async () => {
    vendor.checks = ['pending', 'pending'];
    await run();
    time.nowMs += vendor.timeoutMs;
    await expect(run()).rejects.toMatchObject({ code: 'provider_timeout' });
    // The job ends; what may still run there does not.
    await abandon([vendor]);
    expect(await holders()).toEqual(['job_1']);
    time.nowMs += 600_000;
    expect([await holders(), await books()]).toEqual([[], held]);
  });
});

describe('a canceled operation of which the vendor did not hear', () => {
  beforeEach(async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null];
    await run();
    await abandon([vendor]);
  });

  it('is told to stop again', async () => {
    expect([attempts[0]?.outcome, vendor.canceled.length, await books()]).toEqual(['canceled', 1, held]);
    vendor.checks = ['pending'];
    expect([await reconcile(), vendor.canceled.length, await books()]).toEqual([1, 2, free]);
  });

  it('costs nothing when it turns out to be gone: it was heard', async () => {
    vendor.checks = ['provider_protocol'];
    expect([await reconcile(), await books()]).toEqual([1, free]);
  });
});

describe('a canceled operation whose worker was killed after it had told the vendor to stop', () => {
  it('costs nothing, and leaves no bill, when it turns out to be gone: it was heard', async () => {
    await cancelAndBeKilled();
    vendor.checks = ['provider_protocol'];
    await abandon([vendor]);
    expect([attempts, vendor.canceled.length, await books(), await reconcile()]).toMatchObject([
      [{ outcome: 'canceled', costMicros: 0 }],
      2,
      free,
      0,
    ]);
  });

  it('is known to have been told to stop however its job ends', async () => {
    await cancelAndBeKilled();
    await abandon([vendor], new LipsyncError('worker_crashed', 'Nobody came back.'));
    vendor.checks = ['provider_protocol'];
    expect([attempts, await reconcile(), await books()]).toMatchObject([[{ code: 'worker_crashed' }], 1, free]);
  });

  it('is not gone on with by a program that asks for the same again', async () => {
    await cancelAndBeKilled();
    expect(await run([vendor, local()])).toMatchObject({ type: 'made', provider: { kind: 'inline' } });
    vendor.checks = ['provider_protocol'];
    expect([attempts, await reconcile(), await books()]).toMatchObject([
      [{ outcome: 'failed', code: 'worker_crashed' }, { outcome: 'succeeded' }],
      1,
      free,
    ]);
  });
});

/** Work here at that price for an hour, which each job is expected to take. */
const priced = (microsPerHour: number): LocalPrice => ({ microsPerHour, quote: async () => microsPerHour });

describe('an hour of local work', () => {
  it.each([
    ['makes a take', false],
    ['fails', true],
  ])('that %s costs once, the same in take, attempt and ledger', async (_, fails) => {
    const outcome = await run([local(fails)], { localPrice: priced(10) }).catch(() => null);
    expect(outcome?.type === 'made' ? outcome.take.costMicros : null).toBe(fails ? null : 10);
    expect([attempts, await books()]).toMatchObject([[{ costMicros: 10 }], { spentMicros: 10, reservedMicros: 0 }]);
  });

  it('is held back for while it is done', async () => {
    const seen: unknown[] = [];
    const engine = local();
    const outcome = await run(
      [{ ...engine, run: async (...given) => (seen.push(await books()), engine.run(...given)) }],
      { localPrice: priced(140) },
    );
    expect([outcome, seen, await books()]).toMatchObject([
      { type: 'made' },
      [{ spentMicros: 0, reservedMicros: 140 }],
      { spentMicros: 140, reservedMicros: 0 },
    ]);
  });

  it.each([
    ['a budget', { localPrice: priced(151) }],
    ['the job', { localPrice: priced(100), maxCostMicros: 99 }],
  ] as const)('is not begun where that goes over the cap of %s', async (_, change) => {
    await expect(run([local()], change)).rejects.toMatchObject({ code: 'budget_exceeded' });
    expect([attempts, await books()]).toMatchObject([[{ outcome: 'failed', costMicros: 0 }], free]);
  });

  it('goes beyond what it was expected to take, and is booked as it was', async () => {
    const outcome = await run([local()], { localPrice: { microsPerHour: 140, quote: async () => 70 } });
    expect([outcome, await books()]).toMatchObject([
      { type: 'made', take: { costMicros: 140 } },
      { spentMicros: 140, reservedMicros: 0 },
    ]);
  });
});
