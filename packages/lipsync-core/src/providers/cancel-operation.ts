import type { Operation } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import type { OperationStatus, RemoteProvider } from './provider.ts';

export interface CancelOptions {
  /** The cost of the operation, if it is known; else null. */
  readonly knownMicros: number | null;
  /** Whether it was canceled before while it was seen running: if it is gone now, that cancel arrived. */
  readonly wasSent: boolean;
  readonly signal: AbortSignal;
  /** Called, and awaited, before a running operation is canceled. */
  onSend(): Promise<void>;
  /** Called, and awaited, as soon as the cost is known. */
  book(micros: number): Promise<void>;
  /** Called after each failed vendor call. */
  onVendorError?(error: unknown): void;
}

/**
 * Cancels an operation after checking it: canceling a finished operation unseen could delete the only record of its
 * cost. Returns whether the cost is known and booked. It is not when the vendor does not answer, or no longer has an
 * operation that may have finished. Rethrows errors of `onSend` and `book`.
 */
export async function cancelOperation(
  provider: RemoteProvider,
  operation: Operation,
  { knownMicros, wasSent, signal, onSend, book, onVendorError = () => undefined }: CancelOptions,
): Promise<boolean> {
  const call = { signal, onVendorError };
  if (knownMicros !== null) {
    await sendCancel(provider, operation, call);
    return true;
  }
  const seen = await check(provider, operation, call);
  if (seen === 'no_answer' || (seen === 'gone' && !wasSent)) return false;
  const billedMicros = seen === 'gone' ? null : costOf(seen);
  // Booked before the cancel, after which the vendor may no longer report it.
  if (billedMicros !== null) await book(billedMicros);
  else if (!wasSent) await onSend();
  const canceledMicros = await sendCancel(provider, operation, call);
  if (billedMicros !== null) return true;
  if (canceledMicros === null) return false;
  await book(canceledMicros);
  return true;
}

type Call = Required<Pick<CancelOptions, 'signal' | 'onVendorError'>>;

async function check(
  provider: RemoteProvider,
  operation: Operation,
  { signal, onVendorError }: Call,
): Promise<OperationStatus | 'gone' | 'no_answer'> {
  try {
    return await provider.check(operation, { signal, onProgress: () => undefined });
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'provider_protocol') return 'gone';
    onVendorError(error);
    return 'no_answer';
  }
}

/** Returns the vendor's charge for the canceled operation; null when that is unknown. */
async function sendCancel(
  provider: RemoteProvider,
  operation: Operation,
  { signal, onVendorError }: Call,
): Promise<number | null> {
  try {
    return await provider.cancel(operation, { signal });
  } catch (error) {
    onVendorError(error);
    return null;
  }
}

/** Null while the operation runs and is not billed. */
function costOf(status: OperationStatus): number | null {
  return (status.status === 'pending' ? status.billedMicros : status.costMicros) ?? null;
}
