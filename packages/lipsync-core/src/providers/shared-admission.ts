import { errorPolicies, LipsyncError } from '../errors/index.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Clock } from '../ports/ports.ts';
import type { Breaker } from '../resilience/breaker.ts';
import type { Places } from '../resilience/places.ts';
import type { Admission, AttemptEnding, AttemptReference } from './admission.ts';
import type { OpenBills } from './open-bills.ts';
import type { Provider } from './provider.ts';

export interface SharedAdmissionDependencies {
  readonly breaker: Breaker;
  readonly places: Places;
  readonly ledger: Ledger;
  readonly openBills: OpenBills;
  readonly clock: Clock;
  /** How soon a job that found no place looks again, at most a third later, so that those in line do not all come at once. */
  readonly lineMs: number;
  /** Told when a place may have become free, so that one of those in line can be woken. */
  onPlaceFree(provider: Provider): void;
}

/** Admission that all processes of an installation share: breaker, places and ledger in one store. */
export function createSharedAdmission(dependencies: SharedAdmissionDependencies): Admission {
  const { breaker, places, ledger, clock, lineMs } = dependencies;

  const leavePlace = async (provider: Provider, jobId: string): Promise<void> => {
    if (provider.kind === 'inline') return;
    await places.leave(provider.facts.id, jobId);
    dependencies.onPlaceFree(provider);
  };

  return {
    async enter(provider, jobId) {
      if (provider.kind === 'inline') return { kind: 'entered' };
      const { id } = provider.facts;
      if (!(await places.enter(id, jobId, provider.maxConcurrent))) return { kind: 'wait', untilMs: clock.nowMs() + lineMs * (1 + Math.random() / 3) };
      const verdict = await breaker.admit(id, jobId);
      if (verdict.admitted) return { kind: 'entered' };
      await places.leave(id, jobId);
      return { kind: 'refused', error: breakerOpen(id, verdict.openUntilMs) };
    },
    async reserve({ facts }, attempt, micros, leftMicros) {
      if (leftMicros !== null && micros > leftMicros) throw overJobCap(micros, leftMicros);
      const { jobId, user } = attempt;
      await ledger.reserve({ ...entryOf(attempt), jobId, user, provider: facts.id, micros });
    },
    async leave(provider, attempt, ending) {
      await settle(dependencies, provider, attempt, ending);
      if (provider.kind === 'remote') await breaker.report(provider.facts.id, attempt.jobId, ending.error ? effectOf(ending.error) : 'success');
      await leavePlace(provider, attempt.jobId);
    },
    giveUpPlace: leavePlace,
  };
}

async function settle({ ledger, openBills, clock }: SharedAdmissionDependencies, { facts, kind }: Provider, attempt: AttemptReference, { costMicros, operation }: AttemptEnding): Promise<void> {
  const entry = entryOf(attempt);
  if (costMicros === null && operation) return openBills.add({ provider: facts.id, operation, entry, sinceMs: clock.nowMs() });
  const micros = costMicros ?? 0;
  if (micros === 0) return void (await ledger.release(entry));
  // What computes here costs what it took, which nobody knew before.
  if (kind === 'inline') await ledger.reserve({ ...entry, jobId: attempt.jobId, user: attempt.user, provider: facts.id, micros: 0 });
  await ledger.settle(entry, { micros, atMs: clock.nowMs() });
}

function entryOf({ jobId, index, startedAtMs }: AttemptReference) {
  return { id: `${jobId}-${index}`, atMs: startedAtMs };
}

/** A fault of ours, and a canceled job, say nothing about the vendor. */
function effectOf({ code }: LipsyncError): 'none' | 'counts' | 'opens' {
  return errorPolicies[code].breaker;
}

function breakerOpen(id: string, openUntilMs: number): LipsyncError {
  return new LipsyncError('provider_unavailable', `${id} failed so often of late that it is not asked before ${new Date(openUntilMs).toISOString()}.`);
}

function overJobCap(micros: number, leftMicros: number): LipsyncError {
  const dollars = (value: number): string => `$${(value / 1_000_000).toFixed(6)}`;
  return new LipsyncError('budget_exceeded', `This may cost ${dollars(micros)}, and max_cost_usd leaves ${dollars(leftMicros)}. Raise it, or use a local method.`, { details: { cap: 'job' } });
}
