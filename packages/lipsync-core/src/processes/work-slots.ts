import { abortError, LipsyncError } from '../errors/index.ts';

export interface WorkSlotsOptions {
  /** Pieces of work that run at the same time; others wait. */
  readonly maxRunning: number;
  /** Further ones are refused. */
  readonly maxWaiting: number;
  /** Message of the refusal. */
  readonly refusal: string;
}

/** Limits how much work runs at the same time, and how much waits for it. */
export class WorkSlots {
  readonly #options: WorkSlotsOptions;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(options: WorkSlotsOptions) {
    this.#options = options;
  }

  /** Runs `work` in its turn. Throws its error, the abort error, and `resource_exhausted` while too much waits. */
  async run<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result> {
    await this.#enter(signal);
    try {
      if (signal.aborted) throw abortError(signal);
      return await work();
    } finally {
      // The next piece of work takes over the slot.
      const [next] = this.#waiting;
      if (next) next();
      else this.#running -= 1;
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    const { maxRunning, maxWaiting, refusal } = this.#options;
    if (signal.aborted) throw abortError(signal);
    if (this.#running < maxRunning) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.size >= maxWaiting) throw new LipsyncError('resource_exhausted', refusal);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = (): void => reject(abortError(signal));
    signal.addEventListener('abort', stop, { once: true });
    this.#waiting.add(resolve);
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', stop);
    }
  }
}
