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

/** Called, and waited for, before a plan is followed. `outputMs` is null where it did not matter. */
type SavePlan = (plan: ExecutionPlan, outputMs: number | null) => Promise<void>;

export interface PlanContext {
  readonly savePlan: SavePlan;
  /** How long the output is going to be, from a look at the inputs. */
  measure(): Promise<number>;
}

/** What an earlier run planned. */
export interface EarlierPlan {
  readonly jobId: string;
  readonly plan: ExecutionPlan | null;
  readonly outputMs: number | null;
  readonly savePlan: SavePlan;
}

/**
 * Decides whom to try and in which order; looks at the inputs and the others' jobs only where the order hangs on them.
 * Throws `not_supported` as `planExecution` does, a `StoreFailure` when lines could not be looked up, and what `context` throws.
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
 * Asks anew for a job that stands in line since an earlier run and is to end soon: who would be done first as lines are now.
 * Undefined where that is whom it waits for, and where the line has no say. Throws as `makePlan` does.
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
