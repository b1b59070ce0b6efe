import { setTimeout as sleep } from 'node:timers/promises';
import { LipsyncError } from '../errors/index.ts';

/** The work of a service that must end before its store closes. */
export class RunningWork {
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  /** Aborted when the work must end. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Starts work with a signal that is also aborted by `abort`. Rejects with `canceled` after `abort`. Arrow function, so
   * that it can be passed on.
   */
  readonly run = async <Result>(
    work: (signal: AbortSignal) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> => {
    const { signal: closing } = this.#closing;
    if (closing.aborted)
      throw new LipsyncError('canceled', 'The service is closed. Call getLipsyncService() again for a new one.');
    const running = work(signal ? AbortSignal.any([signal, closing]) : closing);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  };

  /** Aborts all work with `canceled`. */
  abort(): void {
    this.#closing.abort(new LipsyncError('canceled', 'The service was closed before the job was complete.'));
  }

  /** Resolves when all work has settled, at the latest after `limitMs`. */
  async settle(limitMs: number): Promise<void> {
    const waiting = new AbortController();
    const limit = sleep(limitMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#running), limit]);
    waiting.abort();
  }
}
