import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, ProviderError, type ErrorCode, type RequestOutcome } from '../errors/index.ts';
import { Ledger } from '../billing/ledger.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { SettlementReconciler, type LateCost } from './settlement-reconciler.ts';
import { abandonChain, runChain, type ChainOutcome } from './chain.ts';
import type { ChainContext } from './attempt-runner.ts';
import type { TakeRequest } from './provider.ts';
import { SharedAdmission } from '../jobs/shared-admission.ts';
import type { Attempt } from './attempt.ts';
import type { Operation } from '../contract/provider-types.ts';
import { toMicros } from '../billing/micros.ts';

const never = new AbortController().signal;
const canceled = new LipsyncError('canceled', 'enough');
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };
const reservedTotals = { spentMicros: 0, reservedMicros: 100 };
const spentTotals = { spentMicros: 70, reservedMicros: 0 };
const noTotals = { spentMicros: 0, reservedMicros: 0 };

let vendor: ScriptedVendor;
let ledger: Ledger;
let reconciler: SettlementReconciler;
let context: ChainContext;
/** The attempts in the job record. */
let attempts: readonly Attempt[];
/** Late costs delivered to the job. */
let lateCosts: LateCost[];
/** Number of preparations of the request. */
let prepared: number;

beforeEach(() => {
  time.nowMs = Date.UTC(2026, 10, 21);
  vendor = new ScriptedVendor();
  [attempts, lateCosts, prepared] = [[], [], 0];
  const state = createMemoryState().open();
  ledger = new Ledger({
    state,
    clock,
    caps: { dailyMicros: toMicros(1_000), monthlyMicros: null, userDailyMicros: null },
  });
  const pendingSettlements = new PendingSettlementStore({ state, clock });
  reconciler = new SettlementReconciler({
    store: pendingSettlements,
    ledger,
    clock,
    async onLateCost(cost) {
      lateCosts.push(cost);
      return true;
    },
  });
  const admission = new SharedAdmission({
    breaker: new CircuitBreaker({ state, clock }),
    slots: createConcurrencySlots({ state, clock }),
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
    signal: never,
    clock,
    onProgress: () => undefined,
    earlierAttempts: [],
    async saveAttempts(changed) {
      attempts = changed;
    },
  };
});

/** One run of the job, which resumes from the saved attempts. */
function run(signal: AbortSignal = never): Promise<ChainOutcome> {
  const prepare = async (): Promise<TakeRequest> => {
    prepared += 1;
    // The fake reads only the job id.
    return { jobId: 'job_1' } as TakeRequest;
  };
  return runChain([vendor], prepare, { ...context, earlierAttempts: attempts, signal });
}

/** Runs the job at each due time until it no longer waits. */
async function runToItsEnd(): Promise<ChainOutcome> {
  for (;;) {
    const outcome = await run();
    if (outcome.type !== 'waiting') return outcome;
    time.nowMs = Math.max(time.nowMs, outcome.untilMs);
  }
}

const abandon = (reason: LipsyncError): Promise<void> =>
  abandonChain([vendor], reason, { ...context, earlierAttempts: attempts });
const reconcile = (): Promise<number> => reconciler.reconcile([vendor], never);

async function totals(): Promise<unknown> {
  const [row = noTotals] = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
  return { spentMicros: row.spentMicros, reservedMicros: row.reservedMicros };
}

const codeOf = (work: Promise<unknown>): Promise<ErrorCode | null> =>
  work.then(
    () => null,
    (error: unknown) => (LipsyncError.isInstance(error) ? error.code : 'internal'),
  );

/** The vendor receives the request, but the run is aborted before the answer. */
function abortWhileOrdering(controller: AbortController, reason: Error): void {
  vendor.start = ({ idempotencyKey }): Promise<Operation> => {
    vendor.started.push(idempotencyKey);
    controller.abort(reason);
    return Promise.reject(reason);
  };
}

/** Ends of an attempt whose request was not acknowledged. */
const endings: readonly (readonly [string, () => Promise<void>])[] = [
  [
    'canceled while the request is sent',
    async () => {
      const controller = new AbortController();
      abortWhileOrdering(controller, canceled);
      expect(await codeOf(run(controller.signal))).toBe('canceled');
    },
  ],
  [
    'past its deadline while the request is sent',
    async () => {
      const controller = new AbortController();
      abortWhileOrdering(controller, new LipsyncError('deadline_exceeded', 'late'));
      expect(await codeOf(run(controller.signal))).toBe('deadline_exceeded');
    },
  ],
  [
    'out of tries',
    async () => {
      vendor.starts = ['provider_unavailable', 'provider_unavailable', 'provider_unavailable'];
      expect(await codeOf(runToItsEnd())).toBe('provider_unavailable');
    },
  ],
  [
    'answered with an invalid response',
    async () => {
      vendor.starts = ['provider_protocol'];
      expect(await codeOf(run())).toBe('provider_protocol');
    },
  ],
  [
    'canceled after a crash of the worker',
    async () => {
      const controller = new AbortController();
      abortWhileOrdering(controller, new Error('killed'));
      await expect(run(controller.signal)).rejects.toThrow('killed');
      expect(attempts).toMatchObject([{ outcome: 'running', operation: null }]);
      await abandon(canceled);
    },
  ],
  [
    'refused after an earlier unacknowledged request',
    async () => {
      vendor.starts = [
        'provider_unavailable',
        new ProviderError('provider_balance_exhausted', 'Empty.', { requestOutcome: 'refused' }),
      ];
      expect(await codeOf(runToItsEnd())).toBe('provider_balance_exhausted');
    },
  ],
];

describe('attempt with an unacknowledged request', () => {
  it.each(endings)(
    'If the attempt is %s, the operation is found and canceled, and its money is released.',
    async (_, end) => {
      await end();
      expect([attempts.at(-1)?.costMicros, await totals()]).toEqual([null, reservedTotals]);
      vendor.finds = ['none', 'op'];
      vendor.checks = ['pending'];
      expect([await reconcile(), await totals()]).toEqual([0, reservedTotals]);
      time.nowMs += 30_000;
      expect([await reconcile(), await totals()]).toEqual([1, noTotals]);
      expect([vendor.canceled, lateCosts]).toEqual([['op-of-job_1-0'], [{ jobId: 'job_1', index: 0, costMicros: 0 }]]);
    },
  );

  it.each(endings)('If the attempt is %s and the operation has finished, its cost is settled.', async (_, end) => {
    await end();
    vendor.finds = ['op'];
    expect([await reconcile(), await totals(), lateCosts]).toEqual([
      1,
      spentTotals,
      [{ jobId: 'job_1', index: 0, costMicros: 70 }],
    ]);
  });
});

describe('attempt with a refused request', () => {
  const refusal = (code: ErrorCode): LipsyncError =>
    new ProviderError(code, 'No.', { requestOutcome: 'refused', retryAfterMs: 1_000 });
  const expired = (requestOutcome: RequestOutcome): LipsyncError =>
    new ProviderError('provider_protocol', 'Gone.', { requestOutcome, isRequestExpired: true });

  it('A refused request costs nothing, and its money is released at once.', async () => {
    vendor.starts = [refusal('provider_balance_exhausted')];
    expect(await codeOf(run())).toBe('provider_balance_exhausted');
    expect([attempts.at(-1)?.costMicros, await totals(), await reconcile()]).toEqual([0, noTotals, 0]);
  });

  it('A refused request costs nothing when the job is canceled during the pause before a retry.', async () => {
    vendor.starts = [refusal('rate_limited')];
    expect(await run()).toMatchObject({ type: 'waiting' });
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await totals(), await reconcile()]).toEqual([0, noTotals, 0]);
  });

  it('A job that is canceled while the request is saved sends nothing and costs nothing.', async () => {
    const controller = new AbortController();
    const save = context.saveAttempts;
    context = {
      ...context,
      async saveAttempts(changed) {
        await save(changed);
        if (changed.at(-1)?.request) controller.abort(canceled);
      },
    };
    expect(await codeOf(run(controller.signal))).toBe('canceled');
    expect([vendor.started, attempts.at(-1)?.costMicros, await totals(), await reconcile()]).toEqual([
      [],
      0,
      noTotals,
      0,
    ]);
  });

  it('A refused request is repeated without preparing it again.', async () => {
    vendor.starts = [
      refusal('rate_limited'),
      refusal('rate_limited'),
      refusal('rate_limited'),
      refusal('rate_limited'),
    ];
    vendor.checks = ['pending'];
    for (let asked = 0; asked < 5; asked += 1) {
      expect(await run()).toMatchObject({ type: 'waiting' });
      time.nowMs += 1_000;
    }
    expect([vendor.started.length, vendor.ordered, prepared]).toEqual([5, ['job_1-0'], 1]);
  });

  it('An expired request is prepared again once.', async () => {
    const gone = expired('refused');
    vendor.starts = [refusal('rate_limited'), gone];
    await run();
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect([vendor.ordered, await totals()]).toEqual([['job_1-0', 'job_1-0'], spentTotals]);
    [vendor, attempts] = [new ScriptedVendor(), []];
    vendor.starts = [refusal('rate_limited'), gone, gone];
    context = { ...context, jobId: 'job_2' };
    await run();
    expect(await codeOf(run())).toBe('provider_protocol');
    expect([vendor.ordered.length, await totals()]).toEqual([2, spentTotals]);
  });

  it('An expired request whose outcome is unknown stays unacknowledged when the next request is refused.', async () => {
    vendor.starts = [refusal('rate_limited'), expired('unknown'), refusal('provider_balance_exhausted')];
    await run();
    expect(attempts.at(-1)?.request?.unacknowledgedSinceMs).toBeNull();
    time.nowMs += 1_000;
    const sinceMs = time.nowMs;
    expect(await codeOf(run())).toBe('provider_balance_exhausted');
    expect(attempts.at(-1)).toMatchObject({ costMicros: null, request: { unacknowledgedSinceMs: sinceMs } });
    expect([vendor.ordered.length, await totals()]).toEqual([2, reservedTotals]);
    vendor.finds = ['op'];
    expect([await reconcile(), await totals()]).toEqual([1, spentTotals]);
  });

  it('An expired request that was refused is resolved, also when the next request is refused.', async () => {
    vendor.starts = [refusal('rate_limited'), expired('refused'), refusal('provider_balance_exhausted')];
    await run();
    expect(await codeOf(run())).toBe('provider_balance_exhausted');
    expect([attempts.at(-1)?.costMicros, await totals(), await reconcile()]).toEqual([0, noTotals, 0]);
  });
});

describe('unacknowledged request beyond the lifetime of its key', () => {
  it('The request is not repeated, because it would start a second operation.', async () => {
    vendor.starts = ['provider_unavailable'];
    expect(await run()).toMatchObject({ type: 'waiting' });
    time.nowMs += vendor.requestLifetimeMs;
    expect(await codeOf(run())).toBe('provider_timeout');
    expect([vendor.started.length, await totals()]).toEqual([1, reservedTotals]);
  });
});

describe('billed operation without a result', () => {
  it('The cost is settled when the time limit passes.', async () => {
    vendor.checks = Array.from({ length: 1_000 }, () => 'billed' as const);
    expect(await codeOf(runToItsEnd())).toBe('provider_timeout');
    expect([attempts.at(-1)?.costMicros, await totals(), await reconcile()]).toEqual([70, spentTotals, 0]);
  });

  it('The cost is settled when the job is canceled.', async () => {
    vendor.checks = ['pending', 'billed'];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await totals(), vendor.canceled.length]).toEqual([70, spentTotals, 1]);
  });
});

describe('operation that finishes between the last check and the cancel', () => {
  it('Its cost is settled.', async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [70];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await totals()]).toEqual([70, spentTotals]);
  });

  it('A pending settlement remains while the cost is unknown.', async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await totals()]).toEqual([null, reservedTotals]);
  });
});
