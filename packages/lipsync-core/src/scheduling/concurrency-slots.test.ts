import { concurrencySlotsSuite } from '../testing/concurrency-slots-suite.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { createConcurrencySlots } from './concurrency-slots.ts';

concurrencySlotsSuite('a state store', async (clock) => {
  const state = createMemoryState().open();
  return { state, slots: createConcurrencySlots({ state, clock }) };
});
