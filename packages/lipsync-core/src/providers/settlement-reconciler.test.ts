import { beforeEach, describe, expect, it } from 'vitest';
import { listEntries } from '../billing/cost-report.ts';
import { Ledger } from '../billing/ledger.ts';
import type { StateStore } from '../storage/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { SettlementReconciler, type LateCost } from './settlement-reconciler.ts';
import type { StoredRequest, OperationStop } from '../contract/provider-types.ts';
import { toMicros } from '../billing/micros.ts';

const never = new AbortController().signal;
const startMs = Date.UTC(2026, 10, 21);
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };

let state: StateStore;
let vendor: ScriptedVendor;
let ledger: Ledger;
let settlements: PendingSettlementStore;
/** Delivered late costs. */
let lateCosts: LateCost[];
let isDelivered: boolean;
/** Failed vendor calls. */
let vendorErrors: unknown[];

beforeEach(async () => {
  time.nowMs = startMs;
  state = createMemoryState().open();
  vendor = new ScriptedVendor();
  ledger = new Ledger({ state, clock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
  lateCosts = [];
  vendorErrors = [];
  isDelivered = true;
  settlements = new PendingSettlementStore({ state, clock });
  await open('job_1-0');
});

function createReconciler(): SettlementReconciler {
  return new SettlementReconciler({
    store: settlements,
    ledger,
    clock,
    onVendorError: ({ jobId }, error) => void vendorErrors.push([jobId, error]),
    async onLateCost(cost) {
      lateCosts.push(cost);
      return isDelivered;
    },
  });
}

async function open(id: string, request: StoredRequest | null = null, stop: OperationStop = 'none'): Promise<void> {
  await ledger.reserve({ id, jobId: id, provider: 'heygen', user: null, micros: toMicros(100), atMs: startMs });
  const operation = request ? null : { id: `op-of-${id}`, state: {} };
  await settlements.add({
    provider: 'heygen',
    operation,
    request,
    stop: request ? 'due' : stop,
    entry: { id, atMs: startMs },
    jobId: id,
    index: 0,
    sinceMs: time.nowMs,
  });
}

const reconcile = (signal = never): Promise<number> => createReconciler().reconcile([vendor], signal);

async function entryOf(id: string): Promise<unknown> {
  for await (const entry of listEntries(state, { fromMs: startMs, toMs: startMs + 1 }))
    if (entry.id === id) return entry;
  return undefined;
}

describe('pending settlement of a running operation', () => {
  it('A known cost is settled once, and the vendor is not queried again.', async () => {
    expect([await reconcile(), await reconcile()]).toEqual([1, 0]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('The money of a failed operation without cost is released.', async () => {
    vendor.checks = ['failed'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'released', spentMicros: 0 });
  });

  it('The vendor is queried at growing intervals while the cost is unknown.', async () => {
    vendor.checks = ['pending', 'provider_unavailable'];
    expect([await reconcile(), await reconcile()]).toEqual([0, 0]);
    expect(vendor.checks).toHaveLength(1);
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(1);
  });

  it('The money is released after a day without a report of the vendor.', async () => {
    vendor.checks = Array.from({ length: 200 }, () => 'provider_protocol' as const);
    let looks = 0;
    while ((await reconcile()) === 0) {
      looks += 1;
      time.nowMs += 5 * 60_000;
    }
    expect(time.nowMs - startMs).toBeGreaterThanOrEqual(24 * 3_600_000);
    expect(200 - vendor.checks.length).toBeLessThan(80);
    expect(looks).toBeGreaterThan(80);
    expect(await entryOf('job_1-0')).toMatchObject({
      state: 'released',
      note: 'the vendor never reported a charge',
    });
    // An unknown cost is not reported as zero.
    expect([lateCosts, vendorErrors.length, vendorErrors[0]]).toMatchObject([
      [],
      200 - vendor.checks.length,
      ['job_1-0', { code: 'provider_protocol' }],
    ]);
  });

  it('Of several processes, one at a time queries a settlement.', async () => {
    vendor.checks = Array.from({ length: 10 }, () => 'pending' as const);
    const other = createReconciler();
    await Promise.all([reconcile(), other.reconcile([vendor], never), reconcile()]);
    expect(vendor.checks).toHaveLength(9);
  });

  it('A process without the provider leaves a settlement alone; after a day its money is released.', async () => {
    expect([await createReconciler().reconcile([], never), await entryOf('job_1-0')]).toMatchObject([
      0,
      { state: 'reserved' },
    ]);
    expect(await reconcile()).toBe(1);
    await open('job_2-0');
    time.nowMs += 24 * 3_600_000;
    expect(await createReconciler().reconcile([], never)).toBe(1);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'released' });
  });

  it('A crash between booking and removing the settlement books the cost once.', async () => {
    await ledger.settle({ id: 'job_1-0', atMs: startMs }, { micros: toMicros(70), atMs: startMs });
    expect(await reconcile()).toBe(1);
    expect(await ledger.sum({ fromMs: 0, toMs: startMs + 1, groupBy: 'day' })).toMatchObject([
      { spentMicros: 70, reservedMicros: 0 },
    ]);
  });

  it('A settlement is resolved behind many unresolved ones.', async () => {
    for (let index = 0; index < 120; index += 1) await open(`job_0-${index}`);
    await reconcile(AbortSignal.abort());
    vendor.check = async (operation) =>
      operation.id === 'op-of-job_1-0'
        ? { status: 'done', operation, costMicros: 70 }
        : { status: 'pending', checkAgainInMs: 1 };
    expect(await reconcile()).toBe(1);
  });
});

describe('pending settlement of a result that is not delivered', () => {
  it('The cost is settled although the operation never finishes.', async () => {
    vendor.checks = ['billed'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });
});

describe('pending settlement of a canceled operation', () => {
  beforeEach(async () => {
    await reconcile();
    vendor = new ScriptedVendor();
  });

  it('The cancel is repeated until the vendor confirms it.', async () => {
    await open('job_2-0', null, 'due');
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null, 0];
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([0, { state: 'reserved' }]);
    time.nowMs += 30_000;
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'released' }]);
    expect(vendor.canceled).toEqual(['op-of-job_2-0', 'op-of-job_2-0']);
  });

  it.each(['sent', 'due'] as const)(
    'The money is released when the operation is gone after a cancel (%s).',
    async (stop) => {
      await open('job_2-0', null, stop);
      if (stop === 'due') {
        vendor.checks = ['pending'];
        vendor.cancels = [null];
        expect(await reconcile()).toBe(0);
        time.nowMs += 30_000;
      }
      vendor.checks = ['provider_protocol'];
      expect([await createReconciler().reconcile([vendor], never), await entryOf('job_2-0')]).toMatchObject([
        1,
        { state: 'released', note: 'not billed' },
      ]);
    },
  );

  it('Without an answer, nothing is released or canceled, because the operation may have finished.', async () => {
    await open('job_2-0', null, 'sent');
    vendor.checks = ['provider_unavailable'];
    expect([await reconcile(), vendor.canceled, await entryOf('job_2-0')]).toMatchObject([
      0,
      [],
      { state: 'reserved' },
    ]);
    expect(vendorErrors).toMatchObject([['job_2-0', { code: 'provider_unavailable' }]]);
    time.nowMs += 30_000;
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'settled', spentMicros: 70 }]);
  });

  it('The cost of an operation that finished despite the cancel is settled.', async () => {
    await open('job_2-0', null, 'sent');
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'settled', spentMicros: 70 }]);
  });
});

describe('withdrawn settlement', () => {
  const entry = { id: 'job_1-0', atMs: startMs };

  it('A withdrawn settlement is not processed.', async () => {
    expect([await settlements.withdraw(entry), await reconcile(), vendor.canceled]).toEqual([true, 0, []]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
    expect(await settlements.withdraw(entry)).toBe(true);
  });

  it('A settlement that is withdrawn during a query cancels and books nothing.', async () => {
    vendor.check = async (operation) => {
      await settlements.withdraw(entry);
      return { status: 'done', operation, costMicros: 70 };
    };
    expect([await reconcile(), lateCosts]).toEqual([0, []]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
  });

  it('A settlement cannot be withdrawn once its operation is being canceled.', async () => {
    await settlements.withdraw(entry);
    await open('job_2-0', null, 'due');
    vendor.checks = ['pending'];
    vendor.cancels = [null];
    await reconcile();
    expect(await settlements.withdraw({ id: 'job_2-0', atMs: startMs })).toBe(false);
  });
});

describe('late cost', () => {
  it('The job receives its late cost, also when it is zero.', async () => {
    await open('job_2-0');
    vendor.checks = ['done', 'failed'];
    expect(await reconcile()).toBe(2);
    expect(lateCosts).toEqual([
      { jobId: 'job_1-0', index: 0, costMicros: 70 },
      { jobId: 'job_2-0', index: 0, costMicros: 0 },
    ]);
  });

  it('An undelivered late cost is delivered again and booked once.', async () => {
    isDelivered = false;
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled' });
    isDelivered = true;
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(1);
    expect(lateCosts).toHaveLength(2);
    expect(await ledger.sum({ fromMs: 0, toMs: startMs + 1, groupBy: 'day' })).toMatchObject([{ spentMicros: 70 }]);
  });

  it('The job receives the booked amount, not a later answer of the vendor.', async () => {
    await ledger.settle({ id: 'job_1-0', atMs: startMs }, { micros: toMicros(70), atMs: startMs });
    vendor.checks = ['failed'];
    await reconcile();
    expect(lateCosts).toMatchObject([{ costMicros: 70 }]);
  });
});

describe('pending settlement of an unacknowledged request', () => {
  const order = { idempotencyKey: 'job_2-0', state: {}, unacknowledgedSinceMs: startMs };

  beforeEach(async () => {
    await reconcile();
    vendor = new ScriptedVendor();
    await open('job_2-0', order);
  });

  it('The operation of an unacknowledged request is found and canceled.', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['pending'];
    expect(await reconcile()).toBe(1);
    expect(vendor.canceled).toEqual(['op-of-job_2-0']);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'released', note: 'not billed' });
  });

  it('The search covers the time since the request was first sent, although it was prepared again later.', async () => {
    const asked: unknown[] = [];
    vendor.find = async (_, { sinceMs }) => {
      asked.push(sinceMs);
      return null;
    };
    time.nowMs += 60_000;
    await reconcile();
    expect(asked).toEqual([startMs]);
  });

  it('The cost of an operation that had finished before it was found is settled.', async () => {
    vendor.finds = ['op'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('The cost of an operation that finishes during the cancel is settled.', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['pending'];
    vendor.cancels = [70];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('Reconciling never starts an operation.', async () => {
    vendor.finds = ['none', 'provider_unavailable', 'op'];
    for (const _ of vendor.finds.slice()) {
      await reconcile();
      time.nowMs += 60_000;
    }
    expect([vendor.ordered, vendor.started, vendor.canceled.length]).toEqual([[], [], 1]);
  });

  it('The money is released when no operation appears within ten minutes.', async () => {
    while ((await reconcile()) === 0) {
      expect(await entryOf('job_2-0')).toMatchObject({ state: 'reserved' });
      time.nowMs += 30_000;
    }
    expect(time.nowMs - startMs).toBeGreaterThanOrEqual(10 * 60_000);
    expect(time.nowMs - startMs).toBeLessThan(20 * 60_000);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'released', note: 'the request started no operation' });
  });

  it('The settlement remains for a day while the vendor cannot be queried.', async () => {
    vendor.finds = Array.from({ length: 200 }, () => 'provider_unavailable' as const);
    while ((await reconcile()) === 0) time.nowMs += 5 * 60_000;
    expect(time.nowMs - startMs).toBeGreaterThanOrEqual(24 * 3_600_000);
  });

  it('A found operation is stored before it is canceled, so that a crash does not lose it.', async () => {
    vendor.finds = ['op', 'none'];
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null, 0];
    expect(await reconcile()).toBe(0);
    time.nowMs += 30_000;
    expect(await createReconciler().reconcile([vendor], never)).toBe(1);
    expect([vendor.canceled, vendor.finds]).toEqual([['op-of-job_2-0', 'op-of-job_2-0'], ['none']]);
  });

  it('An operation that is gone before its first check is not treated as free.', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['provider_unavailable'];
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'reserved' });
  });
});
