import { join } from 'node:path';
import type { z } from 'zod';
import { BudgetOutlook } from '../billing/budgets.ts';
import type { CoreConfig } from '../config/core-config.ts';
import { cudaVisibleDevices, resolveSettingPath } from '../config/settings.ts';
import {
  createDocumentedOptions,
  createOptionsSchema,
  type LipsyncOptions,
  type LipsyncOptionsInput,
  type Method,
  type ProviderId,
} from '../contract/index.ts';
import type { ProviderKind } from '../contract/provider-types.ts';
import type { Clock } from '../contract/ports.ts';
import { systemClock } from '../contract/system-ports.ts';
import { LipsyncError } from '../errors/index.ts';
import { Estimator, type PricedProvider } from '../jobs/cost-estimator.ts';
import { undecidedStart, type JobStart } from '../jobs/job-record.ts';
import {
  readProviderOptions,
  type CallbackAttempt,
  type CallbackRequest,
  type ProviderFindings,
} from '../providers/definition.ts';
import { configureProviders, isReady, type InstalledProvider } from '../providers/registry.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createForecast, type Forecast, type ForecastProvider, type Load } from '../scheduling/completion-forecast.ts';
import { createConcurrencySlots, type ConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import {
  dependsOnOutlook,
  methodNotConfigured,
  planExecution,
  type PlanOptions,
} from '../scheduling/execution-plan.ts';
import { ThroughputEstimates } from '../scheduling/throughput-estimates.ts';
import type { StateStore } from '../storage/state-store.ts';

/** What decides which providers an installation has. */
export type ProviderConfig = Pick<CoreConfig, 'allowedPrivateHosts' | 'dataDir' | 'gpuEnabled' | 'providers'>;

/** What decides whether an installation measures a sync score. */
export type ScoringConfig = Pick<CoreConfig, 'qualityEnabled' | 'syncnetModelPath'>;

/** A provider as an installation has it. */
export interface ProviderStatus {
  readonly id: ProviderId;
  readonly kind: ProviderKind;
  readonly degraded: boolean;
  /** Name of the setting whose absence keeps the provider from being used; null when it is ready. */
  readonly missingSetting: string | null;
  /** Prices per second of output in millionths of a dollar; null for a provider that costs the time it takes. */
  readonly microsPerSecond: Readonly<Record<string, number>> | null;
  /** Path below which the vendor calls the API; null when it does not. */
  readonly callbackPath: string | null;
  /** Throws `resource_exhausted` when the state store is unavailable. */
  inspect(): Promise<ProviderFindings>;
  /** The attempt that a vendor's call is about; undefined unless the call is proven genuine. */
  verifyCallback(request: CallbackRequest): CallbackAttempt | undefined;
}

/** Every provider with its settings, in the order of `auto`, ready or not. */
export function listInstalled(config: ProviderConfig): readonly InstalledProvider[] {
  return configureProviders(config.providers, {
    allowedPrivateHosts: config.allowedPrivateHosts,
    gpuEnabled: config.gpuEnabled,
    cudaVisibleDevices: cudaVisibleDevices(),
    cacheFolder: join(config.dataDir, 'cache'),
    resolvePath: resolveSettingPath,
  });
}

/** The configured providers with their prices and throughput, in the order of `auto`. */
export function listUsable(config: ProviderConfig): readonly (PricedProvider & ForecastProvider)[] {
  return listReady(config).map(toPlannedProvider);
}

function listReady(config: ProviderConfig): readonly InstalledProvider[] {
  return listInstalled(config).filter(isReady);
}

const noFindings: ProviderFindings = Object.freeze({
  device: null,
  licence: null,
  modelPrecision: null,
  modelSuitsDevice: null,
  balanceMicros: null,
});

/** Every provider, in the order in which `auto` tries them. */
export function listProviders(
  config: ProviderConfig,
  { state }: { readonly state: StateStore },
): readonly ProviderStatus[] {
  return listInstalled(config).map(({ definition, configured }) => ({
    id: definition.id,
    kind: definition.kind,
    degraded: definition.facts.degraded,
    missingSetting: configured.missingSetting,
    microsPerSecond: configured.remote?.microsPerSecond ?? null,
    callbackPath: definition.callbackPath ?? null,
    inspect: async () => ({ ...noFindings, ...(await configured.inspect?.({ state })) }),
    verifyCallback: (request) => configured.verifyCallback?.(request),
  }));
}

/** Warnings about settings that work as they are, for the log at start. Throws `request_invalid` for others. */
export function settingWarnings(config: ProviderConfig): readonly string[] {
  return listInstalled(config).flatMap(({ configured }) => configured.listWarnings?.() ?? []);
}

/** The fields of those options, for documentation. */
export function documentedOptionsOf({ providers }: Pick<ProviderConfig, 'providers'>): z.ZodObject {
  return createDocumentedOptions(providers.map(({ definition }) => definition));
}

/** The schema of request options for an installation with these providers, ready or not. */
export function optionsSchemaOf({
  providers,
}: Pick<ProviderConfig, 'providers'>): z.ZodType<LipsyncOptions, LipsyncOptionsInput> {
  return createOptionsSchema(providers.map(({ definition }) => definition));
}

/**
 * Throws `not_supported` for the id of a provider that is not configured here. Ids of no provider pass: the schema
 * rejects them.
 */
export function checkMethod(method: Method, config: ProviderConfig): void {
  const isKnown = config.providers.some(({ definition }) => definition.id === method);
  const ready = listReady(config).map(({ definition }) => definition.id);
  if (isKnown && !ready.includes(method)) throw methodNotConfigured(method, ready);
}

/** Throws `not_supported` for a lowest sync score where none is measured. */
export function checkMinSyncScore({ minSyncScore }: Pick<LipsyncOptions, 'minSyncScore'>, config: ScoringConfig): void {
  const { qualityEnabled, syncnetModelPath } = config;
  if (minSyncScore === undefined || (qualityEnabled && syncnetModelPath !== null)) return;
  const missing = qualityEnabled ? 'set SYNCNET_MODEL_PATH' : 'set LIPSYNC_QUALITY to on';
  throw new LipsyncError('not_supported', `min_sync_score needs a sync score, which is not measured here: ${missing}.`);
}

/** Throws `not_supported` where no webhooks are sent. */
export function requireWebhooks({ webhookSecrets }: Pick<CoreConfig, 'webhookSecrets'>): void {
  if (webhookSecrets.length > 0) return;
  throw new LipsyncError('not_supported', 'webhook_url needs LIPSYNC_WEBHOOK_SECRETS, which is not set here.');
}

/** Throws `not_supported` for a webhook in a job that runs in the process of its caller. */
export function refuseWebhook({ webhookUrl }: Pick<LipsyncOptions, 'webhookUrl'>): void {
  if (webhookUrl === undefined) return;
  throw new LipsyncError('not_supported', 'A webhook needs a job of the HTTP API: this call ends with its job.');
}

/**
 * The part of a plan that does not depend on the inputs, for hosts that have the settings of the workers but render
 * nothing. Throws `not_supported` for a method that is not configured.
 */
export function planJob(options: PlanOptions, config: ProviderConfig): JobStart {
  const usable = listUsable(config);
  if (dependsOnOutlook(usable, options)) return undecidedStart;
  const plan = planExecution(usable, options);
  return { plan, needs: plan[0]?.kind ?? null };
}

function toPlannedProvider({ definition, configured }: InstalledProvider): PricedProvider & ForecastProvider {
  const { id, kind, facts } = definition;
  const optionsOf = ({ providerOptions }: LipsyncOptions) => readProviderOptions(definition, providerOptions);
  return {
    id,
    kind,
    degraded: facts.degraded,
    maxConcurrent: configured.remote?.maxConcurrent ?? null,
    throughput: (options) => definition.throughput(optionsOf(options)),
    quote: (durationMs, options) => configured.remote?.quote(durationMs, optionsOf(options)) ?? null,
  };
}

export interface ForecastHost {
  readonly state: StateStore;
  /** The system's clock by default. */
  readonly clock?: Clock;
  /** Concurrency slots of the installation; by default kept in `state`. */
  readonly slots?: ConcurrencySlots;
  /** Work that waits for or occupies this installation's own capacity; none by default. */
  load?(): Promise<Load>;
}

export function createInstallationForecast(
  config: ProviderConfig,
  { state, load, clock = systemClock, slots = createConcurrencySlots({ state, clock }) }: ForecastHost,
): Forecast {
  return createForecast({
    providers: listUsable(config),
    estimates: new ThroughputEstimates({ state, clock }),
    slots,
    breaker: new CircuitBreaker({ state, clock }),
    ...(load ? { load } : {}),
  });
}

/** How long an expectation stands for equal requests. */
const outlookLifetimeMs = 2_000;
const maxOutlooks = 100;

/** When a new job is expected to end. */
interface Outlook {
  readonly firstMs: number;
  /** What each job that is queued before it adds. */
  readonly perJobMs: number;
}

/** A number of jobs that occupies every provider. */
const manyJobs = 1_000;

/**
 * Expects when a new job ends that has `jobsAhead` others of its batch before it, from the queues and recent takes of its
 * first provider, or of the one that is done first with `optimize` = `speed`. Undefined while there are none, and for
 * `balanced`, where the length of the inputs decides. Requests with equal options share one look, so that it costs them
 * nothing.
 */
export function createCompletionOutlook(
  config: ProviderConfig,
  host: ForecastHost,
): (options: LipsyncOptions, jobsAhead?: number) => Promise<number | undefined> {
  const forecast = createInstallationForecast(config, host);
  const { clock = systemClock } = host;
  const outlooks = new Map<string, { readonly untilMs: number; readonly expected: Promise<Outlook | undefined> }>();
  const look = async (options: LipsyncOptions): Promise<Outlook | undefined> => {
    const candidates = listFirstProviders(options, config);
    // The length is not known yet; recent takes stand for it.
    const output = { options, durationMs: 0 };
    const later = await forecast.expect({ ...output, jobsAhead: manyJobs });
    const expected = (await forecast.expect(output)).flatMap(({ provider, isMeasured, waitMs, typicalMs }) => {
      const latest = later.find((other) => other.provider === provider)?.waitMs ?? null;
      if (!candidates.includes(provider) || !isMeasured || waitMs === null || latest === null) return [];
      return [{ firstMs: waitMs + typicalMs, perJobMs: (latest - waitMs) / manyJobs }];
    });
    // One without a measurement may be the first.
    if (expected.length < candidates.length) return undefined;
    return expected.toSorted((one, other) => one.firstMs - other.firstMs)[0];
  };
  return async (options, jobsAhead = 0) => {
    const { method, optimize, allowPreview, providerOptions } = options;
    const key = JSON.stringify([method, optimize, allowPreview, providerOptions]);
    const known = outlooks.get(key);
    const isCurrent = known !== undefined && known.untilMs > clock.nowMs();
    const expected = isCurrent ? known.expected : look(options).catch(() => undefined);
    if (!isCurrent) {
      if (outlooks.size >= maxOutlooks) outlooks.clear();
      outlooks.set(key, { untilMs: clock.nowMs() + outlookLifetimeMs, expected });
    }
    const outlook = await expected;
    return outlook && Math.round(outlook.firstMs + outlook.perJobMs * jobsAhead);
  };
}

/** The providers of which one is tried first; none where the inputs decide. */
function listFirstProviders(options: LipsyncOptions, config: ProviderConfig): readonly string[] {
  const { plan } = planJob(options, config);
  if (plan) return plan.slice(0, 1).map(({ provider }) => provider);
  if (options.optimize !== 'speed') return [];
  const ready = listUsable(config);
  return planExecution(ready, options)
    .map(({ provider }) => provider)
    .filter((id) => ready.some((provider) => provider.id === id && !provider.degraded));
}

/** For every host, also those that render nothing. */
export function createCostEstimator(config: CoreConfig, host: ForecastHost): Estimator {
  return new Estimator({
    providers: listUsable(config),
    forecast: createInstallationForecast(config, host),
    clock: host.clock ?? systemClock,
    localMicrosPerHour: config.gpuMicrosPerHour,
    checkOptions: (options) => checkMinSyncScore(options, config),
    budget: new BudgetOutlook({ state: host.state, caps: config.budget }),
  });
}
