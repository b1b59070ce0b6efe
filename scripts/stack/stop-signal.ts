/**
 * A signal that fires when this process is asked to stop, by a signal of the system or by the end of the process that
 * started it. Repeats change nothing: Control-C may arrive by several ways at once.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(new Error(`Stopped by ${name}.`)));
  }
  if (process.connected)
    process.once('disconnect', () => controller.abort(new Error('Stopped because the launcher is gone.')));
  return controller.signal;
}

/** Resolves when the signal fires. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}
