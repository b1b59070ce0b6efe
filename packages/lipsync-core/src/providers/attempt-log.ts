import type { Clock } from '../contract/ports.ts';
import { LipsyncError } from '../errors/index.ts';
import type { Provider } from './provider.ts';
import type { Attempt } from './attempt.ts';
import type { StoredRequest, Operation } from '../contract/provider-types.ts';

/** How an attempt ends. */
export type AttemptEnd = Pick<Attempt, 'outcome'> & Partial<Pick<Attempt, 'code' | 'message' | 'costMicros'>>;

/** The attempts of a job, saved with every change, before anything else happens. */
export interface AttemptLog {
  readonly attempts: readonly Attempt[];
  /** The attempt that is under way. Throws `internal` when there is none. */
  readonly current: Attempt;
  /** Its place among the attempts, from 0. */
  readonly index: number;
  /** The remote attempt of `provider` that an earlier run left unfinished. */
  unfinished(provider: Provider): Attempt | undefined;
  /** Opens an attempt; a remote one that an earlier run left unfinished is taken up instead. */
  begin(provider: Provider): Promise<void>;
  /** Records an attempt that was not let in: begun and ended in one. */
  refuse(provider: Provider, error: LipsyncError): Promise<void>;
  setRequest(request: StoredRequest): Promise<void>;
  setOperation(operation: Operation): Promise<void>;
  /** What the attempt turned out to cost, whatever becomes of its take. */
  setCost(costMicros: number): Promise<void>;
  /** Its operation, which runs, is about to be told to stop. */
  noteStopSent(): Promise<void>;
  /** Trouble that did not end the attempt. */
  recordTransientFailure(message: string): Promise<void>;
  end(end: AttemptEnd): Promise<void>;
}

export interface AttemptLogDependencies {
  readonly clock: Clock;
  readonly earlierAttempts: readonly Attempt[];
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

export function createAttemptLog({ clock, earlierAttempts, saveAttempts }: AttemptLogDependencies): AttemptLog {
  let attempts = earlierAttempts;

  const current = (): Attempt => {
    const last = attempts.at(-1);
    if (!last) throw new LipsyncError('internal', 'No attempt was begun.');
    return last;
  };
  const save = async (changed: readonly Attempt[]): Promise<void> => {
    attempts = changed;
    await saveAttempts(attempts);
  };
  const replaceLast = (change: Partial<Attempt>): Promise<void> =>
    save([...attempts.slice(0, -1), { ...current(), ...change }]);
  const unfinished = ({ facts, kind }: Provider): Attempt | undefined => {
    const last = attempts.at(-1);
    return last && kind === 'remote' && last.provider === facts.id && isUnfinished(last) ? last : undefined;
  };

  return {
    get attempts() {
      return attempts;
    },
    get current() {
      return current();
    },
    get index() {
      return attempts.length - 1;
    },
    unfinished,
    async begin(provider) {
      const left = unfinished(provider);
      if (left) return left.outcome === 'running' ? undefined : replaceLast({ outcome: 'running', endedAtMs: null });
      await save([...attempts, newAttempt(provider, clock.nowMs())]);
    },
    refuse: (provider, { code, message }) => {
      const nowMs = clock.nowMs();
      return save([
        ...attempts,
        { ...newAttempt(provider, nowMs), outcome: 'failed', code, message, endedAtMs: nowMs, costMicros: 0 },
      ]);
    },
    setRequest: (request) => replaceLast({ request }),
    setOperation: (operation) => replaceLast({ operation, operationAtMs: clock.nowMs(), transientFailures: 0 }),
    async setCost(costMicros) {
      const { costMicros: known, transientFailures } = current();
      // The first time, the vendor is done: what went wrong while it worked does not count against fetching the take.
      if (known !== costMicros)
        await replaceLast({ costMicros, transientFailures: known === null ? 0 : transientFailures });
    },
    noteStopSent: () => replaceLast({ isStopSent: true }),
    recordTransientFailure: (message) => replaceLast({ message, transientFailures: current().transientFailures + 1 }),
    end: (end) => replaceLast({ ...end, endedAtMs: clock.nowMs() }),
  };
}

/** The order of an attempt that may have begun an operation of which nobody knows; null where there is no such doubt. Pure. */
export function unacknowledgedRequest({ operation, request }: Attempt): StoredRequest | null {
  return operation === null && request && request.unacknowledgedSinceMs !== null ? request : null;
}

/** What further attempts may cost, where all of them together may cost `maxCostMicros`; null for any. Pure. */
export function leftMicros(attempts: readonly Attempt[], maxCostMicros: number | null): number | null {
  return maxCostMicros === null
    ? null
    : maxCostMicros - attempts.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0);
}

function newAttempt({ facts }: Provider, nowMs: number): Attempt {
  return {
    provider: facts.id,
    outcome: 'running',
    code: null,
    message: null,
    startedAtMs: nowMs,
    endedAtMs: null,
    costMicros: null,
    operation: null,
    operationAtMs: null,
    transientFailures: 0,
  };
}

/** A take that was made but not published by an earlier run is collected again, not paid for again. */
function isUnfinished({ outcome }: Attempt): boolean {
  return outcome === 'running' || outcome === 'succeeded';
}
