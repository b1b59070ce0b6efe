import { attemptEntry, type EntryReference } from '../billing/ledger-entry.ts';
import type { Ledger, Reservation } from '../billing/ledger.ts';
import { formatUsd, toMicros } from '../billing/micros.ts';
import type { PendingSettlementStore } from '../billing/pending-settlements.ts';
import type { Clock } from '../contract/ports.ts';
import { BudgetExceededError, LipsyncError } from '../errors/index.ts';
import type {
  Admission,
  AdmissionDecision,
  AttemptEnding,
  AttemptReference,
  ProviderIdentity,
  SlotApplicant,
} from '../providers/admission.ts';
import type { Provider, RemoteProvider } from '../providers/provider.ts';
import type { BreakerView, CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { type ConcurrencySlots, defaultSlotPriority } from '../scheduling/concurrency-slots.ts';
import { StoreFailure } from '../storage/store-failure.ts';

export interface SharedAdmissionOptions {
  readonly breaker: CircuitBreaker;
  readonly slots: ConcurrencySlots;
  readonly ledger: Ledger;
  readonly pendingSettlements: PendingSettlementStore;
  readonly clock: Clock;
  /**
   * Pause before a job that waits for a slot polls again; up to a third longer, so that waiting jobs do not poll
   * together.
   */
  readonly slotPollIntervalMs: number;
  /** Called after a slot became free. `readyJobId` is the waiting job that can acquire it; null when none waits. */
  onSlotReleased(provider: string, readyJobId: string | null): void;
}

/** How long an operation with a pending settlement keeps its slot: the default time limit of an operation. */
const pendingSlotMs = 10 * 60_000;

/** Pause before a job that waits for the probe of another job asks again. */
const probePollIntervalMs = 10_000;

/** Admission shared by all processes of an installation: circuit breaker, slots and ledger in one state store. */
export class SharedAdmission implements Admission {
  readonly #breaker: CircuitBreaker;
  readonly #slots: ConcurrencySlots;
  readonly #ledger: Ledger;
  readonly #pendingSettlements: PendingSettlementStore;
  readonly #clock: Clock;
  readonly #slotPollIntervalMs: number;
  readonly #onSlotReleased: (provider: string, readyJobId: string | null) => void;

  constructor(options: SharedAdmissionOptions) {
    this.#breaker = options.breaker;
    this.#slots = options.slots;
    this.#ledger = options.ledger;
    this.#pendingSettlements = options.pendingSettlements;
    this.#clock = options.clock;
    this.#slotPollIntervalMs = options.slotPollIntervalMs;
    this.#onSlotReleased = options.onSlotReleased;
  }

  admit(provider: Provider, job: SlotApplicant): Promise<AdmissionDecision> {
    return markStoreFailures(async () => {
      const slot = await this.#acquireSlot(provider, job);
      return provider.kind === 'inline' ? slot : this.#checkBreaker(provider, job.jobId, slot);
    });
  }

  readmit(provider: Provider, job: SlotApplicant): Promise<Exclude<AdmissionDecision, { type: 'rejected' }>> {
    return markStoreFailures(() => this.#acquireSlot(provider, job));
  }

  resume(attempt: AttemptReference): Promise<boolean> {
    return markStoreFailures(() => this.#pendingSettlements.withdraw(entryOf(attempt)));
  }

  reserve(
    { facts }: Provider,
    attempt: AttemptReference,
    micros: number,
    remainingMicros: number | null,
  ): Promise<void> {
    return markStoreFailures(async () => {
      if (remainingMicros !== null && micros > remainingMicros) throw exceedsJobCap(micros, remainingMicros);
      await this.#ledger.reserve(reservationOf(facts, attempt, micros));
    });
  }

  reserveAgain(attempt: AttemptReference): Promise<void> {
    return markStoreFailures(async () => void (await this.#ledger.reserveAgain(entryOf(attempt))));
  }

  recordAcceptance(provider: Provider): Promise<void> {
    return markStoreFailures(async () => {
      if (provider.kind === 'inline' || !(await this.#breaker.recordAcceptance(provider.facts.id))) return;
      const { id } = provider.facts;
      for (let slot = 1; slot < provider.maxConcurrent; slot += 1)
        this.#onSlotReleased(id, await this.#slots.takeNextWaiting(id));
    });
  }

  finish(provider: ProviderIdentity, attempt: AttemptReference, ending: AttemptEnding): Promise<void> {
    return markStoreFailures(async () => {
      const isCostKnown = await this.#settle(provider, attempt, ending);
      if (provider.kind === 'inline') return;
      const { id } = provider.facts;
      await this.#breaker.report(id, attempt.jobId, ending.error ? ending.error.policy.breaker : 'success');
      if (isCostKnown || ending.operation === null) await this.#releaseSlot(provider, attempt.jobId);
      // The operation may still run at the vendor. Its slot is released with its settlement, or when it expires.
      else await this.#slots.keep(id, attempt.jobId, this.#clock.nowMs() + pendingSlotMs);
    });
  }

  releaseUnusedSlot(provider: Provider, jobId: string): Promise<void> {
    return markStoreFailures(async () => {
      if (provider.kind === 'inline') return;
      const { id } = provider.facts;
      await this.#slots.stopWaiting(id, jobId);
      const own = (await this.#slots.holders(id)).find((holder) => holder.jobId === jobId);
      if (!own || own.untilMs !== null) return;
      // If the job was admitted as the breaker's probe, another job may probe.
      await this.#breaker.report(id, jobId, 'none');
      await this.#releaseSlot(provider, jobId);
    });
  }

  async #acquireSlot(
    provider: Provider,
    { jobId, priority = defaultSlotPriority }: SlotApplicant,
  ): Promise<Exclude<AdmissionDecision, { type: 'rejected' }>> {
    if (provider.kind === 'inline') return { type: 'admitted' };
    const { id } = provider.facts;
    // A single job finds out whether the credentials of an untried provider are valid.
    const limit = (await this.#breaker.isUntried(id)) ? 1 : provider.maxConcurrent;
    if (await this.#slots.acquire(id, jobId, { limit, priority })) return { type: 'admitted' };
    const pauseMs = Math.ceil(this.#slotPollIntervalMs * (1 + Math.random() / 3));
    return { type: 'waiting', untilMs: this.#clock.nowMs() + pauseMs };
  }

  async #checkBreaker(
    provider: RemoteProvider,
    jobId: string,
    slot: Exclude<AdmissionDecision, { type: 'rejected' }>,
  ): Promise<AdmissionDecision> {
    const { id } = provider.facts;
    if (slot.type === 'waiting') {
      const view = await this.#breaker.inspect(id);
      const { openUntilMs } = view;
      if (openUntilMs === null) return slot;
      // Failed operations may keep their slots for a while. No job waits for them while the breaker is open.
      await this.#slots.stopWaiting(id, jobId);
      return this.#rejection(id, openUntilMs, view);
    }
    const verdict = await this.#breaker.admit(id, jobId);
    if (verdict.admitted) return slot;
    await this.#releaseSlot(provider, jobId);
    return this.#rejection(id, verdict.openUntilMs, await this.#breaker.inspect(id));
  }

  #rejection(id: string, openUntilMs: number, { state, reason }: BreakerView): AdmissionDecision {
    const error = breakerOpen(id, openUntilMs, reason);
    if (reason === 'refused') return { type: 'rejected', error, retryAtMs: null };
    // The probe may end long before it is given up, so its end is polled.
    const retryAtMs = state === 'open' ? openUntilMs : this.#clock.nowMs() + probePollIntervalMs;
    return { type: 'rejected', error, retryAtMs };
  }

  /** Returns whether the cost is known; if not, adds a pending settlement. */
  async #settle(
    { facts, kind }: ProviderIdentity,
    attempt: AttemptReference,
    { costMicros, operation, request, stop }: AttemptEnding,
  ): Promise<boolean> {
    const { jobId, index } = attempt;
    const entry = entryOf(attempt);
    const nowMs = this.#clock.nowMs();
    if (costMicros === null && (operation || request)) {
      await this.#pendingSettlements.add({
        provider: facts.id,
        operation,
        request,
        stop: request ? 'due' : stop,
        entry,
        jobId,
        index,
        sinceMs: nowMs,
      });
      return false;
    }
    const micros = toMicros(costMicros ?? 0);
    if (micros === 0) {
      await this.#ledger.release(entry);
      return true;
    }
    // Local work without a price has no reservation yet.
    if (kind === 'inline') await this.#ledger.reserve(reservationOf(facts, attempt, 0));
    await this.#ledger.settle(entry, { micros, atMs: nowMs });
    return true;
  }

  async #releaseSlot(provider: ProviderIdentity, jobId: string): Promise<void> {
    const { id } = provider.facts;
    this.#onSlotReleased(id, await this.#slots.release(id, jobId));
  }
}

function reservationOf({ id }: Pick<Provider['facts'], 'id'>, attempt: AttemptReference, micros: number): Reservation {
  const { jobId, user, userId, batch } = attempt;
  return {
    ...entryOf(attempt),
    jobId,
    user,
    ...(userId !== undefined && { userId }),
    ...(batch && { batch }),
    provider: id,
    micros: toMicros(micros),
  };
}

/** Marks an unavailable state store, which is a failure of neither the provider nor the job. */
async function markStoreFailures<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw LipsyncError.isInstance(error) && error.code === 'resource_exhausted' ? new StoreFailure(error) : error;
  }
}

function entryOf({ jobId, index, startedAtMs }: AttemptReference): EntryReference {
  return attemptEntry(jobId, index, startedAtMs);
}

function breakerOpen(id: string, openUntilMs: number, reason: BreakerView['reason']): LipsyncError {
  const why = reason === 'refused' ? 'rejected our credentials or has no credit left' : 'failed repeatedly';
  const until = new Date(openUntilMs).toISOString();
  return new LipsyncError('provider_unavailable', `${id} ${why}. It is not called again before ${until}.`);
}

function exceedsJobCap(micros: number, remainingMicros: number): BudgetExceededError {
  return new BudgetExceededError(
    'job',
    `This may cost ${formatUsd(micros)}, but max_cost_usd leaves ${formatUsd(remainingMicros)}. Raise max_cost_usd.`,
  );
}
