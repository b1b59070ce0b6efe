import { join } from 'node:path';
import { Ledger } from '../billing/ledger.ts';
import type { CoreConfig } from '../config/core-config.ts';
import { readVersion } from '../config/version.ts';
import type { Clock } from '../contract/ports.ts';
import { systemClock } from '../contract/system-ports.ts';
import { FingerprintStore } from '../fingerprint/fingerprint-store.ts';
import { OutputFingerprints } from '../fingerprint/output-fingerprints.ts';
import { LipsyncPipeline } from '../jobs/lipsync-pipeline.ts';
import { OutputLabeler } from '../jobs/output-labels.ts';
import type { QualityGateOptions } from '../jobs/quality-gate.ts';
import { QualityPipeline } from '../jobs/quality-pipeline.ts';
import { SegmentBoard, type SegmentBoardOptions } from '../jobs/segments/segment-board.ts';
import { SegmentHelper, type SegmentHelperOptions } from '../jobs/segments/segment-helper.ts';
import { SegmentedTakes, type SegmentedTakesOptions } from '../jobs/segments/segmented-takes.ts';
import { SharedAdmission } from '../jobs/shared-admission.ts';
import { OutputMarker } from '../marking/output-marker.ts';
import type { MediaLimits } from '../media/index.ts';
import { createModelDigests } from './model-digests.ts';
import { signingIdentityOf } from './signing-identity.ts';
import { toAssessmentModels } from './quality-models.ts';
import { QualityAssessor } from '../quality/assessment/quality-assessor.ts';
import { RenderProcessPool } from '../processes/render-pool.ts';
import { PendingSettlementStore } from '../billing/pending-settlements.ts';
import {
  SettlementReconciler,
  type LateCost,
  type SettlementReconcilerOptions,
} from '../providers/settlement-reconciler.ts';
import { VendorCopies } from '../providers/vendor-copies.ts';
import { ActiveProviders } from '../providers/active-providers.ts';
import type { ProviderParts } from '../providers/definition.ts';
import type { Provider } from '../providers/provider.ts';
import { isReady } from '../providers/registry.ts';
import { CircuitBreaker, type BreakerChange } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import { createInstallationForecast, listInstalled, type ForecastHost } from './installation.ts';

/** How long a render process without work is kept. */
const idleMs = 5 * 60_000;

/** The parts of the core that every host (worker, program, CLI) shares. */
export interface LipsyncCore {
  readonly pipeline: LipsyncPipeline;
  readonly ledger: Ledger;
  /** Draws visible labels over takes of vendors. */
  readonly labeler: OutputLabeler;
  /** Signs outputs; undefined if the installation does not mark them. */
  readonly marker: OutputMarker | undefined;
  /** Stores what finds copies of outputs again; undefined if the installation does not mark outputs. */
  readonly fingerprints: OutputFingerprints | undefined;
  readonly breaker: CircuitBreaker;
  /** Measures the quality of any video, also when that of takes is not measured. */
  readonly qualityPipeline: QualityPipeline;
  /** Settles operations that outlived their jobs, as far as the vendors report them. Returns how many. */
  reconcile(signal: AbortSignal): Promise<number>;
  /** Deletes the copies that vendors keep of erased jobs, as far as the vendors allow it. Returns how many. */
  deleteVendorCopies(signal: AbortSignal): Promise<number>;
  /** Releases the concurrency slots of jobs for which `isGone` resolves with true. Returns how many. */
  sweepSlots(isGone: (jobId: string) => Promise<boolean>): Promise<number>;
  /** The segments of takes, and the part of this host in those of others; undefined where no take is split. */
  readonly segments: { readonly board: SegmentBoard; readonly helper: SegmentHelper } | undefined;
  /** Folder for work in progress. */
  readonly workFolder: string;
  /** Ends the processes of the core, running tasks included. */
  close(): Promise<void>;
}

/** How a host shares the segments of long takes with other workers. */
export type SegmentHost = Pick<SegmentHelperOptions, 'artifacts' | 'engineVersion' | 'logger'> &
  Pick<SegmentedTakesOptions, 'countWorkers' | 'offer' | 'segmentMs'>;

export interface CoreHost extends ForecastHost {
  /** Takes are not split without it. */
  readonly segments?: SegmentHost;
  /** How long a job that waits for a slot sleeps when nothing wakes it. */
  readonly slotPollIntervalMs: number;
  /** Base URL of an API that shares the state, for callbacks of vendors; empty without one. */
  readonly callbackBaseUrl?: string;
  /** Called after each circuit-breaker state change that a job of this host causes. */
  onBreakerChange?(change: BreakerChange): void;
  /** Called with the device whenever a local provider starts to render. */
  onDevice?(provider: string, device: string): void;
  /**
   * Called after a slot became free; `readyJobId` is the waiting job that can try to acquire it, null when none waits.
   */
  onSlotReleased?(provider: string, readyJobId: string | null): void;
  /**
   * Called, possibly twice, when the cost of an attempt becomes known after its end. Resolving with false repeats the
   * call later.
   */
  onLateCost?(cost: LateCost): Promise<boolean>;
  /** Called when a vendor has not deleted its copy of an erased job. The request is repeated later. */
  onUndeletedCopy?(copy: { readonly provider: string; readonly jobId: string }, error: unknown): void;
  /** Called when a vendor does not report the cost of an abandoned operation. The request is repeated later. */
  onUnansweredSettlement?(settlement: { readonly provider: string; readonly jobId: string }, error: unknown): void;
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
    onDevice,
  } = host;
  const limits = { maxDurationMs: config.maxDurationMs, maxDimensionPx: config.maxDimensionPx };
  const renderPool = new RenderProcessPool({ keepWarm: 1, idleMs, silenceLimitMs: 3 * 60_000 });
  const trackCacheFolder = join(config.dataDir, 'cache', 'tracks');
  const assessor = new QualityAssessor({ renderPool, limits, models: toAssessmentModels(config) });
  const parts = { renderPool, state, clock, callbackBaseUrl, ...(onDevice && { onDevice }) };
  const activeProviders = new ActiveProviders(createProviders(config, parts));
  const workFolder = join(config.dataDir, 'work');
  const segments = createSegments(host, { clock, renderPool, trackCacheFolder, workFolder, activeProviders });
  const ledger = new Ledger({ state, clock, caps: config.budget });
  const breaker = new CircuitBreaker({ state, clock, onStateChange: onBreakerChange });
  const pendingSettlements = new PendingSettlementStore({ state, clock });
  const reconciler = createReconciler(host, {
    store: pendingSettlements,
    ledger,
    clock,
    async onSettled({ provider, jobId }) {
      onSlotReleased(provider, await slots.release(provider, jobId));
    },
  });
  return {
    ledger,
    ...createMarks(config, { renderPool, clock, limits, state }),
    breaker,
    qualityPipeline: new QualityPipeline({ assessor, renderPool, limits, trackCacheFolder }),
    deleteVendorCopies: (signal) => createVendorCopies(host, clock).deleteDue(activeProviders.all, signal),
    reconcile: (signal) => reconciler.reconcile(activeProviders.all, signal),
    async sweepSlots(isGone) {
      const { released, ready } = await slots.sweep(isGone);
      for (const { provider, jobId } of ready) onSlotReleased(provider, jobId);
      return released;
    },
    pipeline: new LipsyncPipeline({
      activeProviders,
      renderPool,
      clock,
      localMicrosPerHour: config.gpuMicrosPerHour,
      forecast: createInstallationForecast(config, { ...host, slots }),
      admission: new SharedAdmission({
        breaker,
        slots,
        ledger,
        pendingSettlements,
        clock,
        slotPollIntervalMs,
        onSlotReleased,
      }),
      encoding: config.encoding,
      label: config.marking.label,
      limits,
      quality: createGateOptions(config, { assessor, trackCacheFolder }),
      ...(segments && { takeMaker: segments.takeMaker }),
    }),
    segments,
    workFolder,
    async close() {
      await Promise.all([renderPool.close(), ...activeProviders.all.map((provider) => provider.close?.())]);
    },
  };
}

function createReconciler(
  { onLateCost, onUnansweredSettlement }: CoreHost,
  options: Pick<SettlementReconcilerOptions, 'clock' | 'ledger' | 'onSettled' | 'store'>,
): SettlementReconciler {
  return new SettlementReconciler({
    ...options,
    ...(onLateCost && { onLateCost }),
    ...(onUnansweredSettlement && { onVendorError: onUnansweredSettlement }),
  });
}

/** The parts that share the segments of long takes with other workers; undefined for a host that does not. */
function createSegments(
  { segments, state }: CoreHost,
  parts: Pick<SegmentBoardOptions, 'clock'> &
    Pick<SegmentedTakesOptions, 'renderPool' | 'trackCacheFolder'> &
    Pick<SegmentHelperOptions, 'activeProviders' | 'workFolder'>,
) {
  if (!segments) return undefined;
  const board = new SegmentBoard({ ...parts, state, artifacts: segments.artifacts });
  const options = { ...segments, ...parts, board };
  return { board, helper: new SegmentHelper(options), takeMaker: new SegmentedTakes(options) };
}

function createProviders(config: CoreConfig, parts: ProviderParts): readonly Provider[] {
  return listInstalled(config)
    .filter(isReady)
    .map(({ configured }) => configured.create(parts));
}

function createMarks(
  config: CoreConfig,
  { limits, state, ...parts }: MarkParts,
): Pick<LipsyncCore, 'labeler' | 'marker' | 'fingerprints'> {
  const { aigcProducer, isEnabled, isRequired, timeStampUrl, withXmp } = config.marking;
  const labeler = createLabeler(config, limits);
  if (!isEnabled) return { labeler, marker: undefined, fingerprints: undefined };
  const marker = new OutputMarker({
    ...parts,
    version: readVersion(),
    isRequired,
    withXmp,
    aigcProducer,
    timeStampAuthority: timeStampUrl === null ? null : { url: timeStampUrl },
    identity: (nowMs) => signingIdentityOf(config, nowMs),
    modelDigestOf: createModelDigests(config),
  });
  const store = new FingerprintStore({ state });
  return { labeler, marker, fingerprints: new OutputFingerprints({ ...parts, limits, store }) };
}

interface MarkParts extends Pick<CoreHost, 'state'> {
  readonly renderPool: RenderProcessPool;
  readonly clock: Clock;
  readonly limits: MediaLimits;
}

function createLabeler({ encoding, marking, providers }: CoreConfig, limits: MediaLimits): OutputLabeler {
  const remote = providers.filter(({ definition }) => definition.kind === 'remote');
  const remoteProviders = new Set(remote.map(({ definition }) => definition.id));
  return new OutputLabeler({ defaults: marking.label, limits, encoding, remoteProviders });
}

function createVendorCopies({ state, onUndeletedCopy }: CoreHost, clock: Clock): VendorCopies {
  return new VendorCopies({ state, clock, ...(onUndeletedCopy && { onFailure: onUndeletedCopy }) });
}

function createGateOptions(
  { marking, qualityEnabled, minSyncScore }: CoreConfig,
  { assessor, trackCacheFolder }: { readonly assessor: QualityAssessor; readonly trackCacheFolder: string },
): QualityGateOptions {
  return {
    ...(qualityEnabled && { assessor }),
    trackCacheFolder,
    minSyncScore,
    withFingerprints: marking.isEnabled,
  };
}
