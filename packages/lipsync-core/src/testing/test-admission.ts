import { Ledger } from '../billing/ledger.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import type { Clock } from '../contract/ports.ts';
import { SharedAdmission, type SharedAdmissionOptions } from '../jobs/shared-admission.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type { StateStore } from '../storage/state-store.ts';

export interface TestAdmissionOptions extends Partial<SharedAdmissionOptions> {
  readonly state: StateStore;
  readonly clock: Clock;
}

/** The admission of the product over a state store. Parts that are not given are real, and the ledger has no caps. */
export function createTestAdmission({ state, clock, ...parts }: TestAdmissionOptions): SharedAdmission {
  return new SharedAdmission({
    breaker: new CircuitBreaker({ state, clock }),
    slots: createConcurrencySlots({ state, clock }),
    pendingSettlements: new PendingSettlementStore({ state, clock }),
    ledger: createUncappedLedger({ state, clock }),
    clock,
    slotPollIntervalMs: 1_000,
    onSlotReleased: () => undefined,
    ...parts,
  });
}

export function createUncappedLedger({ state, clock }: Pick<TestAdmissionOptions, 'state' | 'clock'>): Ledger {
  return new Ledger({ state, clock, caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null } });
}
