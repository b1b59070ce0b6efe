import { LipsyncError } from '../errors/index.ts';
import type { OperationStatus, RemoteProvider } from './provider.ts';
import type { Operation } from '../contract/provider-types.ts';

export interface Stopping {
  /** What the operation is known to be billed; null for nothing known. */
  readonly knownMicros: number | null;
  /** Whether it was told to stop before, while it was seen to run: gone by now, it was heard. */
  readonly wasSent: boolean;
  readonly signal: AbortSignal;
  /** Keeps that it is told to stop while it is seen to run; called before it is told. */
  onSend(): Promise<void>;
  /** Keeps what it is billed; called as soon as that is known. */
  book(micros: number): Promise<void>;
  /** Told of each call that the vendor did not answer. */
  onVendorError?(error: unknown): void;
}

/**
 * Tells the vendor to stop an operation that nobody wants, once it was looked at: deleted unseen, one that is done would
 * take the only proof of its bill along. Returns whether its bill is known and booked now: it is not where the vendor did
 * not answer, or has forgotten an operation that may have been done. Throws what `onSend` and `book` throw.
 */
export async function stopOperation(
  provider: RemoteProvider,
  operation: Operation,
  { knownMicros, wasSent, signal, onSend, book, onVendorError = () => undefined }: Stopping,
): Promise<boolean> {
  if (knownMicros !== null) {
    await tellToStop(provider, operation, { signal, onVendorError });
    return true;
  }
  const seen = await lookAt(provider, operation, { signal, onVendorError });
  if (seen === null || (seen === 'gone' && !wasSent)) return false;
  const billedMicros = seen === 'gone' ? null : billOf(seen);
  // Before it is deleted, after which the vendor may say nothing any more.
  if (billedMicros !== null) await book(billedMicros);
  else if (!wasSent) await onSend();
  const stoppedMicros = await tellToStop(provider, operation, { signal, onVendorError });
  if (billedMicros !== null) return true;
  if (stoppedMicros === null) return false;
  await book(stoppedMicros);
  return true;
}

type Call = Required<Pick<Stopping, 'signal' | 'onVendorError'>>;

/** Null for no answer; `gone` for one that the vendor does not know, or not any more. */
async function lookAt(
  provider: RemoteProvider,
  operation: Operation,
  { signal, onVendorError }: Call,
): Promise<OperationStatus | 'gone' | null> {
  try {
    return await provider.check(operation, { signal, onProgress: () => undefined });
  } catch (error) {
    if (LipsyncError.isInstance(error) && error.code === 'provider_protocol') return 'gone';
    onVendorError(error);
    return null;
  }
}

/** What the vendor billed until then; null where it did not answer. */
async function tellToStop(
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

/** Null while it runs and is not billed. */
function billOf(status: OperationStatus): number | null {
  return (status.status === 'pending' ? status.billedMicros : status.costMicros) ?? null;
}
