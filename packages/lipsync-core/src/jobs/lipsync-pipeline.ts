import { localCostMicros, usdToMicros } from '../billing/micros.ts';
import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import type { Warning } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import type { MediaLimits, TakeEncoding } from '../media/index.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import type { Admission } from '../providers/admission.ts';
import type { ChainContext, LocalPrice } from '../providers/attempt-runner.ts';
import { abandonChain, runChain, type ChainOutcome } from '../providers/chain.ts';
import type { ActiveProviders } from '../providers/active-providers.ts';
import { expectedMs, type ExpectedOutput, type Forecast } from '../scheduling/completion-forecast.ts';
import {
  dependsOnOutlook,
  planExecution,
  type ExecutionPlan,
  type PlannedProvider,
} from '../scheduling/execution-plan.ts';
import type { TakeCheck } from '../quality/unchanged-lips/take-check.ts';
import { failStore, StoreFailure } from '../storage/store-failure.ts';
import type { PipelineContext, PipelineInput, PipelineResult } from './pipeline-types.ts';
import { isSilent, PreparedInputs } from './prepared-inputs.ts';

type MadeOutcome = Extract<ChainOutcome, { type: 'made' }>;
type PausedOutcome = Exclude<ChainOutcome, { type: 'made' }>;

export type PipelineOutcome = PipelineResult | PausedOutcome;

export interface LipsyncPipelineOptions {
  readonly activeProviders: ActiveProviders;
  readonly renderPool: RenderPool;
  readonly admission: Admission;
  readonly forecast: Forecast;
  readonly limits: MediaLimits;
  /** Quality of takes that are encoded here; the default of `media/` without it. */
  readonly encoding?: TakeEncoding;
  /** Inspects the takes of remote providers; none are inspected without it. */
  readonly takeCheck?: Pick<TakeCheck, 'run'>;
  readonly clock: Clock;
  /** Cost of one hour of local work in micros; 0 by default. */
  readonly localMicrosPerHour?: number;
}

/** Makes a take from a clip and speech audio: probes, plans, analyzes the speech and runs the provider chain. */
export class LipsyncPipeline {
  readonly #options: LipsyncPipelineOptions;

  constructor(options: LipsyncPipelineOptions) {
    this.#options = options;
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
    if (context.earlierAttempts.length === 0) {
      let start = await this.#admitBeforePreparing(plan, inputs, chainContext);
      const fasterPlan =
        start.type === 'waiting'
          ? await findFasterPlan(this.#options, input.options, { ...context, jobId: input.jobId })
          : undefined;
      if (fasterPlan) {
        await this.#stopWaiting(plan, input.jobId);
        await context.savePlan(fasterPlan, context.outputMs);
        plan = fasterPlan;
        start = await this.#admitBeforePreparing(plan, inputs, chainContext);
      }
      if (start.type === 'silent') return inputs.passThrough();
      if (start.type !== 'ready') return start;
    }
    const outcome = await runChain(
      this.#options.activeProviders.chainOf(plan),
      (attemptIndex) => inputs.takeRequest(attemptIndex),
      { ...chainContext, plan },
    );
    if (outcome.type !== 'made') return outcome;
    if (isRepresentative(context)) await this.#recordThroughput(input, outcome, await inputs.durationMs());
    return this.#toResult(outcome, inputs, await this.#checkTake(outcome, inputs, context));
  }

  /** Closes the open attempt and releases the slots of a job that ends with `reason`; only a cancel stops its operation. */
  abandon(
    input: Pick<PipelineInput, 'jobId' | 'owner' | 'options'>,
    reason: LipsyncError,
    context: Pick<PipelineContext, 'signal' | 'earlierAttempts' | 'saveAttempts'>,
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
      if (silent) await admission.releaseUnusedSlot(first, job.jobId);
    }
    return silent ? { type: 'silent' } : { type: 'ready' };
  }

  /** Called before the new plan is saved, because no later run stops waiting at a provider that the plan has left. */
  async #stopWaiting(plan: ExecutionPlan, jobId: string): Promise<void> {
    const [first] = this.#options.activeProviders.chainOf(plan);
    if (first) await this.#options.admission.releaseUnusedSlot(first, jobId);
  }

  #chainContext(
    { jobId, owner, options }: Pick<PipelineInput, 'jobId' | 'owner' | 'options'>,
    context: Pick<
      PipelineContext,
      'signal' | 'trace' | 'earlierAttempts' | 'saveAttempts' | 'checkStorage' | 'canRun' | 'onProgress'
    >,
  ): ChainContext {
    const { admission, clock } = this.#options;
    const { priority, userId, maxCostUsd } = options;
    const maxCostMicros = maxCostUsd === undefined ? null : usdToMicros(maxCostUsd);
    return { ...context, jobId, priority, user: owner ?? userId ?? null, maxCostMicros, admission, clock };
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

  /** Best effort: a failed write must not fail the job. */
  async #recordThroughput(
    { options }: PipelineInput,
    { provider, attempts }: MadeOutcome,
    durationMs: number,
  ): Promise<void> {
    const { startedAtMs, endedAtMs } = attempts.at(-1) ?? { startedAtMs: 0, endedAtMs: null };
    if (endedAtMs === null) return;
    const output = { provider: provider.facts.id, options, durationMs };
    await this.#options.forecast.record(output, endedAtMs - startedAtMs).catch(() => undefined);
  }

  /**
   * A local provider draws the lips itself. A deadline or a shutdown ends only the check, because the take is finished;
   * a cancel ends the job.
   */
  async #checkTake(
    { take, provider }: MadeOutcome,
    inputs: PreparedInputs,
    context: PipelineContext,
  ): Promise<readonly Warning[]> {
    const { takeCheck } = this.#options;
    if (provider.kind === 'inline' || !takeCheck) return [];
    const warnings = await takeCheck.run({ ...(await inputs.takeRequest(0)), takePath: take.path }, context);
    const { reason } = context.signal;
    if (reason instanceof StoreFailure || (LipsyncError.isInstance(reason) && reason.code === 'canceled')) throw reason;
    return warnings;
  }

  async #toResult(
    { take, provider }: MadeOutcome,
    inputs: PreparedInputs,
    takeWarnings: readonly Warning[],
  ): Promise<PipelineResult> {
    const { id, degraded } = provider.facts;
    return {
      type: 'made',
      takePath: take.path,
      methodUsed: id,
      degraded,
      durationMs: await inputs.durationMs(),
      warnings: [
        ...(await inputs.warnings()),
        ...(degraded ? [degradedWarning(id)] : []),
        ...take.warnings,
        ...takeWarnings,
      ],
    };
  }
}

/** False after a crash, and if the take came from an earlier run: its duration was recorded then. */
function isRepresentative({ wasInterrupted, earlierAttempts }: PipelineContext): boolean {
  return !wasInterrupted && earlierAttempts.at(-1)?.outcome !== 'succeeded';
}

function degradedWarning(id: ProviderId): Warning {
  return {
    code: 'degraded',
    message: `Rendered by the ${id} provider: for checking timing, not a final result.`,
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
