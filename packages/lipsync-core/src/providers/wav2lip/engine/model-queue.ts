import { Worker } from 'node:worker_threads';
import { resolveEntry } from '../../../processes/entry.ts';
import { toError, toFailure, type CarriedFailure } from '../../../errors/carried-failure.ts';
import { LipsyncError } from '../../../errors/index.ts';
import type { OnnxDevice } from '../../../inference/onnx-session.ts';
import type { ModelSource } from './engine-address.ts';
import type { DrawnFaces } from './face-model.ts';

/** Batches in the thread at once: the running one and the next one, so that the thread never idles. */
const maxBatchesInThread = 2;

export interface ModelThreadData {
  readonly source: ModelSource;
  readonly device: OnnxDevice;
}

/** To the thread that owns the model, which answers in order. */
export interface ToModelThread {
  readonly count: number;
  /** Mel chunks, faces and, if different, references, as received. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** As in `FaceBatch`. */
  readonly startRow: number;
  readonly largestBatch: number;
}

/** The first message is `ready` or `failed`; each batch is answered by `drawn` or `failed`. */
export type FromModelThread =
  | { readonly type: 'ready'; readonly cropSizePx: number; readonly fixedBatch: number | null }
  | { readonly type: 'drawn'; readonly faces: Uint8Array<ArrayBuffer>; readonly reducedTo: number | null }
  | CarriedFailure;

export interface QueuedBatch extends ToModelThread {
  /** Whether the client is still connected. */
  isNeeded(): boolean;
}

export interface ModelQueueOptions extends ModelThreadData {
  /** Longest time for one run of the model. */
  readonly batchLimitMs: number;
  /** Called once when the thread has ended or exceeded the limit, after every batch has been rejected with `reason`. */
  onStopped(reason: LipsyncError): void;
}

interface PendingBatch {
  readonly batch: QueuedBatch;
  resolve(drawn: DrawnFaces): void;
  reject(error: LipsyncError): void;
}

type ReadyMessage = Extract<FromModelThread, { type: 'ready' }>;

/** Starts the thread and waits until its model is loaded. Throws the errors of `prepareModel`. */
export async function openModelQueue({ source, device, ...options }: ModelQueueOptions): Promise<ModelQueue> {
  const workerData: ModelThreadData = { source, device };
  const thread = new Worker(resolveEntry('./model-thread', import.meta.url), { workerData });
  return new ModelQueue(thread, await untilReady(thread), options);
}

/** A model in its own thread with a first-in, first-out queue of batches. */
export class ModelQueue {
  readonly cropSizePx: number;
  readonly fixedBatch: number | null;
  readonly #thread: Worker;
  readonly #batchLimitMs: number;
  readonly #onStopped: (reason: LipsyncError) => void;
  readonly #waiting: PendingBatch[] = [];
  readonly #inThread: PendingBatch[] = [];
  #stopped: LipsyncError | undefined;
  #limit: NodeJS.Timeout | undefined;

  constructor(thread: Worker, ready: ReadyMessage, options: Pick<ModelQueueOptions, 'batchLimitMs' | 'onStopped'>) {
    this.cropSizePx = ready.cropSizePx;
    this.fixedBatch = ready.fixedBatch;
    this.#thread = thread;
    this.#batchLimitMs = options.batchLimitMs;
    this.#onStopped = options.onStopped.bind(options);
    thread.on('message', (message: FromModelThread) => this.#onMessage(message));
    thread.on('error', (error) => this.#stop(threadLost(error)));
    thread.on('exit', (code) => this.#stop(threadLost(new Error(`exit code ${code}`))));
  }

  /**
   * Draws a batch. Throws the errors of `FaceModel.draw`, `canceled` when the client has disconnected, and
   * `media_failed` when the queue has stopped.
   */
  async draw(batch: QueuedBatch): Promise<DrawnFaces> {
    if (this.#stopped) throw this.#stopped;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject });
      this.#feed();
    });
  }

  #onMessage(message: FromModelThread): void {
    const answered = this.#inThread.shift();
    this.#restartLimit();
    this.#feed();
    if (message.type === 'drawn') answered?.resolve(message);
    if (message.type === 'failed') answered?.reject(toError(message));
  }

  #feed(): void {
    while (this.#inThread.length < maxBatchesInThread) {
      const next = this.#waiting.shift();
      if (!next) return;
      if (!next.batch.isNeeded()) {
        next.reject(new LipsyncError('canceled', 'The client of this batch has disconnected.'));
        continue;
      }
      this.#inThread.push(next);
      if (this.#inThread.length === 1) this.#restartLimit();
      const { count, payload, startRow, largestBatch } = next.batch;
      this.#thread.postMessage({ count, payload, startRow, largestBatch } satisfies ToModelThread, [payload.buffer]);
    }
  }

  /** Limits the running batch, so it restarts with each run; a large batch takes several runs. */
  #restartLimit(): void {
    clearTimeout(this.#limit);
    const [current] = this.#inThread;
    if (!current) return;
    const limitMs = this.#batchLimitMs * Math.ceil(current.batch.count / current.batch.largestBatch);
    this.#limit = setTimeout(() => this.#stop(tooSlow(limitMs)), limitMs);
  }

  #stop(reason: LipsyncError): void {
    if (this.#stopped) return;
    this.#stopped = reason;
    clearTimeout(this.#limit);
    for (const { reject } of [...this.#inThread.splice(0), ...this.#waiting.splice(0)]) reject(reason);
    this.#onStopped(reason);
  }
}

function untilReady(thread: Worker): Promise<ReadyMessage> {
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
    `The inference engine worked on one batch for more than ${limitMs / 1000} s and was stopped. Try again.`,
  );
}

function threadLost(cause: Error): LipsyncError {
  return new LipsyncError('media_failed', 'The model thread of the inference engine ended unexpectedly. Try again.', {
    cause,
  });
}
