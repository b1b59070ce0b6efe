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
import { SharedAdmission } from '../../src/jobs/shared-admission.ts';
import { CircuitBreaker } from '../../src/scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';
import { takeContext, catchError, prepare, prepareAndStart, useHeygen } from './heygen-fixture.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const heygen = useHeygen();
const canceled = new LipsyncError('canceled', 'The caller canceled the job.');

const routes = (): readonly (string | null)[] => heygen.standin.control.log().map(({ route }) => route);
const searchNow = () => ({ ...takeContext, sinceMs: Date.now() });
const operations = () => heygen.standin.control.operations().operations;

describe('unacknowledged requests', () => {
  it.each<[string, FaultRuleInput['fault']]>([
    ['a cut connection', { kind: 'drop', accepted: true }],
    ['a gateway page', { kind: 'html', status: 504, accepted: true }],
    ['an invalid response', { kind: 'not_json', accepted: true }],
  ])('The operation of a request that got %s is found without a second create.', async (_, fault) => {
    const provider = heygen.provider();
    const operationRequest = await prepare(provider, await heygen.request());
    await heygen.createOperation();
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    expect(await catchError(provider.start(operationRequest, takeContext))).toMatchObject({
      requestOutcome: 'unknown',
    });
    await heygen.createOperation();
    const found = await provider.find(JSON.parse(JSON.stringify(operationRequest)), searchNow());
    const mine = operations().find(({ callbackId }) => callbackId === operationRequest.state['jobId']);
    expect([found?.id, operations().length]).toEqual([mine?.lipsyncId, 3]);
    if (found) expect((await provider.check(found, takeContext)).status).toBe('done');
  });

  it('A request that HeyGen never received has no operation.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'drop' } });
    const provider = heygen.provider();
    const operationRequest = await prepare(provider, await heygen.request());
    await catchError(provider.start(operationRequest, takeContext));
    expect([await provider.find(operationRequest, searchNow()), operations()]).toEqual([null, []]);
  });

  it('The search fails while HeyGen is unavailable.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'list' }, fault: { kind: 'html', status: 502 } });
    const provider = heygen.provider();
    expect(await catchError(provider.find(await prepare(provider, await heygen.request()), searchNow()))).toMatchObject(
      {
        code: 'provider_unavailable',
      },
    );
  });
});

describe('repeated requests', () => {
  it('A repeated request uploads nothing again.', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 },
      times: 2,
    });
    const provider = heygen.provider();
    const operationRequest = await prepare(provider, await heygen.request());
    for (const _ of [1, 2])
      expect(await catchError(provider.start(operationRequest, takeContext))).toMatchObject({
        code: 'rate_limited',
        requestOutcome: 'refused',
      });
    await provider.start(operationRequest, takeContext);
    expect(routes()).toEqual(['upload', 'upload', 'create', 'create', 'create']);
  });

  it('A request whose assets are deleted is expired, and the next one has new assets.', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status: 404, code: 'asset_not_found' },
    });
    const provider = heygen.provider();
    const request = await heygen.request();
    const operationRequest = await prepare(provider, request);
    expect(await catchError(provider.start(operationRequest, takeContext))).toMatchObject({
      code: 'provider_protocol',
      requestOutcome: 'refused',
      isRequestExpired: true,
    });
    const next = await provider.prepareRequest(request, {
      ...takeContext,
      replaced: operationRequest,
      idempotencyKey: operationRequest.idempotencyKey,
    });
    expect(next.state['videoAssetId']).not.toBe(operationRequest.state['videoAssetId']);
    expect(next.state['audioAssetId']).not.toBe(operationRequest.state['audioAssetId']);
    expect((await provider.start(next, takeContext)).id).toBe(operations()[0]?.lipsyncId);
  });

  it.each([
    ['asset_not_found', 'refused'],
    ['unknown_code', 'refused'],
    ['conflict', 'unknown'],
    ['request_in_progress', 'unknown'],
    ['internal_error', 'unknown'],
  ])('A create response with status 404 and code %s is expired and its outcome is %s.', async (code, outcome) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'error', status: 404, code } });
    expect(await catchError(prepareAndStart(heygen.provider(), await heygen.request()))).toMatchObject({
      httpStatus: 404,
      requestOutcome: outcome,
      isRequestExpired: true,
    });
  });
});

describe('cancellation', () => {
  it('An operation that is canceled before it completes costs nothing.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
    expect(await heygen.provider().cancel(await heygen.createOperation(), takeContext)).toBe(0);
    expect(
      await heygen
        .provider()
        .cancel({ id: 'unknown', state: { mode: 'speed', quotedMicros: 1, startedAtMs: 0 } }, takeContext),
    ).toBe(0);
  });

  it.each(['refused', 'lingering'] as const)(
    'An operation that completes just before its deletion is charged: %s',
    async (outcome) => {
      heygen.standin.control.addFaults(
        { match: { route: 'create' }, fault: { kind: 'stick' } },
        { match: { route: 'delete' }, fault: { kind: 'finish', outcome } },
      );
      const provider = heygen.provider();
      const operation = await prepareAndStart(provider, await heygen.request());
      expect((await provider.check(operation, takeContext)).status).toBe('pending');
      expect(await provider.cancel(operation, takeContext)).toBe(heygen.standin.control.wallet().spentMicros);
      expect(heygen.standin.control.wallet().charges).toHaveLength(1);
    },
  );

  it('A cancellation fails when the deletion is not acknowledged.', async () => {
    heygen.standin.control.addFaults(
      { match: { route: 'create' }, fault: { kind: 'stick' } },
      { match: { route: 'delete' }, fault: { kind: 'drop' } },
    );
    const provider = heygen.provider();
    expect(await catchError(provider.cancel(await heygen.createOperation(), takeContext))).toMatchObject({
      code: 'provider_unavailable',
    });
  });
});

describe('jobs that are canceled before HeyGen acknowledges the request', () => {
  let ledger: Ledger;
  let reconciler: SettlementReconciler;
  let admission: Admission;
  let attempts: readonly Attempt[];
  /** Moves the clock of the settlements forward, so that the tests need not wait. */
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
    const request = await heygen.request({ jobId: 'job_canceled' });
    return runChain([provider], async () => request, {
      jobId: request.jobId,
      payer: { user: null },
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

  /** Cancels when HeyGen has received the create request. */
  async function cancelDuringCreate(provider: RemoteProvider): Promise<void> {
    const controller = new AbortController();
    const running = catchError(run(provider, controller.signal));
    await expect.poll(() => routes().includes('create'), { interval: 5, timeout: 30_000 }).toBe(true);
    controller.abort(canceled);
    expect((await running).code).toBe('canceled');
    expect(attempts).toMatchObject([
      { outcome: 'canceled', operation: null, costMicros: null, request: { idempotencyKey: 'job_canceled-0' } },
    ]);
  }

  async function readLedger(): Promise<readonly number[]> {
    const [row] = await ledger.sum({ fromMs: 0, toMs: Date.now() + 1_000, groupBy: 'day' });
    return [row?.spentMicros ?? 0, row?.reservedMicros ?? 0];
  }

  const reconcile = (provider: RemoteProvider): Promise<number> => reconciler.reconcile([provider], takeContext.signal);

  it('Its operation is canceled when it appears, and costs nothing.', async () => {
    heygen.standin.control.addFaults(
      { match: { route: 'create' }, fault: { kind: 'delay', delayMs: 2_000 } },
      { match: { route: 'create' }, fault: { kind: 'stick' } },
    );
    const provider = heygen.provider();
    await cancelDuringCreate(provider);
    expect(await readLedger()).toEqual([0, provider.quote(await heygen.request())]);
    expect(await reconcile(provider)).toBe(0);
    await expect.poll(() => operations().length, { timeout: 30_000 }).toBe(1);
    aheadMs += 60_000;
    expect(await reconcile(provider)).toBe(1);
    expect(operations()).toMatchObject([{ deletedAt: expect.any(String) }]);
    expect([
      await readLedger(),
      heygen.standin.control.wallet().spentMicros,
      routes().filter((route) => route === 'create').length,
    ]).toEqual([[0, 0], 0, 1]);
  });

  it('Its operation is charged if it has already completed.', async () => {
    heygen.standin.control.changeSettings({ pace: { by: 'clock', pendingMs: 0, runningMs: 0 } });
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 2_000 } });
    const provider = heygen.provider();
    await cancelDuringCreate(provider);
    await expect.poll(() => heygen.standin.control.wallet().charges.length, { timeout: 30_000 }).toBe(1);
    expect(await reconcile(provider)).toBe(1);
    expect(await readLedger()).toEqual([heygen.standin.control.wallet().spentMicros, 0]);
  });
});
