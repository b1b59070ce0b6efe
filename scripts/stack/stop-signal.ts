/** Returns a signal that aborts on SIGINT, SIGTERM or SIGHUP, and when the parent process ends. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(new Error(`Stopped by ${name}.`)));
  }
  if (process.connected)
    process.once('disconnect', () => controller.abort(new Error('Stopped because the launcher has exited.')));
  return controller.signal;
}

/** Resolves when the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}
