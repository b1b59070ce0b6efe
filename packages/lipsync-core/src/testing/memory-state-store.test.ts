import { createMemoryState } from './memory-state-store.ts';
import { stateRacesSuite } from './state-races-suite.ts';
import { stateStoreSuite, type StateStoreUnderTest } from './state-store-suite.ts';

async function makeStores(): Promise<StateStoreUnderTest> {
  const state = createMemoryState();
  return { store: state.open(), other: state.open(), dispose: async () => undefined };
}

stateStoreSuite('memory', makeStores);
stateRacesSuite('memory', makeStores);
