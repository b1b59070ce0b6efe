import type { LipsyncError } from '../errors/index.ts';
import type { Provider } from './provider.ts';
import type { Operation, OperationStop, StoredRequest } from '../contract/provider-types.ts';

/** Whose attempt it was; this process may not have that provider. */
export type ProviderName = Pick<Provider, 'kind'> & { readonly facts: Pick<Provider['facts'], 'id'> };

/** An attempt, for whoever keeps books on it. Never changes from its beginning to its end, whatever crashes between. */
export interface AttemptReference {
  readonly jobId: string;
  /** Its place among the job's attempts, from 0. */
  readonly index: number;
  readonly startedAtMs: number;
  /** Who pays: the name of the key, else the `user_id` of the request, else null. */
  readonly user: string | null;
}

/** A job that needs a slot at a provider. */
export interface SlotApplicant {
  readonly jobId: string;
  /** 0 (most urgent) to 10; 5 when absent. */
  readonly priority?: number;
}

export type Entry =
  | { readonly kind: 'entered' }
  /** All places are taken; worth another look then. */
  | { readonly kind: 'wait'; readonly untilMs: number }
  /** The provider is not to be asked just now. */
  | { readonly kind: 'refused'; readonly error: LipsyncError };

/** How an attempt ended, for the books. */
export interface AttemptEnding {
  /** Null when it made a take. */
  readonly error: LipsyncError | null;
  /** Null where nobody knows yet: `operation`, or the one that `order` may have begun, is looked at again later. */
  readonly costMicros: number | null;
  readonly operation: Operation | null;
  /** Null where it is settled whether it began an operation. What it began is wanted by nobody. */
  readonly request: StoredRequest | null;
  /** Of `operation`. */
  readonly stop: OperationStop;
}

/**
 * Lets attempts in and keeps account of them: how many at once, whether the provider is in order, what it may cost. A
 * port; every call may be repeated with the same effect as once. Throws a `StoreFailure` when the account cannot be kept:
 * nobody's attempt has failed then.
 */
export interface Admission {
  /** Asks for a place at the provider; it is held until `leave`. */
  enter(provider: Provider, job: SlotApplicant): Promise<Entry>;
  /** As `enter`, for an attempt that was let in before and begun: it is never refused, and keeps the place that it has. */
  enterAgain(provider: Provider, job: SlotApplicant): Promise<Exclude<Entry, { kind: 'refused' }>>;
  /**
   * Takes back the bill that an earlier run may have left open over the end of an attempt that is gone on with. False where
   * it is being settled: the attempt is over then.
   */
  goOn(attempt: AttemptReference): Promise<boolean>;
  /** Sets the money aside; `leftMicros` is what the request still allows, null for any. Throws `budget_exceeded`. */
  reserve(provider: Provider, attempt: AttemptReference, micros: number, leftMicros: number | null): Promise<void>;
  /** Sets aside again what an earlier run may have given back over the end of an attempt that is gone on with. Throws `budget_exceeded`. */
  reserveAgain(attempt: AttemptReference): Promise<void>;
  /** Tells that the provider has taken up an attempt's work: others need not wait to see whether it does. */
  accepted(provider: Provider): Promise<void>;
  /** Tells how an attempt ended; its place and what is left of its money are free again, or once it is known what its operation costs. */
  leave(provider: ProviderName, attempt: AttemptReference, ending: AttemptEnding): Promise<void>;
  /** Gives a place back in which no attempt was begun. */
  releaseUnusedSlot(provider: Provider, jobId: string): Promise<void>;
}
