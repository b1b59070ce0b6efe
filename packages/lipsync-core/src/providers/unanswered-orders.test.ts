import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError, ProviderError, type ErrorCode } from '../errors/index.ts';
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
import { SharedAdmission } from '../jobs/admission.ts';
import type { Attempt } from './attempt.ts';
import type { Operation } from '../contract/provider-types.ts';
import { toMicros } from '../billing/micros.ts';

const never = new AbortController().signal;
const canceled = new LipsyncError('canceled', 'enough');
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };
const held = { spentMicros: 0, reservedMicros: 100 };
const paid = { spentMicros: 70, reservedMicros: 0 };
const free = { spentMicros: 0, reservedMicros: 0 };

let vendor: ScriptedVendor;
let ledger: Ledger;
let reconciler: SettlementReconciler;
let context: ChainContext;
/** The attempts as the job's record has them. */
let attempts: readonly Attempt[];
/** What the job was told after its end. */
let told: LateCost[];
/** How often the request was made ready. */
let prepared: number;

beforeEach(() => {
  time.nowMs = Date.UTC(2026, 10, 21);
  vendor = new ScriptedVendor();
  [attempts, told, prepared] = [[], [], 0];
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
      told.push(cost);
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
    user: null,
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

/** One run of the job, which goes on with what the ones before saved. */
function run(signal: AbortSignal = never): Promise<ChainOutcome> {
  const prepare = async (): Promise<TakeRequest> => {
    prepared += 1;
    // The double looks at the job's id only.
    return { jobId: 'job_1' } as TakeRequest;
  };
  return runChain([vendor], prepare, { ...context, earlierAttempts: attempts, signal });
}

/** Runs the job whenever it is due, until it waits no longer. */
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

async function books(): Promise<unknown> {
  const [row = free] = await ledger.sum({ fromMs: 0, toMs: Date.UTC(2027, 0), groupBy: 'day' });
  return { spentMicros: row.spentMicros, reservedMicros: row.reservedMicros };
}

const codeOf = (work: Promise<unknown>): Promise<ErrorCode | null> =>
  work.then(
    () => null,
    (error: unknown) => (LipsyncError.isInstance(error) ? error.code : 'internal'),
  );

/** The vendor hears the order, but before it answers, the run is aborted. */
function abortWhileOrdering(controller: AbortController, reason: Error): void {
  vendor.start = ({ idempotencyKey }): Promise<Operation> => {
    vendor.started.push(idempotencyKey);
    controller.abort(reason);
    return Promise.reject(reason);
  };
}

/** How the attempt of an order ends to which no answer came. */
const endings: readonly (readonly [string, () => Promise<void>])[] = [
  [
    'canceled at that moment',
    async () => {
      const controller = new AbortController();
      abortWhileOrdering(controller, canceled);
      expect(await codeOf(run(controller.signal))).toBe('canceled');
    },
  ],
  [
    'late at that moment',
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
    'given an answer that is none',
    async () => {
      vendor.starts = ['provider_protocol'];
      expect(await codeOf(run())).toBe('provider_protocol');
    },
  ],
  [
    'canceled after the worker crashed',
    async () => {
      const controller = new AbortController();
      abortWhileOrdering(controller, new Error('killed'));
      await expect(run(controller.signal)).rejects.toThrow('killed');
      expect(attempts).toMatchObject([{ outcome: 'running', operation: null }]);
      await abandon(canceled);
    },
  ],
  [
    'refused after an earlier try went unanswered',
    async () => {
      vendor.starts = [
        'provider_unavailable',
        new ProviderError('provider_balance_exhausted', 'Empty.', { requestOutcome: 'refused' }),
      ];
      expect(await codeOf(runToItsEnd())).toBe('provider_balance_exhausted');
    },
  ],
];

describe('an attempt whose order went unanswered leaves an open bill', () => {
  it.each(endings)('when it is %s: the operation is found, stopped and given back', async (_, end) => {
    await end();
    expect([attempts.at(-1)?.costMicros, await books()]).toEqual([null, held]);
    vendor.finds = ['none', 'op'];
    vendor.checks = ['pending'];
    expect([await reconcile(), await books()]).toEqual([0, held]);
    time.nowMs += 30_000;
    expect([await reconcile(), await books()]).toEqual([1, free]);
    expect([vendor.canceled, told]).toEqual([['op-of-job_1-0'], [{ jobId: 'job_1', index: 0, costMicros: 0 }]]);
  });

  it.each(endings)('when it is %s: the operation is found when it is done, and booked', async (_, end) => {
    await end();
    vendor.finds = ['op'];
    expect([await reconcile(), await books(), told]).toEqual([1, paid, [{ jobId: 'job_1', index: 0, costMicros: 70 }]]);
  });
});

describe('an attempt whose order was refused', () => {
  const refusal = (code: ErrorCode): LipsyncError =>
    new ProviderError(code, 'No.', { requestOutcome: 'refused', retryAfterMs: 1_000 });

  it('costs nothing, at once', async () => {
    vendor.starts = [refusal('provider_balance_exhausted')];
    expect(await codeOf(run())).toBe('provider_balance_exhausted');
    expect([attempts.at(-1)?.costMicros, await books(), await reconcile()]).toEqual([0, free, 0]);
  });

  it('also when it is canceled while it waits to ask again', async () => {
    vendor.starts = [refusal('rate_limited')];
    expect(await run()).toMatchObject({ type: 'waiting' });
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await books(), await reconcile()]).toEqual([0, free, 0]);
  });

  it('costs nothing when the job is canceled while the order is saved, and is not sent', async () => {
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
    expect([vendor.started, attempts.at(-1)?.costMicros, await books(), await reconcile()]).toEqual([[], 0, free, 0]);
  });

  it('is asked for again without being made ready again', async () => {
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

  it('is made anew, once, when the vendor has no more what it names', async () => {
    const gone = new ProviderError('provider_protocol', 'Gone.', { requestOutcome: 'expired' });
    vendor.starts = [refusal('rate_limited'), gone];
    await run();
    expect(await runToItsEnd()).toMatchObject({ type: 'made' });
    expect([vendor.ordered, await books()]).toEqual([['job_1-0', 'job_1-0'], paid]);
    [vendor, attempts] = [new ScriptedVendor(), []];
    vendor.starts = [refusal('rate_limited'), gone, gone];
    context = { ...context, jobId: 'job_2' };
    await run();
    expect(await codeOf(run())).toBe('provider_protocol');
    expect([vendor.ordered.length, await books()]).toEqual([2, paid]);
  });
});

describe('an order that went unanswered for longer than its key is known', () => {
  it('is not asked for again, which would begin another operation', async () => {
    vendor.starts = ['provider_unavailable'];
    expect(await run()).toMatchObject({ type: 'waiting' });
    time.nowMs += vendor.requestLifetimeMs;
    expect(await codeOf(run())).toBe('provider_timeout');
    expect([vendor.started.length, await books()]).toEqual([1, held]);
  });
});

describe('an operation that is billed and hands out nothing', () => {
  it('until its time is up is booked all the same', async () => {
    vendor.checks = Array.from({ length: 1_000 }, () => 'billed' as const);
    expect(await codeOf(runToItsEnd())).toBe('provider_timeout');
    expect([attempts.at(-1)?.costMicros, await books(), await reconcile()]).toEqual([70, paid, 0]);
  });

  it('and is canceled meanwhile is booked all the same', async () => {
    vendor.checks = ['pending', 'billed'];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await books(), vendor.canceled.length]).toEqual([70, paid, 1]);
  });
});

describe('an operation that is done between the last look and its stop', () => {
  it('is booked', async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [70];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await books()]).toEqual([70, paid]);
  });

  it('keeps its bill open when nobody can tell', async () => {
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null];
    await run();
    await abandon(canceled);
    expect([attempts.at(-1)?.costMicros, await books()]).toEqual([null, held]);
  });
});
