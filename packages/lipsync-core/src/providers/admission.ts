import type { Payer } from '../billing/ledger-entry.ts';
import type { Operation, OperationStop, StoredRequest } from '../contract/provider-types.ts';
import type { LipsyncError } from '../errors/index.ts';
import type { Provider } from './provider.ts';

/** Identifies the provider of an attempt, also in a process that does not have this provider. */
export type ProviderIdentity = Pick<Provider, 'kind'> & { readonly facts: Pick<Provider['facts'], 'id'> };

/** Identifies an attempt for the ledger. Stays the same over crashes. */
export interface AttemptReference extends Payer {
  readonly jobId: string;
  /** Index of the attempt within the job. */
  readonly index: number;
  readonly startedAtMs: number;
}

/** A job that needs a slot. */
export interface SlotApplicant {
  readonly jobId: string;
  /** 0 (most urgent) to 10; 5 when absent. */
  readonly priority?: number;
}

export type AdmissionDecision =
  | { readonly type: 'admitted' }
  /** All slots are taken. The job should ask again at `untilMs`. */
  | { readonly type: 'waiting'; readonly untilMs: number }
  /**
   * The circuit breaker is not closed. `retryAtMs` is when a job that waits for a probe should ask again; null if the
   * provider rejected the credentials or the balance, which only a person can change.
   */
  | { readonly type: 'rejected'; readonly error: LipsyncError; readonly retryAtMs: number | null };

/** How an attempt ended. */
export interface AttemptEnding {
  /** Null when it made a take. */
  readonly error: LipsyncError | null;
  /** Null while unknown: a pending settlement then resolves `operation` or `request`. */
  readonly costMicros: number | null;
  readonly operation: Operation | null;
  /** The unacknowledged request, whose operation is to be canceled if there is one; null when it was answered. */
  readonly request: StoredRequest | null;
  readonly stop: OperationStop;
}

/**
 * Admits attempts: concurrency slots, circuit breaker and ledger behind one port. Every call is idempotent. Throws a
 * `StoreFailure` when the shared state is unavailable, which is no failure of the attempt.
 */
export interface Admission {
  /** Acquires a slot, held until `finish`, and checks the circuit breaker. */
  admit(provider: Provider, job: SlotApplicant): Promise<AdmissionDecision>;
  /** Acquires a slot for an attempt that was admitted before; the circuit breaker does not reject it. */
  readmit(provider: Provider, job: SlotApplicant): Promise<Exclude<AdmissionDecision, { type: 'rejected' }>>;
  /**
   * Withdraws the pending settlement that an interrupted run may have left for this attempt. False when it is already
   * being settled: the attempt is over.
   */
  resume(attempt: AttemptReference): Promise<boolean>;
  /** Reserves money; `remainingMicros` is the rest of the request's cap, null for none. Throws `budget_exceeded`. */
  reserve(provider: Provider, attempt: AttemptReference, micros: number, remainingMicros: number | null): Promise<void>;
  /** Reserves money again that an interrupted run may have released. Throws `budget_exceeded`. */
  reserveAgain(attempt: AttemptReference): Promise<void>;
  /** Records that the provider has accepted work, so that more jobs are admitted to an untried provider. */
  recordAcceptance(provider: Provider): Promise<void>;
  /** Settles the attempt and releases its slot, or leaves a pending settlement when its cost is unknown. */
  finish(provider: ProviderIdentity, attempt: AttemptReference, ending: AttemptEnding): Promise<void>;
  /** Releases a slot in which no attempt was started. */
  releaseUnusedSlot(provider: Provider, jobId: string): Promise<void>;
}
