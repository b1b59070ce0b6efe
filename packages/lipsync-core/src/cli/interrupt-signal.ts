import { LipsyncError } from '../errors/index.ts';

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * A signal that fires when the user interrupts the program, so that it can clean up; a second interruption ends the
 * program at once. Call `end` when there is nothing left to stop.
 */
export function interruptSignal(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const end = (): void => {
    for (const name of interruptions) process.off(name, stop);
  };
  const stop = (): void => {
    // Without listeners the system's own answer to the next one holds, whichever of them it is.
    end();
    controller.abort(new LipsyncError('canceled', 'Interrupted.'));
  };
  for (const name of interruptions) process.on(name, stop);
  return { signal: controller.signal, end };
}
