import type { LipsyncOptions } from '../contract/index.ts';
import { expectedMs, type ExpectedOutput, type Forecast } from '../scheduling/completion-forecast.ts';
import {
  dependsOnOutlook,
  planExecution,
  type PlannedProvider,
  type ExecutionPlan,
} from '../scheduling/execution-plan.ts';
import type { ProviderRegistry } from '../providers/provider-registry.ts';
import { failStore } from '../storage/store-failure.ts';

export interface PlanDependencies {
  readonly registry: ProviderRegistry;
  readonly forecast: Forecast;
}

/** Stores a plan before it is followed. `outputMs` is null if the plan does not depend on the length of the output. */
type SavePlan = (plan: ExecutionPlan, outputMs: number | null) => Promise<void>;

export interface PlanContext {
  readonly savePlan: SavePlan;
  /** Probes the inputs and returns the length of the output in milliseconds. */
  measure(): Promise<number>;
}

/** Plan of an earlier run. */
export interface EarlierPlan {
  readonly jobId: string;
  readonly plan: ExecutionPlan | null;
  readonly outputMs: number | null;
  readonly savePlan: SavePlan;
}

/**
 * Plans a job. Probes the inputs and forecasts completion times only if the order of the providers depends on them.
 * Throws `not_supported` as `planExecution`, a `StoreFailure` without a forecast, and what `context` throws.
 */
export async function makePlan(
  dependencies: PlanDependencies,
  options: LipsyncOptions,
  { measure, savePlan }: PlanContext,
): Promise<ExecutionPlan> {
  const usable = plannedProviders(dependencies);
  const outputMs = dependsOnOutlook(usable, options) ? await measure() : null;
  const plan =
    outputMs === null
      ? planExecution(usable, options)
      : await planByOutlook(dependencies, options, { durationMs: outputMs });
  await savePlan(plan, outputMs);
  return plan;
}

/**
 * Plans a job again that waits for a slot since an earlier run, if it optimizes for speed: another provider may now be
 * expected to finish first. Undefined if the job should keep waiting. Throws as `makePlan`.
 */
export async function findSooner(
  dependencies: PlanDependencies,
  options: LipsyncOptions,
  { jobId, plan, outputMs, savePlan }: EarlierPlan,
): Promise<ExecutionPlan | undefined> {
  if (plan === null || outputMs === null || options.optimize !== 'speed') return undefined;
  const sooner = await planByOutlook(dependencies, options, { durationMs: outputMs, waitingJobId: jobId });
  if (sooner[0]?.provider === plan[0]?.provider) return undefined;
  await savePlan(sooner, outputMs);
  return sooner;
}

async function planByOutlook(
  dependencies: PlanDependencies,
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

function plannedProviders({ registry }: PlanDependencies): readonly PlannedProvider[] {
  return registry.all.map(({ kind, facts: { id, degraded } }) => ({ kind, id, degraded }));
}
