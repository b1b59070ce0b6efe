import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import {
  admit,
  afterAcceptance,
  afterReport,
  closedBreaker,
  eventBetween,
  isUntried,
  recentFaults,
  type Admission,
  type BreakerDecision,
  type BreakerEvent,
  type BreakerMemory,
  type BreakerReport,
  type BreakerSettings,
} from './circuit-breaker-state.ts';

export interface BreakerView {
  readonly state: 'closed' | 'open' | 'half_open';
  /** Vendor faults in a row that count towards the next opening. */
  readonly recentFaults: number;
  /** Why it is not closed: vendor faults, or a refused key or empty wallet. */
  readonly reason: 'faults' | 'refused' | null;
  /** When a probe is let through, or was due. */
  readonly openUntilMs: number | null;
  /** Openings since it was last closed. */
  readonly openings: number;
}

/** Keeps jobs from a provider that is failing; one breaker per provider, the same one for all processes. */
export interface CircuitBreaker {
  /** Whether `who`, a name that stays the same over crashes, may ask the provider now; as the one probe while it is half open. */
  admit(provider: string, who: string): Promise<Admission>;
  /** Tells how an admitted attempt ended. Every admitted one reports once; a repetition counts as another fault. */
  report(provider: string, who: string, report: BreakerReport): Promise<void>;
  /** Tells that the provider has taken up work, long before its attempt ends; true when it was untried until then. */
  accept(provider: string): Promise<boolean>;
  /** Whether the provider has taken up nothing yet since the beginning, and is not known to be at fault either. */
  isUntried(provider: string): Promise<boolean>;
  look(provider: string): Promise<BreakerView>;
}

export interface BreakerChange {
  readonly provider: string;
  readonly event: BreakerEvent;
  /** As in `BreakerView`, after it. */
  readonly reason: BreakerView['reason'];
  readonly openUntilMs: number | null;
}

export interface CircuitBreakerDependencies {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly settings?: Partial<BreakerSettings>;
  /** Told of each change by the process that made it, once it is stored. */
  onChange?(change: BreakerChange): void;
}

const defaultSettings: BreakerSettings = Object.freeze({
  maxFaults: 5,
  // A stuck vendor shows one fault per place in the time limit of an operation and the time that its place is kept after that:
  // with one place, there are eighty minutes between the first and the fifth.
  windowMs: 2 * 3_600_000,
  coolDownMs: 30_000,
  maxCoolDownMs: 600_000,
  refusedCoolDownMs: 300_000,
  maxRefusedCoolDownMs: 3_600_000,
  probeLimitMs: 120_000,
});

/** Throws what the state store throws. */
export function createCircuitBreaker({
  state,
  clock,
  settings: overrides,
  onChange = () => undefined,
}: CircuitBreakerDependencies): CircuitBreaker {
  const settings: BreakerSettings = { ...defaultSettings, ...overrides };
  const decide = async <Result>(
    provider: string,
    decision: (memory: BreakerMemory) => BreakerDecision<Result>,
  ): Promise<Result> => {
    const { result, before, after } = await transact(state, provider, decision);
    const event = eventBetween(before, after);
    if (event)
      onChange({ provider, event, reason: after.opened?.reason ?? null, openUntilMs: after.opened?.untilMs ?? null });
    return result;
  };
  return {
    admit: (provider, who) => decide(provider, (memory) => admit(memory, who, clock.nowMs(), settings)),
    report: (provider, who, report) =>
      decide(provider, (memory) => afterReport(memory, who, report, clock.nowMs(), settings)),
    accept: (provider) => decide(provider, afterAcceptance),
    isUntried: (provider) => decide(provider, (memory) => ({ result: isUntried(memory) })),
    look: (provider) => decide(provider, (memory) => ({ result: view(memory, clock.nowMs(), settings) })),
  };
}

interface Decided<Result> {
  readonly result: Result;
  readonly before: BreakerMemory;
  readonly after: BreakerMemory;
}

function transact<Result>(
  state: StateStore,
  provider: string,
  decision: (memory: BreakerMemory) => BreakerDecision<Result>,
): Promise<Decided<Result>> {
  const key = `breaker/${provider}`;
  return state.transact([key], (documents) => {
    // `as`: only this file writes these documents.
    const before = (documents.get(key) as BreakerMemory | undefined) ?? closedBreaker;
    const { result, memory } = decision(before);
    const decided = { result, before, after: memory ?? before };
    return memory ? { result: decided, writes: new Map<string, Json>([[key, memory]]) } : { result: decided };
  });
}

function view(memory: BreakerMemory, nowMs: number, settings: BreakerSettings): BreakerView {
  const { opened } = memory;
  const recent = recentFaults(memory, nowMs, settings).length;
  if (!opened) return { state: 'closed', recentFaults: recent, reason: null, openUntilMs: null, openings: 0 };
  return {
    state: nowMs < opened.untilMs ? 'open' : 'half_open',
    recentFaults: recent,
    reason: opened.reason,
    openUntilMs: opened.untilMs,
    openings: opened.times,
  };
}
