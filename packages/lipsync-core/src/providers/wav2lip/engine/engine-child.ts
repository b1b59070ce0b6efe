import { resolveEntry } from '../../../processes/entry.ts';
import { toError } from '../../../errors/carried-failure.ts';
import { LipsyncError } from '../../../errors/index.ts';
import { describeExit, ManagedChild, type ChildExit } from '../../../processes/managed-child.ts';
import type { EngineAddress, EngineStart, FromEngine, ToEngine } from './engine-address.ts';

export interface EngineChildOptions extends Omit<EngineStart, 'type'> {
  /** Longest time for loading the model, including the import of a checkpoint. */
  readonly startLimitMs: number;
  /** Called once when the process has ended. */
  onExit(): void;
}

/** Missing heartbeats after which a process counts as hung. */
const maxMissedHeartbeats = 6;

/**
 * A setting of the C library: without it, 125 MiB of the parsed model file stay with the process. It would double the time
 * of ffmpeg, which an engine does not start.
 */
const returnFreedMemory = { MALLOC_TRIM_THRESHOLD_: '131072' };

/** An engine did not load its model within its limit; a second try on the same device would take as long. */
export class EngineStartTimeoutError extends LipsyncError {
  constructor(limitMs: number, options: { readonly cause: Error }) {
    super('media_failed', `The engine did not load its model within ${limitMs / 1000} s and was stopped.`, options);
    this.name = 'EngineStartTimeoutError';
  }
}

/** The pool's view of an engine process. The process ends with its parent and does not keep an idle parent running. */
export class EngineChild {
  /**
   * Resolves when the engine accepts batches. Rejects with the failure of the engine, `EngineStartTimeoutError`, or
   * `media_failed` when the process ended first.
   */
  readonly ready: Promise<EngineAddress>;
  readonly #child: ManagedChild;
  #pings = 0;

  constructor({ startLimitMs, onExit, ...start }: EngineChildOptions) {
    this.#child = ManagedChild.startModule({
      entry: resolveEntry('./engine-process', import.meta.url),
      environment: returnFreedMemory,
    });
    this.#child.onExit(onExit);
    this.ready = this.#start({ type: 'start', ...start }, startLimitMs);
    this.ready.catch(() => void this.#child.kill());
  }

  /**
   * Whether the process responds; false when it has ended without notice so far. Bounded by the heartbeat check, which
   * kills a hung process.
   */
  async responds(): Promise<boolean> {
    this.#pings += 1;
    this.#child.ref();
    const responds = await this.#ping();
    this.#pings -= 1;
    if (this.#pings === 0) this.#child.unref();
    return responds;
  }

  /** Kills the process and resolves when it has ended. */
  async end(): Promise<void> {
    this.#child.ref();
    await this.#child.kill();
  }

  async #start(start: EngineStart, limitMs: number): Promise<EngineAddress> {
    const { cropSizePx, batchSize } = await this.#untilReady(start, limitMs);
    this.#child.onExit(this.#watchHeartbeats(start.heartbeatMs));
    this.#child.unref();
    return { socketPath: start.socketPath, device: start.device.kind, cropSizePx, batchSize };
  }

  #send(message: ToEngine): void {
    this.#child.send(message);
  }

  #ping(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (responds: boolean): void => {
        stopListening();
        stopWaiting();
        resolve(responds);
      };
      const stopListening = this.#child.onMessage(({ type }: FromEngine) => type === 'pong' && settle(true));
      const stopWaiting = this.#child.onExit(() => settle(false));
      this.#send({ type: 'ping' });
    });
  }

  #untilReady(start: EngineStart, limitMs: number): Promise<Extract<FromEngine, { type: 'ready' }>> {
    const { promise, resolve, reject } = Promise.withResolvers<Extract<FromEngine, { type: 'ready' }>>();
    const stderrTail = (): Error => new Error(this.#child.stderrTail || 'The engine printed nothing.');
    const limit = setTimeout(() => reject(new EngineStartTimeoutError(limitMs, { cause: stderrTail() })), limitMs);
    const stopWaiting = this.#child.onExit((exit) => reject(startError(exit, stderrTail())));
    const stopListening = this.#child.onMessage((message: FromEngine) => {
      if (message.type === 'ready') resolve(message);
      if (message.type === 'failed') reject(toError(message));
    });
    this.#send(start);
    return promise.finally(() => {
      clearTimeout(limit);
      stopWaiting();
      stopListening();
    });
  }

  /**
   * Kills the process when heartbeats are missing. Counts its own ticks instead of comparing times, so that a suspended
   * machine or a busy parent is not mistaken for a hung child. Returns the function that ends the check.
   */
  #watchHeartbeats(heartbeatMs: number): () => void {
    let missed = 0;
    this.#child.onMessage(() => (missed = 0));
    const timer = setInterval(() => {
      missed += 1;
      if (missed > maxMissedHeartbeats) void this.#child.kill();
    }, heartbeatMs);
    timer.unref();
    return () => clearInterval(timer);
  }
}

function startError(exit: ChildExit, cause: Error): LipsyncError {
  return new LipsyncError('media_failed', `The engine ended before it was ready (${describeExit(exit)}). Try again.`, {
    cause,
  });
}
