import type { TakeOptions, TakeWriter } from '../take-writer.ts';
import { startThread } from './thread-link.ts';
import type { FromTakeThread, ToTakeThread } from './thread-messages.ts';

/**
 * As `openTake`, fed from a thread of its own, so that the encoder gets its next frame while this thread computes.
 * Frames should lie in shared memory, as those of `openFramesAhead` do; others are copied. Several writes may be under way.
 */
export function openTakeAside({ signal, ...options }: TakeOptions): TakeWriter {
  const thread = startThread<ToTakeThread, FromTakeThread>('take-thread', options, signal);
  let answered: Promise<unknown> = Promise.resolve();
  const onAbort = (): void => thread.send({ type: 'abort' });
  signal?.addEventListener('abort', onAbort, { once: true });

  /** Answers come in the order of the questions. */
  const ask = (message: ToTakeThread): Promise<void> => {
    thread.send(message);
    const answer = answered.then(async () => void (await thread.receive()));
    answered = answer.catch(() => undefined);
    return answer;
  };

  return {
    write: (data) => ask({ type: 'frame', data }),
    finish: () => ask({ type: 'finish' }),
    async abort() {
      signal?.removeEventListener('abort', onAbort);
      thread.send({ type: 'abort' });
      await thread.ended;
    },
  };
}
