import type { LipsyncError } from '../errors/index.ts';
import type { Attempt } from '../providers/attempt.ts';
import { AttemptRecorder, appendForRun, requireCurrentRun } from './attempt-recorder.ts';
import { checkConsent } from './consent-check.ts';
import { requireInput } from './input-fetcher.ts';
import { cappedBatchOf } from './batch-record.ts';
import type { JobEvent } from './job-events.ts';
import type { JobHandler, JobRun, RunStore } from './job-handler.ts';
import { firstAttemptOf, type JobRecord } from './job-record.ts';
import { acceptedAtMs } from './job-retry.ts';
import type { LipsyncPipeline, PipelineOutcome } from './lipsync-pipeline.ts';
import type { FetchedInputs } from './pipeline-types.ts';
import type { ResultCache } from './result-cache.ts';
import type { SegmentBoard } from './segments/segment-board.ts';
import { annotateSpan } from '../tracing/spans.ts';
import { failStore } from '../storage/store-failure.ts';
import { isAccepted, TakePublisher, type TakePublisherOptions } from './take-publisher.ts';

export interface LipsyncHandlerOptions extends TakePublisherOptions {
  readonly pipeline: Pick<LipsyncPipeline, 'run' | 'abandon'>;
  /** Limit for canceling remote work of a job that ends without a run; none by default. */
  readonly abandonTimeoutMs?: number;
  /** Whether a job without a consent is refused; by default not. */
  readonly consentRequired?: boolean;
  /** Where the segments of takes are kept until their job ends; none are made without it. */
  readonly segments?: Pick<SegmentBoard, 'remove'> | undefined;
  /** Results of equal jobs; none is reused without it. */
  readonly results?: ResultCache;
}

/** How long after its acceptance a job without a deadline waits for the circuit breaker of its only provider. */
const maxProbeWaitMs = 15 * 60_000;

/** After this time, a job makes its result itself although an equal job still makes it. */
const maxResultWaitMs = 3_600_000;
/** The end of the equal job wakes the waiting one; the poll covers a wake-up that is lost. */
const resultPollIntervalMs = 30_000;

/** Runs lip-sync jobs: makes a take and publishes it. */
export class LipsyncHandler implements JobHandler<'lipsync'> {
  readonly #options: LipsyncHandlerOptions;
  readonly #takes: TakePublisher;

  constructor(options: LipsyncHandlerOptions) {
    this.#options = options;
    this.#takes = new TakePublisher(options);
  }

  /** A consent counts until the first attempt begins: work that has begun, and may be paid for, is finished. */
  async run(run: JobRun<'lipsync'>): Promise<JobEvent> {
    const { clock, consentRequired: isRequired = false } = this.#options;
    if (!hasBegun(run.record)) checkConsent(run.record.spec.options, { isRequired, nowMs: clock.nowMs() });
    const shared = await this.#shareResult(run.record);
    if (shared) return shared;
    const event = await this.#makeTake(run);
    const { engineVersion } = this.#options.results ?? {};
    annotateSpan({ 'lipsync.model.version': engineVersion });
    return event.type === 'completed' && engineVersion !== undefined ? { ...event, engineVersion } : event;
  }

  /**
   * Returns the event that completes a job with the result of an equal one, or parks it until that has ended. Undefined
   * once the job has begun itself.
   */
  async #shareResult(record: JobRecord<'lipsync'>): Promise<JobEvent | undefined> {
    const { clock, results } = this.#options;
    if (!results || hasBegun(record) || record.spec.options.cache === false) return undefined;
    const claim = await results.claim(record).catch(failStore);
    const { runs: run, startedAtMs, deadlineAtMs } = record;
    const nowMs = clock.nowMs();
    switch (claim.type) {
      case 'reused':
        return { type: 'completed', run, atMs: nowMs, result: claim.result, warnings: claim.warnings };
      case 'waiting': {
        if (nowMs - (startedAtMs ?? nowMs) >= maxResultWaitMs) return undefined;
        const untilMs = Math.min(nowMs + resultPollIntervalMs, deadlineAtMs ?? Infinity);
        const message = 'Waiting for the result of an equal job.';
        return { type: 'parked', run, untilMs, message, waitsForResult: claim.jobId };
      }
      case 'render':
        return undefined;
    }
  }

  async #makeTake(run: JobRun<'lipsync'>): Promise<JobEvent> {
    const { record, context, store, storage, stop } = run;
    const { id: jobId, owner, spec, runs } = record;
    const published = await this.#takes.publishKept(run);
    if (published) return published;
    if (!isAccepted(record)) await storage.check();
    const attempts = new AttemptRecorder(record, { store, logger: this.#options.logger });
    const outcome = await this.#options.pipeline.run(
      {
        jobId,
        owner,
        batch: cappedBatchOf(record),
        options: spec.options,
        workspace: run.workspace,
        fetchInputs: () => fetchInputs(run),
      },
      {
        signal: run.signal,
        trace: { requestId: record.requestId, traceparent: record.traceparent },
        canRun: (kind) => context.canRun(kind),
        run: runs,
        earlierAttempts: record.attempts,
        firstAttempt: firstAttemptOf(record),
        keptTakes: this.#takes.keptTakesOf(run),
        latestProbeMs: record.deadlineAtMs ?? acceptedAtMs(record) + maxProbeWaitMs,
        wasInterrupted: record.wasInterrupted === true,
        plan: record.plan,
        outputMs: record.outputMs,
        onProgress: (progress) => run.report(progress),
        checkStorage: () => storage.check(),
        requireCurrentRun: () => requireCurrentRun(store, record),
        savePlan: async (plan, outputMs) =>
          stop.update(await appendForRun(store, record, { type: 'planned', run: runs, plan, outputMs })),
        saveAttempts: async (changed) => stop.update(await attempts.save(changed)),
        saveExpectation: async (atMs) =>
          stop.update(await appendForRun(store, record, { type: 'expected', run: runs, atMs })),
      },
    );
    return this.#toEvent(outcome, run, attempts);
  }

  /**
   * Closes the open attempt of a job that ends. A canceled job stops its operation; any other reason leaves the operation
   * running, because it may still be billed, and records a pending settlement.
   */
  abandon(
    record: JobRecord<'lipsync'>,
    reason: LipsyncError,
    { store, signal }: { readonly store: RunStore; readonly signal: AbortSignal },
  ): Promise<void> {
    const { id: jobId, owner, spec, attempts: earlierAttempts } = record;
    const { abandonTimeoutMs, logger, pipeline } = this.#options;
    const attempts = new AttemptRecorder(record, { store, logger });
    const limit = abandonTimeoutMs === undefined ? [] : [AbortSignal.timeout(abandonTimeoutMs)];
    return pipeline.abandon({ jobId, owner, batch: cappedBatchOf(record), options: spec.options }, reason, {
      signal: AbortSignal.any([signal, ...limit]),
      earlierAttempts,
      saveAttempts: async (changed) => void (await attempts.save(changed)),
      requireCurrentRun: () => requireCurrentRun(store, record),
    });
  }

  salvage(run: Pick<JobRun<'lipsync'>, 'record' | 'context' | 'store'>): Promise<JobEvent | undefined> {
    return this.#takes.publishFinished(run);
  }

  async removeKept(record: JobRecord<'lipsync'>): Promise<void> {
    const { logger, segments } = this.#options;
    await this.#takes.remove(record);
    // What remains is deleted with the job.
    await segments
      ?.remove(record.id, { run: record.runs })
      .catch((error: unknown) => logger.warn({ jobId: record.id, error }, 'segments of an ended job remain'));
  }

  async #toEvent(outcome: PipelineOutcome, run: JobRun<'lipsync'>, attempts: AttemptRecorder): Promise<JobEvent> {
    const { runs, deadlineAtMs } = run.record;
    switch (outcome.type) {
      case 'waiting': {
        const untilMs = Math.min(outcome.untilMs, deadlineAtMs ?? Infinity);
        if (!outcome.waitsForProbe)
          return { type: 'parked', run: runs, untilMs, message: waitingMessage(attempts.latest) };
        const message = 'Waiting until the provider recovers from repeated failures.';
        return { type: 'parked', run: runs, untilMs, message, waitsForProbe: true };
      }
      case 'elsewhere':
        return { type: 'transferred', run: runs, needs: outcome.needs };
      case 'made':
        run.report({ stage: 'publishing', fraction: 0 });
        return this.#takes.publish(outcome, run);
    }
  }
}

function hasBegun(record: JobRecord<'lipsync'>): boolean {
  return record.attempts.length > firstAttemptOf(record) || record.keptTake !== undefined;
}

async function fetchInputs(run: JobRun<'lipsync'>): Promise<FetchedInputs> {
  const files = await run.fetchInputs();
  const clip = requireInput(files, 'video');
  return { clipPath: clip.path, clipDigest: clip.digest, speechPath: requireInput(files, 'audio').path };
}

function waitingMessage(attempts: readonly Attempt[]): string {
  const last = attempts.at(-1);
  if (last?.outcome !== 'running') return 'Waiting for a slot at the provider.';
  if (last.costMicros !== null) return `${last.provider} has finished; the take is being fetched.`;
  return last.operation ? `${last.provider} is processing.` : `Waiting until ${last.provider} accepts the request.`;
}
