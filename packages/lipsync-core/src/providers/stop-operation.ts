import type { Operation, OperationStatus, RemoteProvider } from './provider.ts';

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
}

/**
 * Tells the vendor to stop an operation that nobody wants. Returns whether its bill is known and booked now: it is not
 * where the vendor did not answer, or has forgotten an operation that may have been done. Throws what `onSend` and `book` throw.
 */
export async function stopOperation(provider: RemoteProvider, operation: Operation, { knownMicros, wasSent, signal, onSend, book }: Stopping): Promise<boolean> {
  const status = knownMicros === null ? await provider.check(operation, { signal, onProgress: () => undefined }).catch(() => null) : null;
  const billedMicros = knownMicros ?? billOf(status);
  // Before it is deleted, after which the vendor may say nothing any more.
  if (knownMicros === null && billedMicros !== null) await book(billedMicros);
  const isRunning = status?.status === 'pending' && billedMicros === null;
  if (isRunning && !wasSent) await onSend();
  const stoppedMicros = await provider.cancel(operation, { signal }).catch(() => null);
  if (billedMicros !== null) return true;
  // Of one that was not known to run before, its absence proves nothing: it may have been done.
  if (stoppedMicros === null || (stoppedMicros === 0 && !isRunning && !wasSent)) return false;
  await book(stoppedMicros);
  return true;
}

function billOf(status: OperationStatus | null): number | null {
  if (status === null) return null;
  return (status.status === 'pending' ? status.billedMicros : status.costMicros) ?? null;
}
