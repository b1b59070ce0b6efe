import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { toError, toFailure } from '../../../errors/carried-failure.ts';
import { LipsyncError } from '../../../errors/index.ts';
import type { FromModelThread, ToModelThread } from './engine-messages.ts';
import type { DrawnFaces } from './face-model.ts';
import type { ModelThreadData } from './model-thread.ts';

/** Batches at the thread at once: one that it works on, and the next one, so that it never waits. */
const batchesAtThread = 2;

export interface WaitingBatch extends ToModelThread {
  /** Whether somebody still waits for the answer. */
  isWanted(): boolean;
}

/** A model in a thread of its own, and the batches that wait for it, first come, first served. */
export interface ModelQueue {
  readonly cropSizePx: number;
  readonly fixedBatch: number | null;
  /** Draws a batch; throws as `FaceModel.draw`, `canceled` when it was not wanted any more, `media_failed` when the queue stopped. */
  draw(batch: WaitingBatch): Promise<DrawnFaces>;
}

export interface ModelQueueOptions extends ModelThreadData {
  /** For as many faces as are run at once. */
  readonly batchLimitMs: number;
  /** Called once when the thread has ended or has worked on a batch for too long. Every batch has been answered with `reason` by then. */
  onStopped(reason: LipsyncError): void;
}

interface QueuedBatch {
  readonly batch: WaitingBatch;
  resolve(drawn: DrawnFaces): void;
  reject(error: LipsyncError): void;
}

/** Starts the thread and waits until its model is ready. Throws as `prepareModel`. */
export async function openModelQueue(options: ModelQueueOptions): Promise<ModelQueue> {
  const { batchLimitMs, onStopped, ...workerData } = options;
  const thread = startModelThread(workerData);
  const { cropSizePx, fixedBatch } = await untilReady(thread);
  const waiting: QueuedBatch[] = [];
  const atThread: QueuedBatch[] = [];
  let stopped: LipsyncError | undefined;
  let limit: NodeJS.Timeout | undefined;

  const stop = (reason: LipsyncError): void => {
    if (stopped) return;
    stopped = reason;
    clearTimeout(limit);
    for (const { reject } of [...atThread.splice(0), ...waiting.splice(0)]) reject(reason);
    onStopped(reason);
  };
  /** The limit is for the batch that the thread works on, so that it begins anew with each; a large one takes several runs. */
  const watch = (): void => {
    clearTimeout(limit);
    const [current] = atThread;
    if (!current) return;
    const limitMs = batchLimitMs * Math.ceil(current.batch.count / current.batch.largestBatch);
    limit = setTimeout(() => stop(tooSlow(limitMs)), limitMs);
  };
  const feed = (): void => {
    while (atThread.length < batchesAtThread) {
      const next = waiting.shift();
      if (!next) return;
      if (!next.batch.isWanted()) {
        next.reject(new LipsyncError('canceled', 'Nobody waits for this batch any more.'));
        continue;
      }
      atThread.push(next);
      if (atThread.length === 1) watch();
      const { count, payload, largestBatch } = next.batch;
      thread.postMessage({ count, payload, largestBatch } satisfies ToModelThread, [payload.buffer]);
    }
  };
  thread.on('message', (message: FromModelThread) => {
    const answered = atThread.shift();
    watch();
    feed();
    if (message.type === 'drawn') answered?.resolve(message);
    if (message.type === 'failed') answered?.reject(toError(message));
  });
  thread.on('error', (error) => stop(threadLost(error)));
  thread.on('exit', (code) => stop(threadLost(new Error(`exit code ${code}`))));

  return {
    cropSizePx,
    fixedBatch,
    async draw(batch) {
      if (stopped) throw stopped;
      return new Promise((resolve, reject) => {
        waiting.push({ batch, resolve, reject });
        feed();
      });
    },
  };
}

/** The same file runs from source and from the build; only its extension differs. */
function startModelThread(workerData: ModelThreadData): Worker {
  const extension = extname(fileURLToPath(import.meta.url));
  return new Worker(new URL(`./model-thread${extension}`, import.meta.url), { workerData });
}

function untilReady(thread: Worker): Promise<Extract<FromModelThread, { type: 'ready' }>> {
  return new Promise((resolve, reject) => {
    thread.once('error', (error) => reject(toError(toFailure(error))));
    thread.once('exit', (code) => reject(threadLost(new Error(`exit code ${code}`))));
    thread.once('message', (message: FromModelThread) => {
      if (message.type === 'ready') resolve(message);
      if (message.type === 'failed') reject(toError(message));
    });
  });
}

function tooSlow(limitMs: number): LipsyncError {
  return new LipsyncError(
    'media_failed',
    `The engine worked on one batch for more than ${limitMs / 1000} s and was ended.`,
  );
}

function threadLost(cause: Error): LipsyncError {
  return new LipsyncError('media_failed', 'The engine lost the thread that its model ran in.', { cause });
}
