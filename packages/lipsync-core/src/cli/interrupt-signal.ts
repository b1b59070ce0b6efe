import { LipsyncError } from '../errors/index.ts';

const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal that fires when the user interrupts the program, so that it can clean up; call `end` when there is nothing left to stop. */
export function interruptSignal(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort(new LipsyncError('canceled', 'Interrupted.'));
  for (const name of interruptions) process.once(name, stop);
  return {
    signal: controller.signal,
    end() {
      for (const name of interruptions) process.off(name, stop);
    },
  };
}
