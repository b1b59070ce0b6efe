import { payerOf } from '../billing/ledger-entry.ts';
import { localCostMicros, usdToMicros } from '../billing/micros.ts';
import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import { toLipsyncError, type LipsyncError } from '../errors/index.ts';
import type { Fingerprint } from '../fingerprint/fingerprint.ts';
import type { MediaLimits, TakeEncoding } from '../media/index.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import type { Attempt } from '../providers/attempt.ts';
import type { Admission } from '../providers/admission.ts';
import type { ChainContext, LocalPrice, TakeStore } from '../providers/attempt-runner.ts';
import { abandonChain, runChain, type ChainOutcome } from '../providers/chain.ts';
import type { ActiveProviders } from '../providers/active-providers.ts';
import type { TakeMaker, TakeRequest } from '../providers/provider.ts';
import type { RunGuard } from '../providers/remote-attempt.ts';
import { expectedMs, type ExpectedOutput, type Forecast } from '../scheduling/completion-forecast.ts';
import {
  dependsOnOutlook,
  planExecution,
  type ExecutionPlan,
  type PlannedProvider,
} from '../scheduling/execution-plan.ts';
import { annotateSpan } from '../tracing/spans.ts';
import { failStorage, failStore } from '../storage/store-failure.ts';
import type { MadeOutcome, PipelineContext, PipelineInput, PipelineResult } from './pipeline-types.ts';
import type { LabelDefaults } from './output-labels.ts';
import { isSilent, PreparedInputs } from './prepared-inputs.ts';
import {
  deliverBestCandidate,
  describeTake,
  QualityGate,
  type GateRun,
  type QualityGateOptions,
} from './quality-gate.ts';

type PausedOutcome = Exclude<ChainOutcome, MadeOutcome>;

export type PipelineOutcome = PipelineResult | PausedOutcome;

export interface LipsyncPipelineOptions {
  readonly activeProviders: ActiveProviders;
  readonly renderPool: RenderPool;
  readonly admission: Admission;
  readonly forecast: Forecast;
  readonly limits: MediaLimits;
  /** Quality of takes that are encoded here; the default of `media/` without it. */
  readonly encoding?: TakeEncoding;
  /** The visible label of outputs whose request has none; none without it. */
  readonly label?: LabelDefaults;
  /** How takes are assessed; none is without it. */
  readonly quality?: QualityGateOptions;
  readonly clock: Clock;
  /** As in `ChainContext`. */
  readonly takeMaker?: TakeMaker;
  /** Cost of one hour of local work in micros; 0 by default. */
  readonly localMicrosPerHour?: number;
}

/** Makes a take from a clip and speech audio: probes, plans, analyzes the speech and runs the provider chain. */
export class LipsyncPipeline {
  readonly #options: LipsyncPipelineOptions;

  readonly #gate: QualityGate;

  constructor(options: LipsyncPipelineOptions) {
    this.#options = options;
    this.#gate = new QualityGate(options.quality ?? { trackCacheFolder: '', minSyncScore: null });
  }

  /**
   * Advances the job until its take is made or it must wait. Called again with the saved plan and attempts, it resumes.
   * Throws a `LipsyncError`. Leaves no files outside the workspace except caches.
   */
  async run(input: PipelineInput, context: PipelineContext): Promise<PipelineOutcome> {
    const inputs = new PreparedInputs(input, context, this.#options);
    const chainContext = { ...this.#chainContext(input, context), ...this.#localPrice(input, inputs) };
    const measureOutputMs = (): Promise<number> => inputs.durationMs();
    let plan =
      context.plan ?? (await makePlan(this.#options, input.options, { savePlan: context.savePlan, measureOutputMs }));
    if (context.earlierAttempts.length === (context.firstAttempt ?? 0)) {
      let start = await this.#admitBeforePreparing(plan, inputs, chainContext);
      const fasterPlan =
        start.type === 'waiting'
          ? await findFasterPlan(this.#options, input.options, { ...context, jobId: input.jobId })
          : undefined;
      if (fasterPlan) {
        await this.#stopWaiting(plan, input.jobId, context);
        await context.savePlan(fasterPlan, context.outputMs);
        plan = fasterPlan;
        start = await this.#admitBeforePreparing(plan, inputs, chainContext);
      }
      if (start.type === 'silent') return this.#gate.rate(await inputs.passThrough(), { input, inputs, context });
      if (start.type !== 'ready') return start;
    }
    return this.#makeTake({ input, inputs, context }, { ...chainContext, plan });
  }

  /** Tries providers until a take is accepted. Delivers the best rejected one when none is left, or in time. */
  async #makeTake(run: GateRun, chainContext: ChainContext & { plan: ExecutionPlan }): Promise<PipelineOutcome> {
    const { input, inputs, context } = run;
    let attempts = context.earlierAttempts;
    const fingerprints = new Map<number, Fingerprint>();
    const saveAttempts: PipelineContext['saveAttempts'] = async (changed) => {
      const begins = changed.length > attempts.length && changed.at(-1)?.outcome === 'running';
      attempts = changed;
      await context.saveAttempts(changed);
      if (begins) await this.#saveExpectation(run, changed.at(-1));
    };
    const prepare = (index: number): Promise<TakeRequest> => inputs.takeRequest(index);
    // Unless a take is assessed, it is published at once.
    const takes = this.#options.quality?.assessor ? { takes: toTakeStore(run) } : {};
    try {
      const providers = this.#options.activeProviders.chainOf(chainContext.plan);
      for (;;) {
        const earlierAttempts = attempts;
        const outcome = await runChain(providers, prepare, {
          ...chainContext,
          earlierAttempts,
          saveAttempts,
          ...takes,
        });
        if (outcome.type !== 'made') return outcome;
        if (isRepresentative({ ...context, earlierAttempts }))
          await this.#recordThroughput(input, outcome, await inputs.durationMs());
        const judged = await this.#gate.judge(outcome, { ...run, context: { ...context, saveAttempts } });
        if (judged.type === 'made') return judged;
        if (judged.fingerprint) fingerprints.set(attempts.length - 1, judged.fingerprint);
      }
    } catch (error) {
      const best = await deliverBestCandidate(error, attempts, { ...context, fingerprints });
      // For example the attempt of a provider that is no longer configured: its money is still reserved.
      if (attempts.at(-1)?.outcome === 'running')
        await this.abandon(input, toLipsyncError(error), { ...context, earlierAttempts: attempts, saveAttempts });
      return best;
    }
  }

  /** Closes the open attempt and releases the slots of a job that ends with `reason`; only a cancel stops its operation. */
  abandon(
    input: Pick<PipelineInput, 'jobId' | 'owner' | 'batch' | 'options'>,
    reason: LipsyncError,
    context: Pick<PipelineContext, 'signal' | 'earlierAttempts' | 'saveAttempts' | 'requireCurrentRun'>,
  ): Promise<void> {
    // All providers, because the current plan may no longer contain the one that started.
    const { all } = this.#options.activeProviders;
    const chainContext = this.#chainContext(input, { ...context, canRun: () => true, onProgress: () => undefined });
    return abandonChain(all, reason, chainContext);
  }

  /**
   * Awaited before the first attempt, and again when a waiting job switches providers. Acquires a slot before the
   * inputs are fetched, because many jobs may wait for one, and checks whether the speech is silent.
   */
  async #admitBeforePreparing(
    plan: ExecutionPlan,
    inputs: PreparedInputs,
    { admission, canRun, ...job }: ChainContext,
  ): Promise<PausedOutcome | { readonly type: 'silent' } | { readonly type: 'ready' }> {
    const [first] = this.#options.activeProviders.chainOf(plan);
    if (!first) return { type: 'ready' };
    if (!canRun(first.kind)) return { type: 'elsewhere', needs: first.kind };
    const slot = await admission.admit(first, job);
    if (slot.type === 'waiting') return slot;
    let silent = true;
    try {
      silent = isSilent(await inputs.speechReport());
    } finally {
      if (silent) {
        await job.requireCurrentRun?.();
        await admission.releaseUnusedSlot(first, job.jobId);
      }
    }
    return silent ? { type: 'silent' } : { type: 'ready' };
  }

  /** Called before the new plan is saved, because no later run stops waiting at a provider that the plan has left. */
  async #stopWaiting(plan: ExecutionPlan, jobId: string, context: RunGuard): Promise<void> {
    const [first] = this.#options.activeProviders.chainOf(plan);
    await context.requireCurrentRun?.();
    if (first) await this.#options.admission.releaseUnusedSlot(first, jobId);
  }

  #chainContext(
    { jobId, owner, batch, options }: Pick<PipelineInput, 'jobId' | 'owner' | 'batch' | 'options'>,
    context: Pick<
      PipelineContext,
      | 'signal'
      | 'trace'
      | 'earlierAttempts'
      | 'saveAttempts'
      | 'checkStorage'
      | 'canRun'
      | 'onProgress'
      | 'requireCurrentRun'
    > &
      Partial<Pick<PipelineContext, 'firstAttempt' | 'latestProbeMs' | 'run'>>,
  ): ChainContext {
    const { admission, clock, takeMaker } = this.#options;
    const { priority, userId, maxCostUsd } = options;
    const maxCostMicros = maxCostUsd === undefined ? null : usdToMicros(maxCostUsd);
    const payer = payerOf(owner, userId, batch);
    return { ...context, jobId, priority, payer, maxCostMicros, admission, clock, ...(takeMaker && { takeMaker }) };
  }

  #localPrice({ options }: PipelineInput, inputs: PreparedInputs): { readonly localPrice?: LocalPrice } {
    const { forecast, localMicrosPerHour: microsPerHour = 0 } = this.#options;
    if (microsPerHour === 0) return {};
    const quote = async (id: ProviderId): Promise<number> => {
      const durationMs = await inputs.durationMs();
      const expectations = await forecast.expect({ durationMs, options }).catch(failStore);
      return localCostMicros(expectations.find(({ provider }) => provider === id)?.workMs ?? 0, microsPerHour);
    };
    return { localPrice: { microsPerHour, quote } };
  }

  /** Best effort: a forecast that cannot be read must not fail the job. Inputs that cannot be probed fail it later. */
  async #saveExpectation({ input, inputs, context }: GateRun, attempt: Attempt | undefined): Promise<void> {
    const { clock, forecast } = this.#options;
    const expectations = await inputs
      .durationMs()
      .then((durationMs) => forecast.expect({ durationMs, options: input.options }))
      .catch(() => []);
    const workMs = expectations.find(({ provider }) => provider === attempt?.provider)?.workMs;
    if (workMs !== undefined) await context.saveExpectation?.(clock.nowMs() + workMs);
  }

  /** Best effort: a failed write must not fail the job. */
  async #recordThroughput(
    { options }: PipelineInput,
    { provider, attempts, take }: MadeOutcome,
    durationMs: number,
  ): Promise<void> {
    const { startedAtMs, endedAtMs } = attempts.at(-1) ?? { startedAtMs: 0, endedAtMs: null };
    // The time of reused segments is not in that of the attempt.
    if (endedAtMs === null || take.reusesSegments) return;
    annotateSpan({ 'lipsync.real_time_factor': (endedAtMs - startedAtMs) / durationMs });
    const output = { provider: provider.facts.id, options, durationMs };
    const workMs = endedAtMs - startedAtMs + (take.workElsewhereMs ?? 0);
    await this.#options.forecast.record(output, workMs).catch(() => undefined);
  }
}

/** False after a crash, and if the take came from an earlier run: its duration was recorded then. */
function isRepresentative({ wasInterrupted, earlierAttempts }: PipelineContext): boolean {
  return !wasInterrupted && earlierAttempts.at(-1)?.outcome !== 'succeeded';
}

/** The kept takes of a job, as the provider chain uses them. */
function toTakeStore({ inputs, context: { keptTakes } }: GateRun): TakeStore {
  return {
    async keep(take, { provider, index }) {
      const facts = await describeTake({ provider, take }, inputs);
      const path = await keptTakes.keep(take.path, index).catch(() => undefined);
      return path === undefined ? undefined : { path, facts };
    },
    find: (index) => keptTakes.find(index).catch(failStorage),
  };
}

type PlanOptions = Pick<LipsyncPipelineOptions, 'activeProviders' | 'forecast'>;

/** Stores a plan before it is executed. `outputMs`: planned output duration; null if not measured. */
type SavePlan = (plan: ExecutionPlan, outputMs: number | null) => Promise<void>;

interface PlanContext {
  readonly savePlan: SavePlan;
  /** Probes the inputs and returns the planned output duration. */
  measureOutputMs(): Promise<number>;
}

/** Plan of an earlier run. */
interface EarlierPlan {
  readonly jobId: string;
  readonly plan: ExecutionPlan | null;
  readonly outputMs: number | null;
}

/**
 * Decides provider order. Probes inputs and queue lengths only if the order depends on them. Throws `not_supported`,
 * the errors of probing and saving, and a `StoreFailure` if the forecast cannot be read.
 */
async function makePlan(
  dependencies: PlanOptions,
  options: LipsyncOptions,
  { measureOutputMs, savePlan }: PlanContext,
): Promise<ExecutionPlan> {
  const usable = plannedProviders(dependencies);
  const outputMs = dependsOnOutlook(usable, options) ? await measureOutputMs() : null;
  const plan =
    outputMs === null
      ? planExecution(usable, options)
      : await planByOutlook(dependencies, options, { durationMs: outputMs });
  await savePlan(plan, outputMs);
  return plan;
}

/**
 * Re-plans a waiting `speed` job with current queue lengths; undefined if the first provider is unchanged. Throws a
 * `StoreFailure` if the forecast cannot be read.
 */
async function findFasterPlan(
  dependencies: PlanOptions,
  options: LipsyncOptions,
  { jobId, plan, outputMs }: EarlierPlan,
): Promise<ExecutionPlan | undefined> {
  if (plan === null || outputMs === null || options.optimize !== 'speed') return undefined;
  const fasterPlan = await planByOutlook(dependencies, options, { durationMs: outputMs, waitingJobId: jobId });
  return fasterPlan[0]?.provider === plan[0]?.provider ? undefined : fasterPlan;
}

async function planByOutlook(
  dependencies: PlanOptions,
  options: LipsyncOptions,
  output: Omit<ExpectedOutput, 'options'>,
): Promise<ExecutionPlan> {
  const expectations = await dependencies.forecast.expect({ ...output, options }).catch(failStore);
  const expected = new Map(expectations.map((expectation) => [expectation.provider, expectedMs(expectation)]));
  return planExecution(plannedProviders(dependencies), options, {
    durationMs: output.durationMs,
    expectedMs: expected,
  });
}

function plannedProviders({ activeProviders }: PlanOptions): readonly PlannedProvider[] {
  return activeProviders.all.map(({ kind, facts: { id, degraded } }) => ({ kind, id, degraded }));
}
