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
  type BreakerContext,
  type BreakerEvent,
  type BreakerReport,
  type BreakerSettings,
  type BreakerTransition,
  type BreakerVerdict,
  type StoredBreaker,
} from './circuit-breaker-state.ts';

export interface BreakerView {
  readonly state: 'closed' | 'open' | 'half_open';
  /** Consecutive vendor faults that count towards opening. */
  readonly recentFaults: number;
  /** Why the breaker is not closed: vendor faults, or rejected credentials or an exhausted balance. */
  readonly reason: 'faults' | 'refused' | null;
  /** From when a probe is admitted. */
  readonly openUntilMs: number | null;
  /** Consecutive openings. */
  readonly openings: number;
}

export interface BreakerChange {
  readonly provider: string;
  readonly event: BreakerEvent;
  /** As in `BreakerView`, after the change. */
  readonly reason: BreakerView['reason'];
  readonly openUntilMs: number | null;
}

export interface CircuitBreakerOptions {
  readonly state: StateStore;
  readonly clock: Clock;
  readonly settings?: Partial<BreakerSettings>;
  /** Called after each state change that this instance has stored. */
  onStateChange?(change: BreakerChange): void;
}

const defaultSettings: BreakerSettings = Object.freeze({
  maxFaults: 5,
  // With a single slot, a stuck vendor shows one fault per operation time limit plus the time that the slot is kept
  // afterwards: eighty minutes lie between the first and the fifth.
  windowMs: 2 * 3_600_000,
  coolDownMs: 30_000,
  maxCoolDownMs: 600_000,
  refusedCoolDownMs: 300_000,
  maxRefusedCoolDownMs: 3_600_000,
  probeLimitMs: 120_000,
});

/**
 * Pauses calls to a provider that keeps failing. One breaker per provider, shared by all processes through the state
 * store. Every method throws `resource_exhausted` when the state store is unavailable.
 */
export class CircuitBreaker {
  readonly #state: StateStore;
  readonly #clock: Clock;
  readonly #settings: BreakerSettings;
  readonly #onStateChange: (change: BreakerChange) => void;

  constructor({ state, clock, settings, onStateChange = () => undefined }: CircuitBreakerOptions) {
    this.#state = state;
    this.#clock = clock;
    this.#settings = { ...defaultSettings, ...settings };
    this.#onStateChange = onStateChange;
  }

  /**
   * Whether the job may call the provider now. A job that was admitted as the probe is admitted again after a crash.
   */
  admit(provider: string, jobId: string): Promise<BreakerVerdict> {
    return this.#apply(provider, (breaker, context) => admit(breaker, jobId, context));
  }

  /** Reports the end of an admitted attempt, once. A repeated report counts as another fault. */
  report(provider: string, jobId: string, report: BreakerReport): Promise<void> {
    return this.#apply(provider, (breaker, context) => afterReport(breaker, { jobId, report }, context));
  }

  /** Records that the provider has accepted work. True for the first time since the breaker last opened. */
  recordAcceptance(provider: string): Promise<boolean> {
    return this.#apply(provider, afterAcceptance);
  }

  /** Whether the provider has accepted nothing yet and is not known to fail. */
  isUntried(provider: string): Promise<boolean> {
    return this.#apply(provider, (breaker) => ({ result: isUntried(breaker) }));
  }

  inspect(provider: string): Promise<BreakerView> {
    return this.#apply(provider, (breaker, context) => ({ result: toView(breaker, context) }));
  }

  async #apply<Result>(
    provider: string,
    transition: (breaker: StoredBreaker, context: BreakerContext) => BreakerTransition<Result>,
  ): Promise<Result> {
    const key = `breaker/${provider}`;
    const { result, before, after } = await this.#state.transact([key], (documents) => {
      // `as`: only this class writes these documents.
      const stored = (documents.get(key) as StoredBreaker | undefined) ?? closedBreaker;
      const { result: transitionResult, next } = transition(stored, this.#context());
      const outcome = { result: transitionResult, before: stored, after: next ?? stored };
      return next ? { result: outcome, writes: new Map<string, Json>([[key, next]]) } : { result: outcome };
    });
    const event = eventBetween(before, after);
    if (event) {
      const { reason = null, untilMs: openUntilMs = null } = after.opened ?? {};
      this.#onStateChange({ provider, event, reason, openUntilMs });
    }
    return result;
  }

  #context(): BreakerContext {
    return { nowMs: this.#clock.nowMs(), settings: this.#settings };
  }
}

function toView(breaker: StoredBreaker, context: BreakerContext): BreakerView {
  const { opened } = breaker;
  const faults = recentFaults(breaker, context).length;
  if (!opened) return { state: 'closed', recentFaults: faults, reason: null, openUntilMs: null, openings: 0 };
  return {
    state: context.nowMs < opened.untilMs ? 'open' : 'half_open',
    recentFaults: faults,
    reason: opened.reason,
    openUntilMs: opened.untilMs,
    openings: opened.times,
  };
}
