import { expect, it } from 'vitest';
import { concurrencySlotsSuite } from '../testing/concurrency-slots-suite.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { createConcurrencySlots } from './concurrency-slots.ts';

concurrencySlotsSuite('a state store', async (clock) => {
  const state = createMemoryState().open();
  return { state, slots: createConcurrencySlots({ state, clock }) };
});

it('A sweep removes waiting jobs of killed processes from the waiting list.', async () => {
  const state = createMemoryState().open();
  const slots = createConcurrencySlots({ state, clock: { nowMs: () => 1_000 } });
  for (const jobId of ['job_1', 'job_2', 'job_3']) await slots.acquire('heygen', jobId, { limit: 1 });
  expect(await slots.sweep(async (jobId) => jobId === 'job_2')).toEqual({ released: 0, ready: [] });
  expect([await slots.countWaiting('heygen'), await slots.release('heygen', 'job_1')]).toEqual([1, 'job_3']);
});
