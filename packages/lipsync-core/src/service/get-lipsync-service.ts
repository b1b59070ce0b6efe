import { setTimeout as sleep } from 'node:timers/promises';
import { configFromEnvironment, type CoreConfig } from '../config.ts';
import { parseAllowedHosts } from '../net/index.ts';
import { createIdSource, systemClock } from '../contract/system-ports.ts';
import type { LipsyncOptions } from '../contract/index.ts';
import type { EstimateCostOptions } from './cost-estimates.ts';
import { checkConsent } from '../jobs/consent-check.ts';
import {
  checkMinSyncScore,
  createCostEstimator,
  listInstalled,
  optionsSchemaOf,
  refuseWebhook,
} from './installation.ts';
import { createLipsyncService, type LipsyncService } from './lipsync-service.ts';
import type { LocalDownloadOptions } from './local-inputs.ts';
import { LocalBatches } from './local-batches.ts';
import { LocalJobs } from './local-jobs.ts';
import { LocalQuality } from './local-quality.ts';
import { openLocalState } from './local-state.ts';
import { OutputFiles } from './output-file.ts';
import { protectFolder } from '../processes/file-access.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { RunningWork } from './running-work.ts';
import { checkMarking } from './signing-identity.ts';
import { createLipsyncCore, type LipsyncCore } from './wiring.ts';

/** Interval between tries of a job that waits for a slot. Few processes share a data folder, and none wakes another. */
const slotPollIntervalMs = 2_000;
/** Time that a vendor may need beyond the provider's time limit until an operation has ended. */
const operationGraceMs = 60_000;
const sweepTimeoutMs = 60_000;
const sweepIntervalMs = 5 * 60_000;
/** Limit for jobs to stop their remote work when the service closes; an abandoned job takes at most 20 s for it. */
const closeTimeoutMs = 30_000;
/** Limit for jobs to end after their child processes were killed. */
const killTimeoutMs = 5_000;

export interface LocalHost extends EstimateCostOptions {
  readonly localJobs: Pick<LocalJobs, 'run'>;
  /** Runs batches. The caller checks the options and runs it within `untilClosed`. */
  readonly localBatches: Pick<LocalBatches, 'run'>;
  readonly localQuality: Pick<LocalQuality, 'measure'>;
  /** Throws for options that this installation cannot serve. */
  readonly checkOptions: (options: LipsyncOptions) => void;
  /** Runs work that `close` aborts and awaits; rejects with `canceled` after `close`. */
  readonly untilClosed: RunningWork['run'];
  /** Cancels running jobs, waits for them, and closes the store. May be called more than once. */
  close(): Promise<void>;
}

/**
 * Creates in-process jobs on a core built from `config`. The first job starts crash recovery in the background: it
 * releases slots, settles costs and deletes partial files that killed processes left. `close` ends all of it.
 */
export function createLocalHost(config: CoreConfig): LocalHost {
  const state = openLocalState(config);
  const core = createLipsyncCore(config, { state, slotPollIntervalMs });
  const downloads = downloadOptions(config);
  const localQuality = new LocalQuality({ pipeline: core.qualityPipeline, workFolder: core.workFolder, downloads });
  const outputFiles = new OutputFiles();
  const localJobs = new LocalJobs({
    state,
    pipeline: core.pipeline,
    labeler: core.labeler,
    marker: core.marker,
    fingerprints: core.fingerprints,
    consentRequired: config.consentRequired,
    workFolder: core.workFolder,
    outputFiles,
    downloads,
    clock: systemClock,
    ids: createIdSource(systemClock),
    operationMs: longestOperationMs(config) + operationGraceMs,
  });
  const work = new RunningWork();
  let sweeping: Promise<void> | undefined;
  const checkCertificate = memoizeAsync(() => checkMarking(config, systemClock.nowMs()));
  // Not the umask, which is that of the program. Best effort: a job reports a folder that cannot be written.
  const protect = memoizeAsync(() => protectFolder(config.dataDir, config.fileAccess).catch(() => undefined));
  const { maxDurationMs, maxDimensionPx } = config;
  const checkOptions = (options: LipsyncOptions): void => {
    refuseWebhook(options);
    checkMinSyncScore(options, config);
    checkConsent(options, { isRequired: config.consentRequired, nowMs: systemClock.nowMs() });
  };
  const run: LocalJobs['run'] = async (input, context) =>
    work.run(async (signal) => {
      checkOptions(input.options);
      await checkCertificate();
      await protect();
      sweeping ??= sweepRepeatedly({ core, localJobs }, work.signal);
      return localJobs.run(input, { ...context, signal });
    }, context?.signal);
  return {
    checkOptions,
    localBatches: new LocalBatches({
      state,
      clock: systemClock,
      outputFiles,
      localJobs: { run, find: (jobId) => localJobs.find(jobId) },
    }),
    optionsSchema: optionsSchemaOf(config),
    estimator: createCostEstimator(config, { state }),
    limits: { maxDurationMs, maxDimensionPx },
    localJobs: { run },
    localQuality,
    untilClosed: (run, signal) =>
      work.run(async (stop) => {
        await protect();
        return run(stop);
      }, signal),
    close: memoizeAsync(async () => {
      work.abort();
      await sweeping;
      await work.settle(closeTimeoutMs);
      await core.close();
      await work.settle(killTimeoutMs);
      // Last: an ending job releases its slot and its claim.
      await state.close();
    }),
  };
}

function downloadOptions(config: CoreConfig): LocalDownloadOptions {
  return {
    maxBytes: config.maxUploadBytes,
    allowedPrivateHosts: parseAllowedHosts(config.allowedPrivateHosts),
    s3Inputs: config.s3Inputs,
    minBytesPerSecond: config.minFetchBytesPerSecond,
  };
}

/** Maximum duration of an operation at any provider. */
function longestOperationMs(config: CoreConfig): number {
  return Math.max(0, ...listInstalled(config).map(({ configured }) => configured.remote?.operationTimeoutMs ?? 0));
}

interface Swept {
  readonly core: LipsyncCore;
  readonly localJobs: LocalJobs;
}

async function sweepRepeatedly(swept: Swept, closing: AbortSignal): Promise<void> {
  while (!closing.aborted) {
    await sweep(swept, AbortSignal.any([closing, AbortSignal.timeout(sweepTimeoutMs)]));
    await sleep(sweepIntervalMs, undefined, { signal: closing, ref: false }).catch(() => undefined);
  }
}

async function sweep({ core, localJobs }: Swept, signal: AbortSignal): Promise<void> {
  try {
    await localJobs.sweep(signal);
    await core.sweepSlots((jobId) => localJobs.isOver(jobId));
    await core.reconcile(signal);
  } catch {
    // Must not disturb the jobs of this process. The next sweep tries again.
  }
}

let shared: LipsyncService | undefined;

/**
 * Returns the service shared by this process; the first call creates it. Settings come from the environment and `.env`;
 * `options` override them on the first call only. After `close()` the next call creates a new service. Throws
 * `request_invalid` if a setting is invalid.
 */
export function getLipsyncService(options: Partial<CoreConfig> = {}): LipsyncService {
  if (shared) return shared;
  const host = createLocalHost({ ...configFromEnvironment(), ...options });
  const service = createLipsyncService({
    ...host,
    async close() {
      if (shared === service) shared = undefined;
      await host.close();
    },
  });
  shared = service;
  return service;
}
