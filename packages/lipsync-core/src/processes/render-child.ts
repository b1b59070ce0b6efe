import type { TraceContext } from '../contract/ports.ts';
import type { ProgressReport } from '../contract/provider-types.ts';
import { toError, toFailure, type CarriedFailure } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';
import { activeTraceparent } from '../tracing/spans.ts';
import { resolveEntry } from './entry.ts';
import { describeExit, ManagedChild, stopGraceMs, type ChildExit } from './managed-child.ts';
import type { RenderTaskAddress } from './render-task.ts';

/** Messages to a render process. It runs one task at a time and meanwhile sends a heartbeat every `heartbeatMs`. */
export type ToRenderProcess =
  | { readonly type: 'preload'; readonly moduleUrls: readonly string[] }
  | {
      readonly type: 'run';
      readonly task: RenderTaskAddress;
      readonly input: unknown;
      readonly heartbeatMs: number;
      readonly trace?: TraceContext;
      /** W3C traceparent of the span of the task; absent while spans are not recorded. */
      readonly traceparent?: string;
    }
  /** Aborts the current task with this reason: canceled, deadline exceeded, handed to another worker. */
  | { readonly type: 'cancel'; readonly reason: CarriedFailure };

/** Messages from a render process to its parent. */
export type FromRenderProcess =
  | { readonly type: 'alive' }
  | { readonly type: 'progress'; readonly progress: ProgressReport }
  | { readonly type: 'done'; readonly result: unknown }
  | CarriedFailure;

export interface RenderContext {
  readonly signal: AbortSignal;
  /** Passed to the task; absent for work without a request. */
  readonly trace?: TraceContext;
  onProgress?(progress: ProgressReport): void;
}

export interface RenderRequest {
  readonly task: RenderTaskAddress;
  readonly input: unknown;
}

/** Missing heartbeats after which a process counts as hung. */
const heartbeatsPerSilenceLimit = 6;
const maxHeartbeatMs = 5_000;

/** The pool's view of a render process. An idle one does not keep the parent running. */
export class RenderChild {
  readonly #child: ManagedChild;
  #isEnding = false;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(onExit: () => void) {
    this.#child = ManagedChild.startModule({ entry: resolveEntry('./render-process', import.meta.url) });
    this.#child.onExit(() => {
      clearTimeout(this.#idleTimer);
      onExit();
    });
  }

  /** Whether the process has been killed, although it may not have ended yet. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /**
   * Runs one task. Throws its `LipsyncError`, the abort error, or `media_failed` when the process ended. A process that
   * sends no heartbeat for `silenceLimitMs`, or does not stop its task within the grace period after an abort, is
   * killed.
   */
  async run(request: RenderRequest, context: RenderContext, silenceLimitMs: number): Promise<unknown> {
    clearTimeout(this.#idleTimer);
    this.#child.ref();
    this.#child.clearStderrTail();
    try {
      return await this.#runTask(request, context, silenceLimitMs);
    } finally {
      this.#child.unref();
    }
  }

  /** Imports modules before a task needs them. */
  preload(moduleUrls: readonly string[]): void {
    this.#send({ type: 'preload', moduleUrls });
    this.#child.unref();
  }

  /** Calls `onTimeout` unless a task starts within `idleMs`. */
  startIdleTimer(idleMs: number, onTimeout: () => void): void {
    this.#idleTimer = setTimeout(onTimeout, idleMs);
    this.#idleTimer.unref();
  }

  /** Kills the process and its ffmpeg processes without waiting. */
  kill(): void {
    this.#isEnding = true;
    void this.#child.kill();
  }

  /** Kills the process and resolves when it has ended. */
  async end(): Promise<void> {
    clearTimeout(this.#idleTimer);
    this.#child.ref();
    this.kill();
    await this.#child.exited;
  }

  #send(message: ToRenderProcess): void {
    this.#child.send(message);
  }

  #runTask(
    request: RenderRequest,
    { signal, onProgress, trace }: RenderContext,
    silenceLimitMs: number,
  ): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    let graceTimer: NodeJS.Timeout | undefined;
    const silenceTimer = setTimeout(() => this.kill(), silenceLimitMs);
    const onAbort = (): void => {
      this.#send({ type: 'cancel', reason: toFailure(abortError(signal)) });
      graceTimer = setTimeout(() => this.kill(), stopGraceMs.renderProcess);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const stopListening = this.#child.onMessage((message: FromRenderProcess) => {
      silenceTimer.refresh();
      if (message.type === 'progress') onProgress?.(message.progress);
      if (message.type === 'done') resolve(message.result);
      if (message.type === 'failed') reject(signal.aborted ? abortError(signal) : toError(message));
    });
    const stopWaiting = this.#child.onExit((exit) =>
      reject(signal.aborted ? abortError(signal) : crashError(exit, this.#child.stderrTail)),
    );
    const heartbeatMs = Math.min(maxHeartbeatMs, silenceLimitMs / heartbeatsPerSilenceLimit);
    const traceparent = activeTraceparent();
    const ids = { ...(trace && { trace }), ...(traceparent !== undefined && { traceparent }) };
    this.#send({ type: 'run', ...request, heartbeatMs, ...ids });
    return promise.finally(() => {
      clearTimeout(graceTimer);
      clearTimeout(silenceTimer);
      signal.removeEventListener('abort', onAbort);
      stopListening();
      stopWaiting();
    });
  }
}

function crashError(exit: ChildExit, stderrTail: string): LipsyncError {
  return new LipsyncError(
    'media_failed',
    `The render process ended before its task was complete (${describeExit(exit)}). Try again; if it was killed, check whether the machine runs out of memory.`,
    { cause: new Error(stderrTail || 'The render process printed nothing.') },
  );
}
