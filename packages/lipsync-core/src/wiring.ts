import { join } from 'node:path';
import type { CoreConfig } from './config.ts';
import { cudaVisibleDevices } from './config/runtime-environment.ts';
import { providerIds, type HeygenMode, type Method, type ProviderId } from './contract/index.ts';
import { createLipsyncPipeline, type LipsyncPipeline } from './jobs/lipsync-pipeline.ts';
import { undecidedStart, type JobStart } from './jobs/job-record.ts';
import { createBudgetOutlook } from './billing/budget-outlook.ts';
import { createLedger, type Ledger } from './billing/ledger.ts';
import type { Clock } from './contract/ports.ts';
import { systemClock } from './contract/system-ports.ts';
import { parseAllowedHosts } from './net/index.ts';
import { createHeygenBalance } from './providers/heygen/heygen-balance.ts';
import { heygenCallbackUrl } from './providers/heygen/heygen-callback.ts';
import { parseHeygenEndpoint } from './providers/heygen/heygen-endpoint.ts';
import { createHeygenProvider, heygenFacts } from './providers/heygen/heygen-provider.ts';
import { createLastDevices, type LastDevices } from './providers/last-devices.ts';
import { createPendingSettlements, type LateCost } from './providers/pending-settlements.ts';
import { createPreviewProvider, previewFacts } from './providers/preview/preview-provider.ts';
import type { Provider, ProviderFacts } from './providers/provider.ts';
import { createEstimator, type Estimator } from './jobs/cost-estimator.ts';
import { createForecast, type Forecast, type Load } from './scheduling/completion-forecast.ts';
import { createThroughputEstimates } from './scheduling/throughput-estimates.ts';
import { dependsOnOutlook, methodNotConfigured, planProviders, type PlanOptions } from './scheduling/execution-plan.ts';
import { createProviderInspector, type ProviderInspector } from './providers/provider-findings.ts';
import { createProviderRegistry } from './providers/provider-registry.ts';
import { EnginePool } from './providers/wav2lip/engine/engine-pool.ts';
import { ConfiguredModel } from './providers/wav2lip/model/configured-model.ts';
import { createWav2LipProvider, wav2lipFacts } from './providers/wav2lip/wav2lip-provider.ts';
import { createSharedAdmission } from './jobs/shared-admission.ts';
import { RenderProcessPool, type RenderPool } from './processes/render-pool.ts';
import { createCircuitBreaker, type CircuitBreaker, type BreakerChange } from './scheduling/circuit-breaker.ts';
import { createConcurrencySlots, type ConcurrencySlots } from './scheduling/concurrency-slots.ts';
import type { StateStore } from './storage/state-store.ts';

const idleMs = 5 * 60_000;

/** The parts of the core that every host (worker, program, CLI) shares. */
export interface LipsyncCore {
  readonly pipeline: LipsyncPipeline;
  readonly ledger: Ledger;
  readonly breaker: CircuitBreaker;
  /** Settles what can be settled of operations that outlived their jobs. Returns how many. */
  reconcile(signal: AbortSignal): Promise<number>;
  /** Releases expired slots and slots of jobs that have ended, by `isGone`. Returns how many. */
  sweepSlots(isGone: (jobId: string) => Promise<boolean>): Promise<number>;
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Ends the render and engine processes, running tasks included. */
  close(): Promise<void>;
}

/** What decides which providers an installation has. */
export type ProviderConfig = Pick<CoreConfig, 'allowedPrivateHosts' | 'heygen' | 'wav2lip'>;

/** A provider as an installation sees it. */
export interface ProviderStatus extends ProviderFacts {
  readonly kind: Provider['kind'];
  /** Operations at once, over all machines; null for what computes here. */
  readonly maxConcurrent: number | null;
  /** The setting that it lacks; null when it is ready to be used. */
  readonly missingSetting: string | null;
  /** Prices per second of output by mode, in millionths of a dollar; null where the time that it takes is what costs. */
  readonly microsPerSecond: Readonly<Record<HeygenMode, number>> | null;
}

interface ProviderParts {
  readonly renderPool: RenderPool;
  readonly enginePool: EnginePool;
  readonly cacheFolder: string;
  /** As in `CoreHost`. */
  readonly callbackBaseUrl: string;
  readonly lastDevices: LastDevices;
}

/** How to build a provider here, or which setting it lacks. */
type Setup =
  | { readonly missingSetting: string }
  | { readonly missingSetting: null; build(parts: ProviderParts): Provider };

interface ProviderEntry {
  readonly facts: ProviderFacts;
  /** Of a remote provider alone. */
  maxConcurrent?(config: ProviderConfig): number;
  microsPerSecond?(config: ProviderConfig): Readonly<Record<HeygenMode, number>>;
  setUp(config: ProviderConfig): Setup;
}

/** Every provider that there is: what it is, what it needs, how it is built. */
const catalogue: Readonly<Partial<Record<ProviderId, ProviderEntry>>> = {
  heygen: {
    facts: heygenFacts,
    maxConcurrent: ({ heygen }) => heygen.maxConcurrent,
    microsPerSecond: ({ heygen }) => ({
      speed: heygen.speedMicrosPerSecond,
      precision: heygen.precisionMicrosPerSecond,
    }),
    setUp({ heygen: { apiKey, ...heygen }, allowedPrivateHosts }) {
      if (apiKey === null) return { missingSetting: 'HEYGEN_API_KEY' };
      return {
        missingSetting: null,
        build: ({ renderPool, callbackBaseUrl }) =>
          createHeygenProvider({
            ...heygen,
            apiKey,
            renderPool,
            clock: systemClock,
            allowedPrivateHosts: parseAllowedHosts(allowedPrivateHosts),
            ...(callbackBaseUrl === ''
              ? {}
              : { callbackUrl: (attemptName) => heygenCallbackUrl(callbackBaseUrl, apiKey, attemptName) }),
          }),
      };
    },
  },
  wav2lip: {
    facts: wav2lipFacts,
    setUp({ wav2lip: { modelPath, windowStartMs } }) {
      if (modelPath === null) return { missingSetting: 'WAV2LIP_MODEL_PATH' };
      return {
        missingSetting: null,
        build: ({ renderPool, enginePool, cacheFolder, lastDevices }) =>
          createWav2LipProvider({
            renderPool,
            enginePool,
            modelPath,
            windowStartMs,
            modelCacheFolder: join(cacheFolder, 'models'),
            trackCacheFolder: join(cacheFolder, 'tracks'),
            // For those who ask; no take hangs on it.
            onDevice: (device) => void lastDevices.note('wav2lip', device).catch(() => undefined),
          }),
      };
    },
  },
  preview: {
    facts: previewFacts,
    setUp: () => ({
      missingSetting: null,
      build: ({ renderPool, cacheFolder }) =>
        createPreviewProvider({ renderPool, trackCacheFolder: join(cacheFolder, 'tracks') }),
    }),
  },
};

/** Every provider, in the order in which `auto` tries them, and whether this installation can use it. */
export function listProviders(config: ProviderConfig): readonly ProviderStatus[] {
  return providerIds.flatMap((id) => {
    const entry = catalogue[id];
    if (!entry) return [];
    const { facts, maxConcurrent, microsPerSecond } = entry;
    return [
      {
        ...facts,
        kind: maxConcurrent ? 'remote' : 'inline',
        missingSetting: entry.setUp(config).missingSetting,
        maxConcurrent: maxConcurrent?.(config) ?? null,
        microsPerSecond: microsPerSecond?.(config) ?? null,
      },
    ];
  });
}

function listReady(config: ProviderConfig): readonly ProviderStatus[] {
  return listProviders(config).filter(({ missingSetting }) => missingSetting === null);
}

/** What an operator should know of settings that can be used as they are; for the log at start. Throws `request_invalid` for others. */
export function settingWarnings({ heygen }: ProviderConfig): readonly string[] {
  return heygen.apiKey === null ? [] : parseHeygenEndpoint(heygen.endpoint).warnings;
}

/** For whoever takes orders without rendering. Throws `not_supported` for a method that this installation does not have. */
export function checkMethod(method: Method, config: ProviderConfig): void {
  const ready = listReady(config).map(({ id }) => id);
  if (method === 'auto' || ready.includes(method)) return;
  throw methodNotConfigured(method, ready);
}

/**
 * What can be told of a job before it is recorded: its plan, unless that takes a look at the inputs, and where it begins.
 * For hosts with the settings of the workers alone: the plan is kept, whatever the workers have.
 * Throws `not_supported` for a method that this installation does not have.
 */
export function planJob(options: PlanOptions, config: ProviderConfig): JobStart {
  const usable = listReady(config);
  if (dependsOnOutlook(usable, options)) return undecidedStart;
  const plan = planProviders(usable, options);
  return { plan, needs: usable.find(({ id }) => id === plan[0])?.kind ?? null };
}

export interface CoreHost {
  /** For books and lines; the system's where nothing is said. */
  readonly clock?: Clock;
  /** What this host shares with others of the installation; the host closes it. */
  readonly state: StateStore;
  /** Concurrency slots of the installation; by default kept in `state`. */
  readonly slots?: ConcurrencySlots;
  /** How long a job that waits for a slot sleeps when nothing wakes it. */
  readonly slotPollIntervalMs: number;
  /** Under which vendors reach an API that shares the state; empty where there is none. */
  readonly callbackBaseUrl?: string;
  /** Work that waits for or occupies this installation's own capacity; none by default. */
  load?(): Promise<Load>;
  /** Told of each change of a breaker that this host's jobs made. */
  onBreakerChange?(change: BreakerChange): void;
  /** Called after a slot became free; `readyJobId` is the waiting job that can try to acquire it, null when none waits. */
  onSlotReleased?(provider: string, readyJobId: string | null): void;
  /** Told, maybe twice, what an attempt cost that had ended before that was known. False when it is to be told again later. */
  onLateCost?(cost: LateCost): Promise<boolean>;
  /** Told when a vendor did not answer what an operation was billed that its job had given up. It is asked again. */
  onUnansweredSettlement?(bill: { readonly provider: string; readonly jobId: string }, error: unknown): void;
}

type ForecastHost = Pick<CoreHost, 'state' | 'slots' | 'load' | 'clock'>;

function forecastFor(
  config: ProviderConfig,
  { state, load, clock = systemClock, slots = createConcurrencySlots({ state, clock }) }: ForecastHost,
): Forecast {
  return createForecast({
    providers: listReady(config),
    paces: createThroughputEstimates({ state, clock }),
    slots,
    breaker: createCircuitBreaker({ state, clock }),
    ...(load ? { load } : {}),
  });
}

/** Tells what jobs would come to; for hosts that render nothing, too. */
export function createCostEstimator(config: CoreConfig, host: ForecastHost): Estimator {
  return createEstimator({
    providers: listReady(config),
    forecast: forecastFor(config, host),
    clock: systemClock,
    localMicrosPerHour: config.gpuMicrosPerHour,
    budget: createBudgetOutlook({ state: host.state, caps: config.budget }),
  });
}

/** Finds out about providers what settings do not tell; for hosts that render nothing, too. */
export function createProviderInspection(
  { heygen: { apiKey, endpoint }, wav2lip, gpuEnabled }: CoreConfig,
  { state }: Pick<CoreHost, 'state'>,
): ProviderInspector {
  return createProviderInspector({
    gpuEnabled,
    lastDevices: createLastDevices({ state }),
    wav2lipModel: new ConfiguredModel(wav2lip.modelPath),
    heygenBalance: apiKey === null ? null : createHeygenBalance({ apiKey, endpoint, clock: systemClock }),
  });
}

/** Builds the core from its settings. Starts nothing; processes begin with the first task. */
export function createLipsyncCore(config: CoreConfig, host: CoreHost): LipsyncCore {
  const {
    clock = systemClock,
    state,
    slots = createConcurrencySlots({ state, clock }),
    slotPollIntervalMs,
    callbackBaseUrl = '',
    onSlotReleased = () => undefined,
    onBreakerChange = () => undefined,
    onLateCost,
    onUnansweredSettlement,
  } = host;
  const renderPool = new RenderProcessPool({ keepWarm: 1, idleMs, silenceLimitMs: 3 * 60_000 });
  const enginePool = new EnginePool({
    idleMs,
    gpuEnabled: config.gpuEnabled,
    cudaVisibleDevices: cudaVisibleDevices(),
  });
  const parts: ProviderParts = {
    renderPool,
    enginePool,
    cacheFolder: join(config.dataDir, 'cache'),
    callbackBaseUrl,
    lastDevices: createLastDevices({ state }),
  };
  const providers = providerIds.flatMap((id) => {
    const setup = catalogue[id]?.setUp(config);
    return setup?.missingSetting === null ? [setup.build(parts)] : [];
  });
  const registry = createProviderRegistry(providers);
  const ledger = createLedger({ state, clock, caps: config.budget });
  const breaker = createCircuitBreaker({ state, clock, onChange: onBreakerChange });
  const pendingSettlements = createPendingSettlements({
    state,
    ledger,
    clock,
    ...(onLateCost && { onLateCost }),
    ...(onUnansweredSettlement && { onVendorError: onUnansweredSettlement }),
    async onSettled({ provider, jobId }) {
      onSlotReleased(provider, await slots.release(provider, jobId));
    },
  });
  return {
    ledger,
    breaker,
    reconcile: (signal) => pendingSettlements.reconcile(registry, signal),
    async sweepSlots(isGone) {
      const { released, ready } = await slots.sweep(isGone);
      for (const { provider, jobId } of ready) onSlotReleased(provider, jobId);
      return released;
    },
    pipeline: createLipsyncPipeline({
      registry,
      renderPool,
      clock,
      localMicrosPerHour: config.gpuMicrosPerHour,
      forecast: forecastFor(config, { ...host, slots }),
      admission: createSharedAdmission({
        breaker,
        slots,
        ledger,
        pendingSettlements,
        clock,
        slotPollIntervalMs,
        onSlotReleased,
      }),
      limits: { maxDurationMs: config.maxDurationMs, maxDimensionPx: config.maxDimensionPx },
    }),
    workFolder: join(config.dataDir, 'work'),
    async close() {
      await Promise.all([renderPool.close(), enginePool.close()]);
    },
  };
}
