import type { ErrorCode } from './error-codes.ts';
import {
  BudgetExceededError,
  InputNotFoundError,
  LipsyncError,
  ProviderError,
  ResourceExhaustedError,
  StorageError,
  TimeoutError,
  toLipsyncError,
} from './lipsync-error.ts';

/** A `LipsyncError` as plain data, for a message between processes or threads. */
export interface CarriedFailure {
  readonly type: 'failed';
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: LipsyncError['details'];
  /** The typed fields of a subclass. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Stack of the original error, for the log. */
  readonly cause: string;
}

const subclasses = new Map(
  [BudgetExceededError, InputNotFoundError, ProviderError, ResourceExhaustedError, StorageError, TimeoutError].map(
    (subclass) => [subclass.name, subclass] as const,
  ),
);

/** Converts anything thrown into a message. */
export function toFailure(thrown: unknown): CarriedFailure {
  const error = toLipsyncError(thrown);
  const { name, code, message, details, cause, stack } = error;
  const origin = cause instanceof Error ? (cause.stack ?? cause.message) : (stack ?? message);
  const common = new Set(['name', 'code', 'message', 'details', 'cause', 'stack']);
  const fields = Object.fromEntries(Object.entries(error).filter(([key]) => !common.has(key)));
  return { type: 'failed', name, code, message, details, fields, cause: origin };
}

/** Restores the error with its class and fields. Its cause has the stack of the side where it was thrown. */
export function toError({ name, code, message, details, fields, cause }: CarriedFailure): LipsyncError {
  const origin = new Error(message);
  origin.stack = cause;
  const error = Object.assign(new LipsyncError(code, message, { cause: origin, details }), { ...fields, name });
  const subclass = subclasses.get(name);
  return subclass ? (Object.setPrototypeOf(error, subclass.prototype) as LipsyncError) : error;
}
