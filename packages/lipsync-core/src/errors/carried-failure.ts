import type { ErrorCode } from './error-codes.ts';
import { LipsyncError, toLipsyncError } from './lipsync-error.ts';

/** A failure on its way between processes or threads, which carry plain data and no error types. */
export interface CarriedFailure {
  readonly type: 'failed';
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: LipsyncError['details'];
  /** Where it was thrown, or what was behind it, for the log. */
  readonly cause: string;
}

/** What is said on one side when something was thrown there. */
export function toFailure(thrown: unknown): CarriedFailure {
  const { code, message, details, cause, stack } = toLipsyncError(thrown);
  const origin = cause instanceof Error ? (cause.stack ?? cause.message) : (stack ?? message);
  return { type: 'failed', code, message, details, cause: origin };
}

/** What is thrown on the other side; its cause has the stack of the side where it happened. */
export function toError({ code, message, details, cause }: CarriedFailure): LipsyncError {
  const origin = new Error(message);
  origin.stack = cause;
  return new LipsyncError(code, message, { cause: origin, details });
}
