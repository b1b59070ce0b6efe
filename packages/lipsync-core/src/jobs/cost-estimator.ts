import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import type { InstallationCap } from '../billing/budgets.ts';
import type { BudgetOutlook } from '../billing/budgets.ts';
import type { Clock } from '../contract/ports.ts';
import type { Payer } from '../billing/ledger-entry.ts';
import { localCostMicros, toMicros, usdToMicros } from '../billing/micros.ts';
import { expectedMs, type Expectation, type Forecast } from '../scheduling/completion-forecast.ts';
import { planExecution, type PlannedProvider, type ExecutionPlan } from '../scheduling/execution-plan.ts';

/** A provider whose price is known. */
export interface PricedProvider extends PlannedProvider {
  /** Maximum cost of an output in millionths of a dollar; null for a provider that costs the time it takes. Pure. */
  quote(durationMs: number, options: LipsyncOptions): number | null;
}

export interface EstimateRequest {
  readonly options: LipsyncOptions;
  /** Length of the output. */
  readonly durationMs: number;
  readonly payer: Payer;
}

export interface ProviderEstimate {
  readonly provider: ProviderId;
  /** Maximum cost for a provider with a price; cost of the expected time for one that costs time. */
  readonly costMicros: number;
  /** Time until the take, waiting included; null while the circuit breaker is open. */
  readonly expectedMs: number | null;
  /** Whether `expectedMs` comes from takes of this installation. */
  readonly isMeasured: boolean;
  /** The cap that excludes the provider: `max_cost_usd` of the request (`job`), or a budget; null for none. */
  readonly cap: InstallationCap | 'job' | null;
}

export interface Estimate {
  readonly durationMs: number;
  readonly plan: ExecutionPlan;
  /** First provider of the plan that neither a cap nor an open circuit breaker excludes; null for none. */
  readonly first: ProviderId | null;
  /** In the order of the plan. */
  readonly providers: readonly ProviderEstimate[];
}

export interface EstimatorOptions {
  /** Those that are configured, in the order of `auto`. */
  readonly providers: readonly PricedProvider[];
  readonly forecast: Forecast;
  readonly budget: BudgetOutlook;
  readonly clock: Clock;
  /** Cost of an hour of work on this machine, in millionths of a dollar. */
  readonly localMicrosPerHour: number;
  /** Throws the error with which a job with these options is refused. */
  checkOptions?(options: LipsyncOptions): void;
}

/** Computes plan, cost and completion time of a job without starting or reserving anything. */
export class Estimator {
  readonly #options: EstimatorOptions;

  constructor(options: EstimatorOptions) {
    this.#options = options;
  }

  /** Throws `not_supported` for a job that would be refused with it, and what the state store throws. */
  async estimate(request: EstimateRequest): Promise<Estimate> {
    const { providers, forecast } = this.#options;
    const { options, durationMs } = request;
    this.#options.checkOptions?.(options);
    const expectations = await forecast.expect({ durationMs, options });
    const plan = planExecution(providers, options, {
      durationMs,
      expectedMs: new Map(expectations.map((one) => [one.provider, expectedMs(one)])),
    });
    const estimates = await Promise.all(
      plan.flatMap(({ provider: id }) => {
        const provider = providers.find((candidate) => candidate.id === id);
        const expectation = expectations.find((candidate) => candidate.provider === id);
        return provider && expectation ? [this.#estimateProvider(request, provider, expectation)] : [];
      }),
    );
    const first = estimates.find(({ cap, expectedMs: ms }) => cap === null && ms !== null)?.provider ?? null;
    return { durationMs, plan, first, providers: estimates };
  }

  async #estimateProvider(
    request: EstimateRequest,
    provider: PricedProvider,
    expectation: Expectation,
  ): Promise<ProviderEstimate> {
    const costMicros =
      provider.quote(request.durationMs, request.options) ??
      localCostMicros(expectation.workMs, this.#options.localMicrosPerHour);
    return {
      provider: provider.id,
      costMicros,
      expectedMs: expectation.waitMs === null ? null : expectedMs(expectation),
      isMeasured: expectation.isMeasured,
      cap: costMicros > 0 ? await this.#findCap(request, costMicros) : null,
    };
  }

  async #findCap({ options, payer }: EstimateRequest, micros: number): Promise<ProviderEstimate['cap']> {
    const { budget, clock } = this.#options;
    if (options.maxCostUsd !== undefined && micros > usdToMicros(options.maxCostUsd)) return 'job';
    return budget.findExceededCap({ ...payer, atMs: clock.nowMs(), micros: toMicros(micros) });
  }
}
