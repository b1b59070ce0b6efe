import { errorPolicies, LipsyncError } from '../errors/index.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import type { Ledger } from '../billing/ledger.ts';
import type { Clock } from '../contract/ports.ts';
import type { CircuitBreaker, BreakerView } from '../scheduling/circuit-breaker.ts';
import { defaultSlotPriority, type ConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type {
  Admission,
  AttemptEnding,
  AttemptReference,
  Entry,
  ProviderName,
  SlotApplicant,
} from '../providers/admission.ts';
import type { PendingSettlements } from '../providers/pending-settlements.ts';
import type { Provider } from '../providers/provider.ts';

export interface SharedAdmissionDependencies {
  readonly breaker: CircuitBreaker;
  readonly slots: ConcurrencySlots;
  readonly ledger: Ledger;
  readonly pendingSettlements: PendingSettlements;
  readonly clock: Clock;
  /** How long a waiting job sleeps before it tries again by itself; up to a third is added at random to spread the tries. */
  readonly slotPollIntervalMs: number;
  /** Called after a slot became free; `readyJobId` is the waiting job that can try to acquire it, null when none waits. */
  onSlotReleased(provider: string, readyJobId: string | null): void;
}

/**
 * How long an operation that its attempt gave up keeps the place: as long again as operations are waited for where nothing
 * else is set. A vendor on which work is stuck for longer does not count it any more, or needs help.
 */
const keptMs = 10 * 60_000;

/** Admission that all processes of an installation share: breaker, places and ledger in one store. */
export function createSharedAdmission(dependencies: SharedAdmissionDependencies): Admission {
  const { breaker, slots, ledger, pendingSettlements, clock } = dependencies;

  const releaseSlot = async ({ facts: { id } }: ProviderName, jobId: string): Promise<void> => {
    dependencies.onSlotReleased(id, await slots.release(id, jobId));
  };

  return markStateFailures({
    async enter(provider, job) {
      const { jobId } = job;
      const entry = await acquireSlot(dependencies, provider, job);
      if (provider.kind === 'inline') return entry;
      const { id } = provider.facts;
      if (entry.kind === 'wait') {
        const { openUntilMs, reason } = await breaker.look(id);
        if (openUntilMs === null) return entry;
        // Operations that failed there may keep their slots for a while: the job does not wait for a paused provider.
        await slots.stopWaiting(id, jobId);
        return { kind: 'refused', error: breakerOpen(id, { openUntilMs, reason }) };
      }
      const verdict = await breaker.admit(id, jobId);
      if (verdict.admitted) return entry;
      await releaseSlot(provider, jobId);
      const { reason } = await breaker.look(id);
      return { kind: 'refused', error: breakerOpen(id, { openUntilMs: verdict.openUntilMs, reason }) };
    },
    enterAgain: (provider, job) => acquireSlot(dependencies, provider, job),
    async reserve({ facts }, attempt, micros, leftMicros) {
      if (leftMicros !== null && micros > leftMicros) throw overJobCap(micros, leftMicros);
      const { jobId, user } = attempt;
      await ledger.reserve({ ...entryOf(attempt), jobId, user, provider: facts.id, micros });
    },
    goOn: (attempt) => pendingSettlements.withdraw(entryOf(attempt)),
    reserveAgain: async (attempt) => void (await ledger.reserveAgain(entryOf(attempt))),
    async accepted(provider) {
      if (provider.kind === 'inline' || !(await breaker.accept(provider.facts.id))) return;
      const { id } = provider.facts;
      for (let slot = 1; slot < provider.maxConcurrent; slot += 1)
        dependencies.onSlotReleased(id, await slots.takeNextWaiting(id));
    },
    async leave(provider, attempt, ending) {
      const isKnown = await settle(dependencies, provider, attempt, ending);
      if (provider.kind === 'inline') return;
      await breaker.report(provider.facts.id, attempt.jobId, ending.error ? effectOf(ending.error) : 'success');
      // What may still run there keeps its place until its bill is settled, and says so.
      if (isKnown || ending.operation === null) await releaseSlot(provider, attempt.jobId);
      else await slots.keep(provider.facts.id, attempt.jobId, clock.nowMs() + keptMs);
    },
    async releaseUnusedSlot(provider, jobId) {
      if (provider.kind === 'inline') return;
      const { id } = provider.facts;
      await slots.stopWaiting(id, jobId);
      const own = (await slots.holders(id)).find((holder) => holder.jobId === jobId);
      if (!own || own.untilMs !== null) return;
      // Had it been let in to see whether the provider is in order again, another may.
      await breaker.report(id, jobId, 'none');
      await releaseSlot(provider, jobId);
    },
  });
}

async function acquireSlot(
  { breaker, slots, clock, slotPollIntervalMs }: SharedAdmissionDependencies,
  provider: Provider,
  { jobId, priority = defaultSlotPriority }: SlotApplicant,
): Promise<Exclude<Entry, { kind: 'refused' }>> {
  if (provider.kind === 'inline') return { kind: 'entered' };
  const { id } = provider.facts;
  // Whether a key is good, one job finds out for all.
  const limit = (await breaker.isUntried(id)) ? 1 : provider.maxConcurrent;
  if (await slots.acquire(id, jobId, { limit, priority })) return { kind: 'entered' };
  return { kind: 'wait', untilMs: clock.nowMs() + Math.ceil(slotPollIntervalMs * (1 + Math.random() / 3)) };
}

/** A state store that does not do what it is asked says nothing about the provider nor about the job. */
function markStateFailures(admission: Admission): Admission {
  const marked = async <Result>(work: Promise<Result>): Promise<Result> => {
    try {
      return await work;
    } catch (error) {
      throw LipsyncError.isInstance(error) && error.code === 'resource_exhausted' ? new StoreFailure(error) : error;
    }
  };
  return {
    enter: (provider, job) => marked(admission.enter(provider, job)),
    enterAgain: (provider, job) => marked(admission.enterAgain(provider, job)),
    reserve: (provider, attempt, micros, leftMicros) =>
      marked(admission.reserve(provider, attempt, micros, leftMicros)),
    goOn: (attempt) => marked(admission.goOn(attempt)),
    reserveAgain: (attempt) => marked(admission.reserveAgain(attempt)),
    accepted: (provider) => marked(admission.accepted(provider)),
    leave: (provider, attempt, ending) => marked(admission.leave(provider, attempt, ending)),
    releaseUnusedSlot: (provider, jobId) => marked(admission.releaseUnusedSlot(provider, jobId)),
  };
}

/** Returns whether it is known now what the attempt costs: otherwise its bill is left open. */
async function settle(
  { ledger, pendingSettlements, clock }: SharedAdmissionDependencies,
  { facts, kind }: ProviderName,
  attempt: AttemptReference,
  { costMicros, operation, request, stop }: AttemptEnding,
): Promise<boolean> {
  const entry = entryOf(attempt);
  if (costMicros === null && (operation || request)) {
    const { jobId, index } = attempt;
    await pendingSettlements.add({
      provider: facts.id,
      operation,
      request,
      stop: request ? 'due' : stop,
      entry,
      jobId,
      index,
      sinceMs: clock.nowMs(),
    });
    return false;
  }
  const micros = costMicros ?? 0;
  // What computes here costs what it took, which nobody knew before.
  if (kind === 'inline' && micros > 0)
    await ledger.reserve({ ...entry, jobId: attempt.jobId, user: attempt.user, provider: facts.id, micros: 0 });
  await (micros === 0 ? ledger.release(entry) : ledger.settle(entry, { micros, atMs: clock.nowMs() }));
  return true;
}

function entryOf({ jobId, index, startedAtMs }: AttemptReference) {
  return { id: `${jobId}-${index}`, atMs: startedAtMs };
}

/** A fault of ours, and a canceled job, say nothing about the vendor. */
function effectOf({ code }: LipsyncError): 'none' | 'counts' | 'opens' {
  return errorPolicies[code].breaker;
}

function breakerOpen(
  id: string,
  { openUntilMs, reason }: { readonly openUntilMs: number; readonly reason: BreakerView['reason'] },
): LipsyncError {
  const why = reason === 'refused' ? 'refused the key or has no money left for it' : 'failed so often of late';
  return new LipsyncError(
    'provider_unavailable',
    `${id} ${why}, so that it is not asked before ${new Date(openUntilMs).toISOString()}.`,
  );
}

function overJobCap(micros: number, leftMicros: number): LipsyncError {
  const dollars = (value: number): string => `$${(value / 1_000_000).toFixed(6)}`;
  return new LipsyncError(
    'budget_exceeded',
    `This may cost ${dollars(micros)}, and max_cost_usd leaves ${dollars(leftMicros)}. Raise it.`,
    { details: { cap: 'job' } },
  );
}
