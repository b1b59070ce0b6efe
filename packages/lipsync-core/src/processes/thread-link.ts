import { Worker } from 'node:worker_threads';
import { toError, toFailure, type CarriedFailure } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';

/**
 * A worker thread with an inbox of its messages, in order. A thread reports its failure as `CarriedFailure` and closes
 * its port when it is done.
 */
export class ThreadLink<Sent, Received extends { readonly type: string }> {
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
  readonly #thread: Worker;
  readonly #signal: AbortSignal | undefined;
  readonly #inbox: (Received | CarriedFailure)[] = [];
  #hasEnded = false;
  #wake = (): void => undefined;

  /** Starts the module `entry` in a thread. Throws the abort error of an aborted signal. */
  constructor(entry: URL, workerData: unknown, signal: AbortSignal | undefined) {
    if (signal?.aborted) throw abortError(signal);
    this.#signal = signal;
    this.#thread = new Worker(entry, { workerData });
    this.#thread.on('message', (message: Received | CarriedFailure) => this.#deliver(message));
    this.#thread.on('error', (error) => this.#deliver(toFailure(error)));
    this.ended = new Promise((resolve) => {
      this.#thread.once('exit', () => {
        this.#hasEnded = true;
        this.#wake();
        resolve();
      });
    });
  }

  send(message: Sent): void {
    this.#thread.postMessage(message);
  }

  /**
   * Returns the next message. Throws the failure of the thread, the abort error, or `media_failed` when it has ended.
   */
  async receive(): Promise<Exclude<Received, CarriedFailure>> {
    while (this.#inbox.length === 0 && !this.#hasEnded) await new Promise<void>((resolve) => (this.#wake = resolve));
    const message = this.#inbox.shift();
    if (!message)
      throw new LipsyncError('media_failed', 'A media thread ended before its work was complete. Try again.');
    if (isFailure(message)) throw this.#signal?.aborted ? abortError(this.#signal) : toError(message);
    // `as`: only failures were removed from the union.
    return message as Exclude<Received, CarriedFailure>;
  }

  #deliver(message: Received | CarriedFailure): void {
    this.#inbox.push(message);
    this.#wake();
  }
}

function isFailure(message: { readonly type: string }): message is CarriedFailure {
  return message.type === 'failed';
}
