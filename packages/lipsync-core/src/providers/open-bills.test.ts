import { beforeEach, describe, expect, it } from 'vitest';
import { createLedger, type Ledger } from '../ledger/ledger.ts';
import type { StateStore } from '../state/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { createOpenBills, type OpenBills } from './open-bills.ts';

const never = new AbortController().signal;
const startMs = Date.UTC(2026, 10, 21);
const time = { nowMs: 0 };
const clock = { nowMs: () => time.nowMs };

let state: StateStore;
let vendor: ScriptedVendor;
let ledger: Ledger;
let bills: OpenBills;

beforeEach(async () => {
  time.nowMs = startMs;
  state = createMemoryState().open();
  vendor = new ScriptedVendor();
  ledger = createLedger({ state, clock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
  bills = createOpenBills({ state, ledger, clock });
  await open('job_1-0');
});

async function open(id: string): Promise<void> {
  await ledger.reserve({ id, jobId: id, provider: 'heygen', user: null, micros: 100, atMs: startMs });
  await bills.add({ provider: 'heygen', operation: { id: `op-of-${id}`, state: {} }, entry: { id, atMs: startMs }, sinceMs: time.nowMs });
}

const reconcile = (signal = never): Promise<number> => bills.reconcile({ all: [vendor] }, signal);

async function entryOf(id: string): Promise<unknown> {
  for await (const entry of ledger.entries({ fromMs: startMs, toMs: startMs + 1 })) if (entry.id === id) return entry;
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
    expect(await entryOf('job_1-0')).toMatchObject({ state: 'released', note: 'the vendor never said whether it was billed' });
  });

  it('is asked for by one of several processes at a time', async () => {
    vendor.checks = Array.from({ length: 10 }, () => 'pending' as const);
    const other = createOpenBills({ state, ledger, clock });
    await Promise.all([reconcile(), other.reconcile({ all: [vendor] }, never), reconcile()]);
    expect(vendor.checks).toHaveLength(9);
  });

  it('is booked once when the process died between book and bill', async () => {
    await ledger.settle({ id: 'job_1-0', atMs: startMs }, { micros: 70, atMs: startMs });
    expect(await reconcile()).toBe(1);
    expect(await ledger.sum({ fromMs: 0, toMs: startMs + 1, groupBy: 'day' })).toMatchObject([{ spentMicros: 70, reservedMicros: 0 }]);
  });

  it('is found behind many that are stuck', async () => {
    for (let index = 0; index < 120; index += 1) await open(`job_0-${index}`);
    await reconcile(AbortSignal.abort());
    vendor.check = async (operation) => (operation.id === 'op-of-job_1-0' ? { status: 'done', operation, costMicros: 70 } : { status: 'pending', checkAgainInMs: 1 });
    expect(await reconcile()).toBe(1);
  });
});
