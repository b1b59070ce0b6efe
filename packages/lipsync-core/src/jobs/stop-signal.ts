import { abortError, LipsyncError, TimeoutError } from '../errors/index.ts';
import type { Clock, Logger } from '../contract/ports.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore } from './job-store.ts';

/**
 * A later run took over the job of this run: the abort reason of the earlier run, and the error of its further writes.
 * The earlier run must stop without touching anything that the later one uses, so it is no failure of the job.
 */
export class RunSuperseded extends StoreFailure {
  constructor() {
    super(new LipsyncError('canceled', 'A later run of the job took over.'));
    this.name = 'RunSuperseded';
  }
}

/** The host shut down before a finished take was stored. The run is released, and the next one stores the take. */
class TransferInterrupted extends StoreFailure {
  constructor(host: AbortSignal) {
    super(abortError(host));
    this.name = 'TransferInterrupted';
  }

  override get isTransient(): boolean {
    return true;
  }
}

export interface StopSignalOptions {
  readonly store: Pick<JobStore, 'get'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Interval at which the record is read when no notification arrives. */
  readonly cancelPollMs: number;
  /**
   * Calls `onChange` when the job may have been canceled or taken over. Returns a function that ends the subscription.
   */
  watchCancel?(jobId: string, onChange: () => void): () => void;
  /** Aborts the run with its reason, for example when the caller of an in-process job cancels it. */
  readonly cancelSignal?: AbortSignal | undefined;
}

/**
 * Aborts `signal` when a running job is canceled, taken over by a later run, or past its deadline; the reason is that
 * error. Reads the record when notified and at an interval; `update` shortens the delay. The caller calls `end`.
 */
export class StopSignal {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #record: JobRecord;
  readonly #options: StopSignalOptions;
  readonly #poll: NodeJS.Timeout;
  readonly #deadline: NodeJS.Timeout | undefined;
  readonly #unwatch: (() => void) | undefined;

  constructor(record: JobRecord, options: StopSignalOptions) {
    const { cancelPollMs, cancelSignal, clock } = options;
    this.#record = record;
    this.#options = options;
    this.signal = this.#controller.signal;
    this.#poll = setInterval(() => void this.#look(), cancelPollMs);
    if (record.deadlineAtMs !== null) {
      const remainingMs = Math.max(0, record.deadlineAtMs - clock.nowMs());
      this.#deadline = setTimeout(() => this.#controller.abort(deadlineExceeded()), remainingMs);
    }
    this.#unwatch = options.watchCancel?.(record.id, () => void this.#look());
    // A cancel may have arrived between the start of the run and the subscription.
    if (this.#unwatch) void this.#look();
    if (cancelSignal?.aborted) this.#cancel();
    else cancelSignal?.addEventListener('abort', this.#cancel, { once: true });
  }

  /** Checks a record that the run has read or written. */
  update({ cancelRequested, runs }: JobRecord): void {
    if (cancelRequested) this.#controller.abort(jobCanceled());
    if (runs !== this.#record.runs) this.#controller.abort(new RunSuperseded());
  }

  end(): void {
    this.#unwatch?.();
    clearInterval(this.#poll);
    clearTimeout(this.#deadline);
    this.#options.cancelSignal?.removeEventListener('abort', this.#cancel);
  }

  readonly #cancel = (): void => {
    const { cancelSignal } = this.#options;
    if (cancelSignal) this.#controller.abort(abortError(cancelSignal));
  };

  async #look(): Promise<void> {
    const { store, logger } = this.#options;
    try {
      const record = await store.get(this.#record.id);
      if (record) this.update(record);
    } catch (error) {
      logger.warn({ jobId: this.#record.id, error }, 'could not check whether the job was canceled');
    }
  }
}

export interface TransferRun {
  /** Ends the run; absent for a job that ends without one. */
  readonly signal?: AbortSignal;
  readonly context: { readonly signal: AbortSignal };
}

/** Of the 10 s in which a worker stops its jobs: a take that is nearly stored is not made again. */
const transferGraceMs = 4_000;

/**
 * The signal for the transfer of a finished take, which aborts at once when the job is canceled or taken over. When the
 * host shuts down, it aborts after some seconds with a transient `StoreFailure`. The deadline does not abort it: what is
 * made is still delivered.
 */
export function transferSignalOf({ signal, context }: TransferRun): AbortSignal {
  const stop = new AbortController();
  const onShutdown = (): void =>
    void setTimeout(() => stop.abort(new TransferInterrupted(context.signal)), transferGraceMs).unref();
  const onEnd = (): void => {
    const isDeadline = LipsyncError.isInstance(signal?.reason) && signal.reason.code === 'deadline_exceeded';
    if (!context.signal.aborted && !isDeadline) stop.abort(signal?.reason);
  };
  for (const [source, onAbort] of [
    [context.signal, onShutdown],
    [signal, onEnd],
  ] as const) {
    if (source?.aborted) onAbort();
    else source?.addEventListener('abort', onAbort, { once: true });
  }
  return stop.signal;
}

/**
 * Runs a transfer of a finished take with the signal of `transferSignalOf`. Throws its errors, and a `StoreFailure` that
 * aborted it.
 */
export async function transferTake<Result>(
  run: TransferRun,
  transfer: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const signal = transferSignalOf(run);
  try {
    return await transfer(signal);
  } catch (error) {
    throw signal.reason instanceof StoreFailure ? signal.reason : error;
  }
}

export function jobCanceled(): LipsyncError {
  return new LipsyncError('canceled', 'The job was canceled.');
}

export function deadlineExceeded(): TimeoutError {
  return new TimeoutError('deadline_exceeded', 'The job did not finish before its deadline.');
}
