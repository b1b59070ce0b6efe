import type { FaultRuleInput } from '@lipsync/heygen-standin';
import { beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { Ledger } from '../../src/billing/ledger.ts';
import { systemClock as clock } from '../../src/contract/system-ports.ts';
import type { Admission } from '../../src/providers/admission.ts';
import { PendingSettlementStore } from '../../src/billing/pending-settlements.ts';
import { SettlementReconciler } from '../../src/providers/settlement-reconciler.ts';
import { runChain, type ChainOutcome } from '../../src/providers/chain.ts';
import type { RemoteProvider } from '../../src/providers/provider.ts';
import { SharedAdmission } from '../../src/jobs/admission.ts';
import { CircuitBreaker } from '../../src/scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { calm, errorOf, orderOf, startOf, useHeygen } from './heygen-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const heygen = useHeygen();
const canceled = new LipsyncError('canceled', 'Nobody wants it any more.');

const routes = (): readonly (string | null)[] => heygen.standin.control.log().map(({ route }) => route);
const justNow = () => ({ ...calm, sinceMs: Date.now() });
const operations = () => heygen.standin.control.operations().operations;

describe('an order that went unanswered', () => {
  it.each<[string, FaultRuleInput['fault']]>([
    ['its connection was cut', { kind: 'drop', accepted: true }],
    ['a gateway answered', { kind: 'html', status: 504, accepted: true }],
    ['its answer was none', { kind: 'not_json', accepted: true }],
  ])('is found again by the job that it was for, without ordering anew: %s', async (_, fault) => {
    const provider = heygen.provider();
    const order = await orderOf(provider, await heygen.request());
    await heygen.placed();
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    expect(await errorOf(provider.start(order, calm))).toMatchObject({ requestOutcome: 'unknown' });
    await heygen.placed();
    const found = await provider.find(JSON.parse(JSON.stringify(order)), justNow());
    const mine = operations().find(({ callbackId }) => callbackId === order.state['jobId']);
    expect([found?.id, operations().length]).toEqual([mine?.lipsyncId, 3]);
    if (found) expect((await provider.check(found, calm)).status).toBe('done');
  });

  it('is found by nobody when it was not heard', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'drop' } });
    const provider = heygen.provider();
    const order = await orderOf(provider, await heygen.request());
    await errorOf(provider.start(order, calm));
    expect([await provider.find(order, justNow()), operations()]).toEqual([null, []]);
  });

  it('is not said to be unheard by a vendor that cannot be asked', async () => {
    heygen.standin.control.addFaults({ match: { route: 'list' }, fault: { kind: 'html', status: 502 } });
    const provider = heygen.provider();
    expect(await errorOf(provider.find(await orderOf(provider, await heygen.request()), justNow()))).toMatchObject({
      code: 'provider_unavailable',
    });
  });
});

describe('an order that is asked for again', () => {
  it('uploads nothing again', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 },
      times: 2,
    });
    const provider = heygen.provider();
    const order = await orderOf(provider, await heygen.request());
    for (const _ of [1, 2])
      expect(await errorOf(provider.start(order, calm))).toMatchObject({
        code: 'rate_limited',
        requestOutcome: 'refused',
      });
    await provider.start(order, calm);
    expect(routes()).toEqual(['upload', 'upload', 'create', 'create', 'create']);
  });

  it('says when HeyGen has no more what it names, and the next one is of other files', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status: 404, code: 'asset_not_found' },
    });
    const provider = heygen.provider();
    const request = await heygen.request();
    const order = await orderOf(provider, request);
    expect(await errorOf(provider.start(order, calm))).toMatchObject({
      code: 'provider_protocol',
      requestOutcome: 'expired',
    });
    const next = await provider.prepareRequest(request, {
      ...calm,
      replaced: order,
      idempotencyKey: order.idempotencyKey,
    });
    expect(next.state['videoAssetId']).not.toBe(order.state['videoAssetId']);
    expect(next.state['audioAssetId']).not.toBe(order.state['audioAssetId']);
    expect((await provider.start(next, calm)).id).toBe(operations()[0]?.lipsyncId);
  });
});

describe('an operation that is canceled', () => {
  it('is free when it was stopped before it was done', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
    expect(await heygen.provider().cancel(await heygen.placed(), calm)).toBe(0);
    expect(
      await heygen
        .provider()
        .cancel({ id: 'unknown', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } }, calm),
    ).toBe(0);
  });

  it.each(['refused', 'lingering'] as const)(
    'but was done between the last look and its deletion is billed: %s',
    async (outcome) => {
      heygen.standin.control.addFaults(
        { match: { route: 'create' }, fault: { kind: 'stick' } },
        { match: { route: 'delete' }, fault: { kind: 'finish', outcome } },
      );
      const provider = heygen.provider();
      const operation = await startOf(provider, await heygen.request());
      expect((await provider.check(operation, calm)).status).toBe('pending');
      expect(await provider.cancel(operation, calm)).toBe(heygen.standin.control.wallet().spentMicros);
      expect(heygen.standin.control.wallet().charges).toHaveLength(1);
    },
  );

  it('is not said to be stopped when its deletion was not heard', async () => {
    heygen.standin.control.addFaults(
      { match: { route: 'create' }, fault: { kind: 'stick' } },
      { match: { route: 'delete' }, fault: { kind: 'drop' } },
    );
    const provider = heygen.provider();
    expect(await errorOf(provider.cancel(await heygen.placed(), calm))).toMatchObject({ code: 'provider_unavailable' });
  });
});

describe('a job that is canceled while HeyGen has not answered its order', () => {
  let ledger: Ledger;
  let reconciler: SettlementReconciler;
  let admission: Admission;
  let attempts: readonly Attempt[];
  /** How far the time of the bills is ahead, so that nobody waits until they are due. */
  let aheadMs: number;

  beforeEach(() => {
    const state = createMemoryState().open();
    ledger = new Ledger({ state, clock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
    const pendingSettlements = new PendingSettlementStore({
      state,
      clock: { nowMs: () => clock.nowMs() + aheadMs },
    });
    reconciler = new SettlementReconciler({
      store: pendingSettlements,
      ledger,
      clock: { nowMs: () => clock.nowMs() + aheadMs },
    });
    [attempts, aheadMs] = [[], 0];
    admission = new SharedAdmission({
      breaker: new CircuitBreaker({ state, clock }),
      slots: createConcurrencySlots({ state, clock }),
      ledger,
      pendingSettlements,
      clock,
      slotPollIntervalMs: 1_000,
      onSlotReleased: () => undefined,
    });
  });
  async function run(provider: RemoteProvider, signal: AbortSignal): Promise<ChainOutcome> {
    const request = await heygen.request({ jobId: 'job_unwanted' });
    return runChain([provider], async () => request, {
      jobId: request.jobId,
      user: null,
      maxCostMicros: null,
      admission,
      clock,
      signal,
      earlierAttempts: attempts,
      canRun: () => true,
      onProgress: () => undefined,
      async saveAttempts(changed) {
        attempts = changed;
      },
    });
  }

  /** Cancels as soon as HeyGen has heard the order. */
  async function cancelWhileOrdering(provider: RemoteProvider): Promise<void> {
    const controller = new AbortController();
    const running = errorOf(run(provider, controller.signal));
    await expect.poll(() => routes().includes('create'), { interval: 5, timeout: 30_000 }).toBe(true);
    controller.abort(canceled);
    expect((await running).code).toBe('canceled');
    expect(attempts).toMatchObject([
      { outcome: 'canceled', operation: null, costMicros: null, request: { idempotencyKey: 'job_unwanted-0' } },
    ]);
  }

  async function books(): Promise<readonly number[]> {
    const [row] = await ledger.sum({ fromMs: 0, toMs: Date.now() + 1_000, groupBy: 'day' });
    return [row?.spentMicros ?? 0, row?.reservedMicros ?? 0];
  }

  const reconcile = (provider: RemoteProvider): Promise<number> => reconciler.reconcile([provider], calm.signal);

  it('has its operation stopped once it appears, and pays nothing', async () => {
    heygen.standin.control.addFaults(
      { match: { route: 'create' }, fault: { kind: 'delay', delayMs: 2_000 } },
      { match: { route: 'create' }, fault: { kind: 'stick' } },
    );
    const provider = heygen.provider();
    await cancelWhileOrdering(provider);
    expect(await books()).toEqual([0, provider.quote(await heygen.request())]);
    expect(await reconcile(provider)).toBe(0);
    await expect.poll(() => operations().length, { timeout: 30_000 }).toBe(1);
    aheadMs += 60_000;
    expect(await reconcile(provider)).toBe(1);
    expect(operations()).toMatchObject([{ deletedAt: expect.any(String) }]);
    expect([
      await books(),
      heygen.standin.control.wallet().spentMicros,
      routes().filter((route) => route === 'create').length,
    ]).toEqual([[0, 0], 0, 1]);
  });

  it('pays for its operation when that was done already', async () => {
    heygen.standin.control.changeSettings({ pace: { by: 'clock', pendingMs: 0, runningMs: 0 } });
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 2_000 } });
    const provider = heygen.provider();
    await cancelWhileOrdering(provider);
    await expect.poll(() => heygen.standin.control.wallet().charges.length, { timeout: 30_000 }).toBe(1);
    expect(await reconcile(provider)).toBe(1);
    expect(await books()).toEqual([heygen.standin.control.wallet().spentMicros, 0]);
  });
});
