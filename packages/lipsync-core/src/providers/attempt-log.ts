import type { Clock } from '../contract/ports.ts';
import type { Operation, StoredRequest } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import type { Attempt } from './attempt.ts';
import type { Provider } from './provider.ts';

export type AttemptEnd = Pick<Attempt, 'outcome'> &
  Partial<Pick<Attempt, 'code' | 'message' | 'costMicros' | 'modelPrecision' | 'take'>>;

export interface AttemptLogOptions {
  readonly clock: Clock;
  readonly earlierAttempts: readonly Attempt[];
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

/** The attempts of a job. Every change is saved before anything else happens. */
export class AttemptLog {
  readonly #clock: Clock;
  readonly #saveAttempts: AttemptLogOptions['saveAttempts'];
  #attempts: readonly Attempt[];

  constructor({ clock, earlierAttempts, saveAttempts }: AttemptLogOptions) {
    this.#clock = clock;
    this.#attempts = earlierAttempts;
    this.#saveAttempts = saveAttempts;
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** The latest attempt. Throws `internal` when there is none. */
  get current(): Attempt {
    const last = this.#attempts.at(-1);
    if (!last) throw new LipsyncError('internal', 'There is no attempt yet.');
    return last;
  }

  /** Index of the latest attempt. */
  get index(): number {
    return this.#attempts.length - 1;
  }

  get isRunning(): boolean {
    return this.#attempts.at(-1)?.outcome === 'running';
  }

  /** The latest attempt if it is a remote one of `provider` that can be resumed. */
  findResumable({ facts, kind }: Provider): Attempt | undefined {
    const last = this.#attempts.at(-1);
    return last && kind === 'remote' && last.provider === facts.id && isResumable(last) ? last : undefined;
  }

  /** Starts an attempt, or resumes the one that `findResumable` returns. */
  async begin(provider: Provider): Promise<void> {
    const resumable = this.findResumable(provider);
    if (!resumable) await this.#save([...this.#attempts, newAttempt(provider, this.#clock.nowMs())]);
    else if (resumable.outcome !== 'running') await this.#changeLast({ outcome: 'running', endedAtMs: null });
  }

  /** Records an attempt that was not admitted. */
  async addRejected(provider: Provider, { code, message }: LipsyncError): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const attempt = newAttempt(provider, nowMs);
    await this.#save([
      ...this.#attempts,
      { ...attempt, outcome: 'failed', code, message, endedAtMs: nowMs, costMicros: 0 },
    ]);
  }

  setRequest(request: StoredRequest): Promise<void> {
    return this.#changeLast({ request });
  }

  setOperation(operation: Operation): Promise<void> {
    return this.#changeLast({ operation, operationAtMs: this.#clock.nowMs(), transientFailures: 0 });
  }

  /** Records the cost, which is independent of whether a take is made. */
  async setCost(costMicros: number): Promise<void> {
    const { costMicros: known, transientFailures } = this.current;
    if (known === costMicros) return;
    // The vendor is done: failures while it worked do not count against collecting the take.
    await this.#changeLast({ costMicros, transientFailures: known === null ? 0 : transientFailures });
  }

  /** Must be called before the running operation is canceled. */
  markStopSent(): Promise<void> {
    return this.#changeLast({ isStopSent: true });
  }

  /** Records a failure that does not end the attempt. */
  addTransientFailure(message: string): Promise<void> {
    return this.#changeLast({ message, transientFailures: this.current.transientFailures + 1 });
  }

  end(end: AttemptEnd): Promise<void> {
    return this.#changeLast({ ...end, endedAtMs: this.#clock.nowMs() });
  }

  #changeLast(change: Partial<Attempt>): Promise<void> {
    return this.#save([...this.#attempts.slice(0, -1), { ...this.current, ...change }]);
  }

  async #save(attempts: readonly Attempt[]): Promise<void> {
    this.#attempts = attempts;
    await this.#saveAttempts(attempts);
  }
}

/** The request of an attempt that may have started an operation without an answer; null when there is none. Pure. */
export function unacknowledgedRequest({ operation, request }: Attempt): StoredRequest | null {
  return operation === null && request && request.unacknowledgedSinceMs !== null ? request : null;
}

/** What further attempts may cost under the request's cap; null without a cap. Pure. */
export function remainingMicros(attempts: readonly Attempt[], maxCostMicros: number | null): number | null {
  if (maxCostMicros === null) return null;
  return maxCostMicros - attempts.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0);
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

/** A take that was made but not published is collected again rather than paid for again. */
function isResumable({ outcome }: Attempt): boolean {
  return outcome === 'running' || outcome === 'succeeded';
}
