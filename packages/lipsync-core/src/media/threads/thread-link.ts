import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { toError, toFailure, type CarriedFailure } from '../../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../../errors/index.ts';

/** Messages from a thread, one after the other; nothing of a thread that failed or is gone is waited for. */
export interface ThreadLink<Sent, Received> {
  send(message: Sent): void;
  /** The next message. Throws the thread's failure, the signal's error, or `media_failed` when the thread is gone. */
  receive(): Promise<Received>;
  /** Resolves when the thread has ended. */
  readonly ended: Promise<void>;
}

/** Starts `entry`, a module beside this one, in a thread of its own. */
export function startThread<Sent, Received extends { readonly type: string }>(
  entry: string,
  workerData: unknown,
  signal: AbortSignal | undefined,
): ThreadLink<Sent, Exclude<Received, CarriedFailure>> {
  if (signal?.aborted) throw abortError(signal);
  // The same file runs from source and from the build; only its extension differs.
  const thread = new Worker(new URL(`./${entry}${extname(fileURLToPath(import.meta.url))}`, import.meta.url), {
    workerData,
  });
  const arrived: (Received | CarriedFailure)[] = [];
  let gone = false;
  let wake = (): void => undefined;
  thread.on('message', (message: Received | CarriedFailure) => {
    arrived.push(message);
    wake();
  });
  thread.on('error', (error) => {
    arrived.push(toFailure(error));
    wake();
  });
  const ended = new Promise<void>((resolve) => {
    thread.once('exit', () => {
      gone = true;
      wake();
      resolve();
    });
  });

  return {
    send: (message) => thread.postMessage(message),
    ended,
    async receive() {
      while (arrived.length === 0 && !gone) await new Promise<void>((resolve) => (wake = resolve));
      const message = arrived.shift();
      if (!message) throw new LipsyncError('media_failed', 'A media thread ended before its work was done. Try again.');
      if (isFailure(message)) throw signal?.aborted ? abortError(signal) : toError(message);
      // Only failures were taken out of the union.
      return message as Exclude<Received, CarriedFailure>;
    },
  };
}

function isFailure(message: { readonly type: string }): message is CarriedFailure {
  return message.type === 'failed';
}
