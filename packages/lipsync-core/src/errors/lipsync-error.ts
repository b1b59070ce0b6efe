import { errorPolicies, type ErrorCode, type ErrorPolicy } from './error-codes.ts';
import { errnoCode, exhaustionAdvice } from './system-error.ts';

const brand = Symbol.for('lipsync.error');

export interface LipsyncErrorOptions {
  readonly cause?: unknown;
  /** Machine-readable particulars, safe to show to the caller: never paths, keys or raw input. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error type that leaves our code. The message tells the caller what happened and what to do about it. */
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

  /** True for errors of this type from any copy of the package (identity is a registered symbol, not a class). */
  static isInstance(value: unknown): value is LipsyncError {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** A clip or speech path that does not exist or cannot be read. */
export class InputNotFoundError extends LipsyncError {
  constructor(message: string, options: LipsyncErrorOptions = {}) {
    super('not_found', message, options);
    this.name = 'InputNotFoundError';
  }
}

/** A limit of time passed: the job's deadline, or the provider's time limit. */
export class TimeoutError extends LipsyncError {
  constructor(code: 'deadline_exceeded' | 'provider_timeout', message: string, options: LipsyncErrorOptions = {}) {
    super(code, message, options);
    this.name = 'TimeoutError';
  }
}

/** A provider could not make a take; `details.provider` names it. */
export class ProviderError extends LipsyncError {
  constructor(code: ErrorCode, provider: string, message: string, options: LipsyncErrorOptions = {}) {
    super(code, message, { ...options, details: { ...options.details, provider } });
    this.name = 'ProviderError';
  }
}

/**
 * KeyedMutex whatever was thrown into a `LipsyncError`: a full disk and the like become `resource_exhausted`, what is not
 * known becomes `internal`, both with the original as cause.
 */
export function toLipsyncError(thrown: unknown): LipsyncError {
  if (LipsyncError.isInstance(thrown)) return thrown;
  const advice = exhaustionAdvice(thrown);
  if (advice !== undefined)
    return new LipsyncError('resource_exhausted', advice, { cause: thrown, details: { reason: errnoCode(thrown) } });
  return new LipsyncError('internal', 'Something went wrong on our side. Try again; report it if it happens twice.', {
    cause: thrown,
  });
}

/**
 * The error that a signal was aborted with: its reason when that is one of ours (deadline, cancel), else `canceled`.
 */
export function abortError(signal: AbortSignal): LipsyncError {
  return LipsyncError.isInstance(signal.reason)
    ? signal.reason
    : new LipsyncError('canceled', 'The work was canceled.', { cause: signal.reason });
}
