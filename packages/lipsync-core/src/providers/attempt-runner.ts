import type { Payer } from '../billing/ledger-entry.ts';
import { localCostMicros, microsToUsdOrNull } from '../billing/micros.ts';
import type { Clock } from '../contract/ports.ts';
import type { OperationStop, ProviderKind } from '../contract/provider-types.ts';
import type { ProviderId } from '../contract/index.ts';
import {
  abortError,
  errorPolicies,
  LipsyncError,
  ProviderError,
  TimeoutError,
  toLipsyncError,
} from '../errors/index.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import { annotateSpan, traced } from '../tracing/spans.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import type {
  Admission,
  AdmissionDecision,
  AttemptEnding,
  AttemptReference,
  ProviderIdentity,
  SlotApplicant,
} from './admission.ts';
import { AttemptLog, remainingMicros, unacknowledgedRequest, type AttemptLogOptions } from './attempt-log.ts';
import type { Attempt, KeptTake } from './attempt.ts';
import { cancelOperation } from './cancel-operation.ts';
import type {
  InlineProvider,
  Provider,
  RemoteProvider,
  Take,
  TakeContext,
  TakeMaker,
  TakeRequest,
} from './provider.ts';
import { advanceRemote, type AttemptProgress, type RunGuard, type StorageGuard } from './remote-attempt.ts';

/** Keeps finished takes until the job ends, so that none is made or paid for twice. */
export interface TakeStore {
  /**
   * Moves a take to where it survives this run. Undefined if that is not possible; the take then stays where it is.
   * Never throws.
   */
  keep(take: Take, made: { readonly provider: Provider; readonly index: number }): Promise<StoredTake | undefined>;
  /** Path of the kept take of an attempt; undefined if the file does not exist. */
  find(index: number): Promise<string | undefined>;
}

export interface StoredTake {
  readonly path: string;
  readonly facts: KeptTake;
}

/** The price of computing on this machine. */
export interface LocalPrice {
  readonly microsPerHour: number;
  /** The expected cost of the provider's work on this job. Throws `resource_exhausted` without the state store. */
  quote(provider: ProviderId): Promise<number>;
}

export interface ChainContext extends TakeContext, AttemptLogOptions, SlotApplicant, StorageGuard, RunGuard {
  /** The job's plan, whose tries apply; default tries without one. */
  readonly plan?: ExecutionPlan | null;
  readonly payer: Payer;
  /** Cap over all attempts of the job, in millionths of a dollar; null for none. */
  readonly maxCostMicros: number | null;
  /** Absent when computing on this machine is free. */
  readonly localPrice?: LocalPrice;
  readonly clock: Clock;
  readonly admission: Admission;
  /** Makes the takes of inline providers; by default they do themselves. */
  readonly takeMaker?: TakeMaker;
  /** Without it, an interrupted run leaves no take behind. */
  readonly takes?: TakeStore;
  /** Attempts of earlier runs of this job. A remote one that was still running is resumed. */
  readonly earlierAttempts: readonly Attempt[];
  /** Index of the first attempt whose failure counts; those before it were made before a retry. */
  readonly firstAttempt?: number;
  /**
   * Latest time until which a job without another provider waits for the probe of a circuit breaker; without it, the
   * job fails at once.
   */
  readonly latestProbeMs?: number;
  /** Whether this host does work of that kind. */
  canRun(kind: ProviderKind): boolean;
  /** Called, and awaited, after each change of an attempt. */
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

export type AttemptOutcome = AttemptProgress | { readonly type: 'failed'; readonly error: LipsyncError };

const cancelTimeoutMs = 10_000;

/** Runs the attempts of one job, one at a time: admission, the provider's work, and the settlement of its cost. */
export class AttemptRunner {
  readonly log: AttemptLog;
  readonly #context: ChainContext;

  constructor(context: ChainContext) {
    this.log = new AttemptLog(context);
    this.#context = context;
  }

  /**
   * Starts or resumes an attempt of `provider`; `isLast` if the job has no other. Throws a `StoreFailure` (also
   * `StorageUnavailable`), and the abort reason of a worker shutdown.
   */
  async run(
    provider: Provider,
    prepare: (attemptIndex: number) => Promise<TakeRequest>,
    { isLast }: { readonly isLast: boolean },
  ): Promise<AttemptOutcome> {
    const { log } = this;
    const kept = await this.#findKeptTake(provider);
    if (kept) return { type: 'made', take: kept };
    const admission = await this.#admit(provider);
    if (admission.type === 'waiting') return admission;
    if (admission.type === 'rejected') {
      const { retryAtMs } = admission;
      const { latestProbeMs = -Infinity } = this.#context;
      if (isLast && retryAtMs !== null && retryAtMs <= latestProbeMs)
        return { type: 'waiting', untilMs: retryAtMs, waitsForProbe: true };
      await log.addRejected(provider, admission.error);
      return { type: 'failed', error: admission.error };
    }
    if (log.findResumable(provider)) {
      const canResume = log.current.isStopSent !== true && (await this.#context.admission.resume(this.#reference()));
      if (!canResume) return { type: 'failed', error: await this.#endInterrupted([provider]) };
    } else if (log.isRunning) await this.#endInterrupted([provider]);
    await log.begin(provider);
    let progress: AttemptProgress;
    try {
      const index = log.attempts.length - 1;
      progress = await this.#traceWork(provider, () => prepare(index));
    } catch (thrown) {
      const error = toAttemptError(thrown, provider, this.#context.signal);
      await this.#endFailed(provider, error);
      return { type: 'failed', error };
    }
    return progress.type === 'waiting'
      ? progress
      : { type: 'made', take: await this.#endMade(provider, progress.take) };
  }

  /** Ends whatever an earlier run left running or waiting, because the job ends with `reason`. */
  async abandon(providers: readonly Provider[], reason: LipsyncError): Promise<void> {
    await this.#context.requireCurrentRun?.();
    for (const provider of providers) {
      const resumable = this.log.findResumable(provider);
      if (resumable && !isFinished(resumable)) await this.#endFailed(provider, reason);
      else await this.#context.admission.releaseUnusedSlot(provider, this.#context.jobId);
    }
    if (this.log.isRunning) await this.#endInterrupted(providers, reason);
  }

  /** A running operation needs no slot of its own: it is resumed however many others run. */
  async #admit(provider: Provider): Promise<AdmissionDecision> {
    const context = this.#context;
    const resumable = this.log.findResumable(provider);
    if (!resumable) return context.admission.admit(provider, context);
    return resumable.operation ? { type: 'admitted' } : context.admission.readmit(provider, context);
  }

  /** A remote attempt may take several runs of the job, each with a span of its own. */
  async #traceWork(provider: Provider, prepare: () => Promise<TakeRequest>): Promise<AttemptProgress> {
    const attributes = { 'lipsync.provider': provider.facts.id, 'lipsync.attempt': this.log.index };
    return traced(`attempt ${provider.facts.id}`, { attributes }, async () => {
      try {
        const progress = await this.#work(provider, prepare);
        annotateSpan({ 'lipsync.outcome': progress.type });
        return progress;
      } finally {
        annotateSpan({ 'lipsync.cost_usd': microsToUsdOrNull(this.log.current.costMicros) });
      }
    });
  }

  async #work(provider: Provider, prepare: () => Promise<TakeRequest>): Promise<AttemptProgress> {
    const context = this.#context;
    switch (provider.kind) {
      case 'inline':
        await this.#reserveLocalCost(provider);
        return { type: 'made', take: await this.#makeInline(provider, await prepare()) };
      case 'remote':
        return advanceRemote({
          provider,
          prepare,
          context,
          log: this.log,
          maxCostMicros: context.maxCostMicros,
          admission: context.admission,
          clock: context.clock,
          reference: this.#reference(),
        });
    }
  }

  #makeInline(provider: InlineProvider, request: TakeRequest): Promise<Take> {
    const { takeMaker } = this.#context;
    return takeMaker ? takeMaker.make(provider, request, this.#context) : provider.run(request, this.#context);
  }

  async #reserveLocalCost(provider: InlineProvider): Promise<void> {
    const { localPrice, maxCostMicros, admission, requireCurrentRun } = this.#context;
    if (!localPrice) return;
    const micros = await localPrice.quote(provider.facts.id);
    await requireCurrentRun?.();
    await admission.reserve(provider, this.#reference(), micros, remainingMicros(this.log.attempts, maxCostMicros));
  }

  /** Computing on our machines costs the time that it took, whatever its outcome. */
  #localCostMicros({ kind }: Provider, workElsewhereMs = 0): number {
    const { clock, localPrice } = this.#context;
    if (kind === 'remote' || !localPrice) return 0;
    const workMs = clock.nowMs() - this.log.current.startedAtMs + workElsewhereMs;
    return localCostMicros(workMs, localPrice.microsPerHour);
  }

  async #endMade(provider: Provider, take: Take): Promise<Take> {
    const costMicros = take.costMicros + this.#localCostMicros(provider, take.workElsewhereMs);
    // First: a crash then repeats the work only if the take is lost.
    const kept = await this.#context.takes?.keep(take, { provider, index: this.log.index });
    await this.#finish(provider, {
      error: null,
      costMicros,
      operation: this.log.current.operation,
      request: null,
      stop: 'none',
    });
    const end = { outcome: 'succeeded', code: null, message: null, costMicros } as const;
    const { modelPrecision } = take;
    await this.log.end({ ...end, ...(modelPrecision && { modelPrecision }), ...(kept && { take: kept.facts }) });
    return { ...take, path: kept?.path ?? take.path, costMicros };
  }

  /** The take that an earlier run made, if it is still there. */
  async #findKeptTake({ facts }: Provider): Promise<Take | undefined> {
    const last = this.log.attempts.at(-1);
    if (last?.provider !== facts.id || last.outcome !== 'succeeded' || !last.take) return undefined;
    const path = await this.#context.takes?.find(this.log.index);
    return path === undefined ? undefined : { path, warnings: last.take.warnings, costMicros: last.costMicros ?? 0 };
  }

  /** The ledger is updated before the record. A crash in between repeats the update, which then changes nothing. */
  async #endFailed(provider: Provider, error: LipsyncError): Promise<void> {
    const { log } = this;
    if (provider.kind === 'remote' && error.code === 'canceled') await this.#cancelOperation(provider);
    const { operation, costMicros: billedMicros } = log.current;
    const request = unacknowledgedRequest(log.current);
    // Without a reservation, no work was done.
    const workMicros = error.code === 'budget_exceeded' ? 0 : this.#localCostMicros(provider);
    const costMicros = operation || request ? billedMicros : workMicros;
    const stop = stopAfter(log.current, error);
    await this.#finish(provider, { error, costMicros, operation, request, stop });
    const outcome = error.code === 'canceled' ? 'canceled' : 'failed';
    await log.end({ outcome, code: error.code, message: error.message, costMicros });
  }

  /**
   * Ends an attempt that an earlier run left running and that cannot be resumed: its worker computed it, its provider
   * is not among `providers`, or it is already being settled. A remote operation leaves a pending settlement.
   */
  async #endInterrupted(providers: readonly Provider[], reason?: LipsyncError): Promise<LipsyncError> {
    const { log } = this;
    const { provider: id, operation, costMicros: billedMicros, isStopSent } = log.current;
    const message = isStopSent
      ? 'The job was canceled during this attempt, which is not resumed.'
      : 'The worker crashed during this attempt, which was not resumed.';
    const error = new LipsyncError('worker_crashed', message);
    const request = unacknowledgedRequest(log.current);
    // Local work is charged at its end. How long this attempt worked is unknown, so its reservation is released.
    const costMicros = operation || request ? billedMicros : 0;
    const kind = providers.find(({ facts }) => facts.id === id)?.kind ?? 'remote';
    await this.#finish(
      { kind, facts: { id } },
      {
        error,
        costMicros,
        operation,
        request,
        stop: stopAfter(log.current, reason),
      },
    );
    await log.end({ outcome: 'failed', code: error.code, message: error.message, costMicros });
    return error;
  }

  /** The ledger is not fenced by run: a superseded run would release what the attempt of the later run has reserved. */
  async #finish(provider: ProviderIdentity, ending: AttemptEnding): Promise<void> {
    await this.#context.requireCurrentRun?.();
    await this.#context.admission.finish(provider, this.#reference(), ending);
  }

  /** The job's signal is already aborted, so the cancel has a time limit of its own. */
  async #cancelOperation(provider: RemoteProvider): Promise<void> {
    const { log } = this;
    const { operation, costMicros, isStopSent } = log.current;
    if (!operation) return;
    // A vendor that does not answer leaves a pending settlement and is called again later.
    await cancelOperation(provider, operation, {
      knownMicros: costMicros,
      wasSent: isStopSent === true,
      signal: AbortSignal.timeout(cancelTimeoutMs),
      onSend: () => log.markStopSent(),
      book: (micros) => log.setCost(micros),
    });
  }

  #reference(): AttemptReference {
    const { jobId, payer } = this.#context;
    return { jobId, ...payer, index: this.log.index, startedAtMs: this.log.current.startedAtMs };
  }
}

/** Whether an attempt is settled and its take is kept, so that nothing of it is left to end. */
function isFinished({ outcome, take }: Attempt): boolean {
  return outcome === 'succeeded' && take !== undefined;
}

/** How the operation of an attempt that ends with `reason` is stopped later, if its cost is still unknown. */
function stopAfter({ operation, isStopSent }: Attempt, reason: LipsyncError | undefined): OperationStop {
  if (!operation) return 'none';
  if (isStopSent) return 'sent';
  return reason?.code === 'canceled' ? 'due' : 'none';
}

/** Whether an error fails an attempt, which is then charged; others leave the attempt to another run. */
export function isAttemptFailure(thrown: unknown, signal: AbortSignal): boolean {
  return !(thrown instanceof StoreFailure || isShutdown(signal));
}

/** The error of the attempt. Throws errors that are no failure of the attempt. */
function toAttemptError(thrown: unknown, provider: Provider, signal: AbortSignal): LipsyncError {
  if (!isAttemptFailure(thrown, signal)) throw thrown;
  return signal.aborted ? abortError(signal) : withProvider(toLipsyncError(thrown), provider);
}

/** A worker that shuts down leaves its attempt to another worker. Cancels and deadlines abort with a `LipsyncError`. */
function isShutdown(signal: AbortSignal): boolean {
  return signal.aborted && !LipsyncError.isInstance(signal.reason);
}

/** Adds the provider to an error that is limited to it. Errors of the request and timeouts stay as they are. */
function withProvider(error: LipsyncError, { facts }: Provider): LipsyncError {
  if (errorPolicies[error.code].decision === 'fail' || error instanceof TimeoutError) return error;
  return new ProviderError(error.code, error.message, { provider: facts.id, cause: error });
}
