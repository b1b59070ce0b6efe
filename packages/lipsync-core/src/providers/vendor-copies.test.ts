import { beforeEach, expect, it } from 'vitest';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import { LipsyncError } from '../errors/index.ts';
import type { StateStore } from '../storage/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { ScriptedVendor } from '../testing/scripted-vendor.ts';
import { VendorCopies } from './vendor-copies.ts';

const minuteMs = 60_000;
const operation = { id: 'op-1', state: {} };
const copy = { jobId: 'job_1', index: 0, provider: 'heygen', operation, request: null };
const signal = new AbortController().signal;
let nowMs: number;
let state: StateStore;
let vendor: ScriptedVendor;
let copies: VendorCopies;
const clock = { nowMs: () => nowMs };

beforeEach(() => {
  nowMs = 1_000;
  state = createMemoryState().open();
  vendor = new ScriptedVendor();
  copies = new VendorCopies({ state, clock });
});

it('A copy is deleted at its vendor once, and nothing of it stays stored.', async () => {
  await copies.add(copy);
  await copies.add(copy);
  expect([await copies.deleteDue([vendor], signal), await copies.deleteDue([vendor], signal)]).toEqual([1, 0]);
  expect(vendor.deletedCopies).toEqual(['op-1']);
  expect(await state.list('', { limit: 10 })).toEqual([]);
});

it('A copy is kept while the cost of its attempt is unknown, and in a process without its provider.', async () => {
  const settlements = new PendingSettlementStore({ state, clock });
  const entry = { id: 'job_1-0', atMs: 1 };
  await settlements.add({ ...copy, entry, stop: 'none', sinceMs: 1 });
  await copies.add(copy);
  expect(await copies.deleteDue([vendor], signal)).toBe(0);
  await settlements.remove('open-bills/job_1-0');
  expect(await copies.deleteDue([], signal)).toBe(0);
  expect(await copies.deleteDue([vendor], signal)).toBe(1);
});

it('A deletion that fails is repeated later, and given up after 30 days.', async () => {
  const failures: unknown[] = [];
  copies = new VendorCopies({ state, clock, onFailure: (_copy, error) => failures.push(error) });
  const failing = Object.assign(new ScriptedVendor(), {
    deleteCopies: () => Promise.reject(new LipsyncError('provider_unavailable', 'Down.')),
  });
  await copies.add(copy);
  expect(await copies.deleteDue([failing], signal)).toBe(0);
  nowMs += minuteMs;
  expect([await copies.deleteDue([failing], signal), failures.length]).toEqual([0, 1]);
  nowMs += 10 * minuteMs;
  expect([await copies.deleteDue([failing], signal), failures.length]).toEqual([0, 2]);
  nowMs += 30 * 24 * 60 * minuteMs;
  expect([await copies.deleteDue([failing], signal), failures.length]).toEqual([1, 3]);
  expect(await state.list('', { limit: 10 })).toEqual([]);
});
