import type { HeygenMode, LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { BlockingCap } from '../billing/budget-caps.ts';
import type { BudgetOutlook } from '../billing/budget-outlook.ts';
import type { Clock } from '../contract/ports.ts';
import { quotedMicros } from '../providers/heygen/heygen-prices.ts';
import { localCostMicros } from '../billing/local-price.ts';
import { expectedMs, type Expectation, type Forecast } from '../scheduling/completion-forecast.ts';
import { planProviders, type PlannedProvider, type ProviderPlan } from '../scheduling/execution-plan.ts';

/** A provider whose price is known. */
export interface PricedProvider extends PlannedProvider {
  /** Per second of output, in millionths of a dollar; null where the time that it takes is what costs. */
  readonly microsPerSecond: Readonly<Record<HeygenMode, number>> | null;
}

export interface EstimateRequest {
  readonly options: LipsyncOptions;
  /** Length of the output. */
  readonly durationMs: number;
  /** Who would pay, as in `AttemptReference`. */
  readonly user: string | null;
}

export interface ProviderEstimate {
  readonly provider: ProviderId;
  /** The most that it would cost, where it has a price; what its expected time would cost, where time is what costs. */
  readonly costMicros: number;
  /** Until the take is there, the line included; null while the provider is not asked. */
  readonly expectedMs: number | null;
  /** Whether that comes from takes of this installation. */
  readonly isMeasured: boolean;
  /** The cap that keeps it from being asked: `max_cost_usd` of the request, or a budget; null for none. */
  readonly cap: BlockingCap | 'job' | null;
}

export interface Estimate {
  readonly durationMs: number;
  readonly plan: ProviderPlan;
  /** Who would be asked as things stand: the first of the plan that neither cap nor breaker is in the way of; null for nobody. */
  readonly first: ProviderId | null;
  /** In the order of the plan. */
  readonly providers: readonly ProviderEstimate[];
}

/**
 * Tells what a job would come to. Nothing is begun and nothing held back. Throws `not_supported` as `planProviders` does,
 * and what the state store throws.
 */
export interface Estimator {
  estimate(request: EstimateRequest): Promise<Estimate>;
}

export interface EstimatorDependencies {
  /** Those that are configured, in the order of `auto`. */
  readonly providers: readonly PricedProvider[];
  readonly forecast: Forecast;
  readonly budget: BudgetOutlook;
  readonly clock: Clock;
  /** What an hour of work on this machine costs, in millionths of a dollar. */
  readonly localMicrosPerHour: number;
}

export function createEstimator(dependencies: EstimatorDependencies): Estimator {
  const { providers, forecast } = dependencies;
  return {
    async estimate(request) {
      const { options, durationMs } = request;
      const expectations = await forecast.expect({ durationMs, heygenMode: options.heygenMode });
      const plan = planProviders(providers, options, {
        durationMs,
        expectedMs: new Map(expectations.map((one) => [one.provider, expectedMs(one)])),
      });
      const estimates = await Promise.all(
        plan.flatMap((id) => {
          const provider = providers.find((candidate) => candidate.id === id);
          const expectation = expectations.find((candidate) => candidate.provider === id);
          return provider && expectation ? [estimateProvider(dependencies, request, provider, expectation)] : [];
        }),
      );
      const first = estimates.find(({ cap, expectedMs: ms }) => cap === null && ms !== null)?.provider ?? null;
      return { durationMs, plan, first, providers: estimates };
    },
  };
}

async function estimateProvider(
  dependencies: EstimatorDependencies,
  request: EstimateRequest,
  provider: PricedProvider,
  expectation: Expectation,
): Promise<ProviderEstimate> {
  const { options, durationMs } = request;
  const { id, microsPerSecond } = provider;
  const costMicros = microsPerSecond
    ? quotedMicros(durationMs, microsPerSecond[options.heygenMode])
    : localCostMicros(expectation.workMs, dependencies.localMicrosPerHour);
  return {
    provider: id,
    costMicros,
    expectedMs: expectation.waitMs === null ? null : expectedMs(expectation),
    isMeasured: expectation.isMeasured,
    cap: costMicros > 0 ? await capFor(dependencies, request, costMicros) : null,
  };
}

async function capFor(
  { budget, clock }: EstimatorDependencies,
  { options, user }: EstimateRequest,
  micros: number,
): Promise<ProviderEstimate['cap']> {
  if (options.maxCostUsd !== undefined && micros > Math.round(options.maxCostUsd * 1_000_000)) return 'job';
  return budget.capInTheWay({ user, atMs: clock.nowMs(), micros });
}
