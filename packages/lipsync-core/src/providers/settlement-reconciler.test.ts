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
/** What jobs were told. */
let told: LateCost[];
let isHeard: boolean;
/** Looks at which the vendor did not answer. */
let unanswered: unknown[];

beforeEach(async () => {
  time.nowMs = startMs;
  state = createMemoryState().open();
  vendor = new ScriptedVendor();
  ledger = new Ledger({ state, clock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
  told = [];
  unanswered = [];
  isHeard = true;
  settlements = new PendingSettlementStore({ state, clock });
  await open('job_1-0');
});

function createReconciler(): SettlementReconciler {
  return new SettlementReconciler({
    store: settlements,
    ledger,
    clock,
    onVendorError: ({ jobId }, error) => void unanswered.push([jobId, error]),
    async onLateCost(cost) {
      told.push(cost);
      return isHeard;
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

describe('the bill of an operation that outlived its job', () => {
  it('is booked once it is known, and not asked for again', async () => {
    expect([await reconcile(), await reconcile()]).toEqual([1, 0]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('is given back when the operation failed and cost nothing', async () => {
    vendor.checks = ['failed'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'released', spentMicros: 0 });
  });

  it('stays open while the operation runs or the vendor does not answer, and is asked for more and more seldom', async () => {
    vendor.checks = ['pending', 'provider_unavailable'];
    expect([await reconcile(), await reconcile()]).toEqual([0, 0]);
    expect(vendor.checks).toHaveLength(1);
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(1);
  });

  it('is given back after a day in which the vendor said nothing', async () => {
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
    // That nobody knows what it cost is not that it cost nothing.
    expect([told, unanswered.length, unanswered[0]]).toMatchObject([
      [],
      200 - vendor.checks.length,
      ['job_1-0', { code: 'provider_protocol' }],
    ]);
  });

  it('is asked for by one of several processes at a time', async () => {
    vendor.checks = Array.from({ length: 10 }, () => 'pending' as const);
    const other = createReconciler();
    await Promise.all([reconcile(), other.reconcile([vendor], never), reconcile()]);
    expect(vendor.checks).toHaveLength(9);
  });

  it('is left to processes that can ask the vendor, and is given back after a day when there are none', async () => {
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

  it('is booked once when the process died between book and bill', async () => {
    await ledger.settle({ id: 'job_1-0', atMs: startMs }, { micros: toMicros(70), atMs: startMs });
    expect(await reconcile()).toBe(1);
    expect(await ledger.sum({ fromMs: 0, toMs: startMs + 1, groupBy: 'day' })).toMatchObject([
      { spentMicros: 70, reservedMicros: 0 },
    ]);
  });

  it('is found behind many that are stuck', async () => {
    for (let index = 0; index < 120; index += 1) await open(`job_0-${index}`);
    await reconcile(AbortSignal.abort());
    vendor.check = async (operation) =>
      operation.id === 'op-of-job_1-0'
        ? { status: 'done', operation, costMicros: 70 }
        : { status: 'pending', checkAgainInMs: 1 };
    expect(await reconcile()).toBe(1);
  });
});

describe('the bill of a result that is not handed out', () => {
  it('is booked although the operation never came to its end', async () => {
    vendor.checks = ['billed'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });
});

describe('the bill of an operation that nobody wants', () => {
  beforeEach(async () => {
    await reconcile();
    vendor = new ScriptedVendor();
  });

  it('has it told to stop again and again, until the vendor hears', async () => {
    await open('job_2-0', null, 'due');
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null, 0];
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([0, { state: 'reserved' }]);
    time.nowMs += 30_000;
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'released' }]);
    expect(vendor.canceled).toEqual(['op-of-job_2-0', 'op-of-job_2-0']);
  });

  it.each(['sent', 'due'] as const)(
    'is given back when the operation is gone after it was told to stop while it ran: %s',
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

  it('is not given back, and nothing deleted, when the vendor does not answer, also where it was told to stop before: it may have been done', async () => {
    await open('job_2-0', null, 'sent');
    vendor.checks = ['provider_unavailable'];
    expect([await reconcile(), vendor.canceled, await entryOf('job_2-0')]).toMatchObject([
      0,
      [],
      { state: 'reserved' },
    ]);
    expect(unanswered).toMatchObject([['job_2-0', { code: 'provider_unavailable' }]]);
    time.nowMs += 30_000;
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'settled', spentMicros: 70 }]);
  });

  it('is booked when the operation was done all the same', async () => {
    await open('job_2-0', null, 'sent');
    expect([await reconcile(), await entryOf('job_2-0')]).toMatchObject([1, { state: 'settled', spentMicros: 70 }]);
  });
});

describe('a bill that is taken back, because its attempt is gone on with', () => {
  const entry = { id: 'job_1-0', atMs: startMs };

  it("is nobody's any more", async () => {
    expect([await settlements.withdraw(entry), await reconcile(), vendor.canceled]).toEqual([true, 0, []]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
    expect(await settlements.withdraw(entry)).toBe(true);
  });

  it("is nobody's either while the vendor is asked about it: nothing is stopped or booked", async () => {
    vendor.check = async (operation) => {
      await settlements.withdraw(entry);
      return { status: 'done', operation, costMicros: 70 };
    };
    expect([await reconcile(), told]).toEqual([0, []]);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'reserved' });
  });

  it('cannot be taken back once its operation is being stopped', async () => {
    await settlements.withdraw(entry);
    await open('job_2-0', null, 'due');
    vendor.checks = ['pending'];
    vendor.cancels = [null];
    await reconcile();
    expect(await settlements.withdraw({ id: 'job_2-0', atMs: startMs })).toBe(false);
  });
});

describe('a job that ended before its bill was known', () => {
  it('is told what it cost, also when that is nothing', async () => {
    await open('job_2-0');
    vendor.checks = ['done', 'failed'];
    expect(await reconcile()).toBe(2);
    expect(told).toEqual([
      { jobId: 'job_1-0', index: 0, costMicros: 70 },
      { jobId: 'job_2-0', index: 0, costMicros: 0 },
    ]);
  });

  it('is told again when it could not hear, and paid for once', async () => {
    isHeard = false;
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'settled' });
    isHeard = true;
    time.nowMs += 30_000;
    expect(await reconcile()).toBe(1);
    expect(told).toHaveLength(2);
    expect(await ledger.sum({ fromMs: 0, toMs: startMs + 1, groupBy: 'day' })).toMatchObject([{ spentMicros: 70 }]);
  });

  it('is told what was booked, not what was found out after somebody had booked it', async () => {
    await ledger.settle({ id: 'job_1-0', atMs: startMs }, { micros: toMicros(70), atMs: startMs });
    vendor.checks = ['failed'];
    await reconcile();
    expect(told).toMatchObject([{ costMicros: 70 }]);
  });
});

describe('the bill of an order that went unanswered', () => {
  const order = { idempotencyKey: 'job_2-0', state: {}, unacknowledgedSinceMs: startMs };

  beforeEach(async () => {
    await reconcile();
    vendor = new ScriptedVendor();
    await open('job_2-0', order);
  });

  it('is that of the operation that it began, which is stopped when it still runs', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['pending'];
    expect(await reconcile()).toBe(1);
    expect(vendor.canceled).toEqual(['op-of-job_2-0']);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'released', note: 'not billed' });
  });

  it('is that of an operation begun since the order first went unanswered, although the order was made anew later', async () => {
    const asked: unknown[] = [];
    vendor.find = async (_, { sinceMs }) => {
      asked.push(sinceMs);
      return null;
    };
    time.nowMs += 60_000;
    await reconcile();
    expect(asked).toEqual([startMs]);
  });

  it('is booked when the operation was done before it was found', async () => {
    vendor.finds = ['op'];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('is booked when the operation is done while it is stopped', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['pending'];
    vendor.cancels = [70];
    expect(await reconcile()).toBe(1);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'settled', spentMicros: 70 });
  });

  it('never orders anything: nothing is started to find out', async () => {
    vendor.finds = ['none', 'provider_unavailable', 'op'];
    for (const _ of vendor.finds.slice()) {
      await reconcile();
      time.nowMs += 60_000;
    }
    expect([vendor.ordered, vendor.started, vendor.canceled.length]).toEqual([[], [], 1]);
  });

  it('stays open while the operation may yet appear, and is given back when it did not for ten minutes', async () => {
    while ((await reconcile()) === 0) {
      expect(await entryOf('job_2-0')).toMatchObject({ state: 'reserved' });
      time.nowMs += 30_000;
    }
    expect(time.nowMs - startMs).toBeGreaterThanOrEqual(10 * 60_000);
    expect(time.nowMs - startMs).toBeLessThan(20 * 60_000);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'released', note: 'the request started no operation' });
  });

  it('stays open for a day while the vendor cannot be asked', async () => {
    vendor.finds = Array.from({ length: 200 }, () => 'provider_unavailable' as const);
    while ((await reconcile()) === 0) time.nowMs += 5 * 60_000;
    expect(time.nowMs - startMs).toBeGreaterThanOrEqual(24 * 3_600_000);
  });

  it('is not lost with the process that found the operation and could not stop it', async () => {
    vendor.finds = ['op', 'none'];
    vendor.checks = ['pending', 'pending'];
    vendor.cancels = [null, 0];
    expect(await reconcile()).toBe(0);
    time.nowMs += 30_000;
    expect(await createReconciler().reconcile([vendor], never)).toBe(1);
    expect([vendor.canceled, vendor.finds]).toEqual([['op-of-job_2-0', 'op-of-job_2-0'], ['none']]);
  });

  it('is not taken for free because the operation was gone before anybody knew how it stood', async () => {
    vendor.finds = ['op'];
    vendor.checks = ['provider_unavailable'];
    expect(await reconcile()).toBe(0);
    expect(await entryOf('job_2-0')).toMatchObject({ state: 'reserved' });
  });
});
