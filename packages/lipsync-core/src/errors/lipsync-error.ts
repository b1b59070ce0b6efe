import { dirname } from 'node:path';
import { errorPolicies, type ErrorCode, type ErrorPolicy } from './error-codes.ts';
import { errnoCode, exhaustionAdvice, isDiskFull, writeRefusal } from './system-error.ts';

const brand = Symbol.for('lipsync.error');

export interface LipsyncErrorOptions {
  readonly cause?: unknown;
  /**
   * Particulars for people and logs, safe to show to the caller: no paths, keys or raw input. No code depends on them.
   */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * The only error type that leaves this package. The message tells the caller what happened and how to fix it. Decisions
 * depend on `code` and on the typed fields of the subclasses below, never on `message` or `details`.
 */
export class LipsyncError extends Error {
  readonly [brand] = true;
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: LipsyncErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LipsyncError';
    this.code = code;
    this.details = options.details ?? {};
  }

  get policy(): ErrorPolicy {
    return errorPolicies[this.code];
  }

  /** True for errors of any copy of this package, because the brand is a registered symbol. */
  static isInstance(value: unknown): value is LipsyncError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/**
 * A stored job record that this version cannot read. One in a newer format is not an error of the job: processes of
 * that version can read it, so that the request or the run is repeated.
 */
export class UnreadableRecordError extends LipsyncError {
  /** Whether a later version of the service stored the record. */
  readonly isNewer: boolean;

  constructor(message: string, { isNewer }: { readonly isNewer: boolean }) {
    super(isNewer ? 'resource_exhausted' : 'internal', message);
    this.name = 'UnreadableRecordError';
    this.isNewer = isNewer;
  }
}

/** A clip or speech path that does not exist or cannot be read. */
export class InputNotFoundError extends LipsyncError {
  constructor(message: string, options: LipsyncErrorOptions = {}) {
    super('not_found', message, options);
    this.name = 'InputNotFoundError';
  }
}

/** The job's deadline or the provider's time limit has passed. */
export class TimeoutError extends LipsyncError {
  constructor(code: 'deadline_exceeded' | 'provider_timeout', message: string, options: LipsyncErrorOptions = {}) {
    super(code, message, options);
    this.name = 'TimeoutError';
  }
}

/**
 * Effect of a failed request for an operation. `refused`: the vendor certainly started nothing. `unknown`: an operation
 * may have been started.
 */
export type RequestOutcome = 'refused' | 'unknown';

export interface ProviderErrorOptions extends LipsyncErrorOptions {
  readonly provider?: string;
  readonly retryAfterMs?: number | null;
  readonly requestOutcome?: RequestOutcome;
  readonly isRequestExpired?: boolean;
  readonly httpStatus?: number | null;
}

/** A provider could not make a take, or a vendor call failed. */
export class ProviderError extends LipsyncError {
  /** Null until the provider chain adds it. */
  readonly provider: string | null;
  /** How long the vendor asked to wait. */
  readonly retryAfterMs: number | null;
  readonly requestOutcome: RequestOutcome;
  /** The request names inputs that the vendor no longer has: a new request must be prepared. Independent of the outcome. */
  readonly isRequestExpired: boolean;
  /** HTTP status of the vendor's response; null without a response. */
  readonly httpStatus: number | null;

  constructor(code: ErrorCode, message: string, options: ProviderErrorOptions = {}) {
    super(code, message, options);
    this.name = 'ProviderError';
    this.provider = options.provider ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.requestOutcome = options.requestOutcome ?? 'unknown';
    this.isRequestExpired = options.isRequestExpired ?? false;
    this.httpStatus = options.httpStatus ?? null;
  }
}

/** `job` and `batch` are caps of a request; the others hold for the installation. */
export type BudgetCap = 'daily' | 'monthly' | 'user_daily' | 'job' | 'batch';

/** An attempt would exceed a cap. */
export class BudgetExceededError extends LipsyncError {
  readonly cap: BudgetCap;

  constructor(cap: BudgetCap, message: string, options: LipsyncErrorOptions = {}) {
    super('budget_exceeded', message, options);
    this.name = 'BudgetExceededError';
    this.cap = cap;
  }
}

/** The system ran out of something. */
export class ResourceExhaustedError extends LipsyncError {
  /** System error code, such as `ENOSPC`. */
  readonly reason: string;

  constructor(reason: string, message: string, options: LipsyncErrorOptions = {}) {
    super('resource_exhausted', message, options);
    this.name = 'ResourceExhaustedError';
    this.reason = reason;
  }
}

/** A folder that jobs need. */
export interface StorageFolder {
  readonly path: string;
  /** What helps besides a repair of the folder; completes "…, or ". */
  readonly alternative: string;
}

/** Failures of an object store. */
export const storeErrorCodes = Object.freeze([
  'store_unavailable',
  'store_timeout',
  'store_corrupted',
  'store_credentials_rejected',
  'store_full',
] as const satisfies readonly ErrorCode[]);
export type StoreErrorCode = (typeof storeErrorCodes)[number];

/**
 * A folder that jobs need is full (`resource_exhausted`) or cannot be written (`storage_unwritable`), or the object
 * store fails. The fault lies neither with the job nor with a provider: the job can continue when an operator has
 * corrected it.
 */
export class StorageError extends LipsyncError {
  /** Path of the folder, or URL of the bucket. */
  readonly folder: string;

  constructor(
    code: 'resource_exhausted' | 'storage_unwritable' | StoreErrorCode,
    folder: string,
    message: string,
    cause: unknown,
  ) {
    super(code, message, { cause });
    this.name = 'StorageError';
    this.folder = folder;
  }
}

/** Converts the failure of a write to a folder to a `StorageError`; returns errors of any other kind unchanged. */
export function toStorageError(error: unknown, { path, alternative }: StorageFolder): unknown {
  if (LipsyncError.isInstance(error)) return error;
  if (isDiskFull(error)) {
    const message = `The folder "${path}" is full. Free space there, or ${alternative}.`;
    return new StorageError('resource_exhausted', path, message, error);
  }
  const reason = writeRefusal(error);
  if (reason === undefined) return exhaustionAdvice(error) === undefined ? error : toLipsyncError(error);
  const message = `The folder "${path}" cannot be written: ${reason}. Make it writable, or ${alternative}.`;
  return new StorageError('storage_unwritable', path, message, error);
}

/**
 * Converts anything thrown into a `LipsyncError`: an exhausted disk, memory or descriptor table becomes
 * `resource_exhausted`, a write to a read-only file system `storage_unwritable`, anything unknown `internal`, both with
 * the original as cause.
 */
export function toLipsyncError(thrown: unknown): LipsyncError {
  if (LipsyncError.isInstance(thrown)) return thrown;
  const reason = errnoCode(thrown);
  if (reason === 'EROFS' && thrown instanceof Error && 'path' in thrown && typeof thrown.path === 'string') {
    const folder = { path: dirname(thrown.path), alternative: 'use a folder on another disk' };
    return toLipsyncError(toStorageError(thrown, folder));
  }
  const advice = exhaustionAdvice(thrown);
  if (reason !== undefined && advice !== undefined)
    return new ResourceExhaustedError(reason, advice, { cause: thrown });
  return new LipsyncError('internal', 'An internal error occurred. Try again; report it if it happens twice.', {
    cause: thrown,
  });
}

/** The reason with which a signal was aborted, if it is a `LipsyncError` (deadline, cancel); else `canceled`. */
export function abortError(signal: AbortSignal): LipsyncError {
  return LipsyncError.isInstance(signal.reason)
    ? signal.reason
    : new LipsyncError('canceled', 'The work was canceled.', { cause: signal.reason });
}
