import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { configFromEnvironment, type CoreConfig } from '../config.ts';
import { SqliteStateStore } from '../storage/sqlite-state-store.ts';
import { createIdSource, systemClock } from '../contract/system-ports.ts';
import { LipsyncError } from '../errors/index.ts';
import { createCostEstimator, createLipsyncCore, type LipsyncCore } from '../wiring.ts';
import { createCostEstimates, type CostEstimates } from './cost-estimates.ts';
import { createLipsyncService, type LipsyncService } from './lipsync-service.ts';
import { createLocalJobs, type LocalJobs } from './local-jobs.ts';
import { createOutputFiles, type OutputFiles } from './output-file.ts';
import { createUnfinishedJobs, type UnfinishedJobs } from './unfinished-jobs.ts';

/** Few programs share a data folder, and nobody wakes those that stand in line. */
const slotPollIntervalMs = 2_000;
/** What a vendor may need on top of the time that it is given, until it is over. */
const operationGraceMs = 60_000;
/** Mending what other programs left takes at most so long, and is done again after so long. */
const mendLimitMs = 60_000;
const mendIntervalMs = 5 * 60_000;

export interface LocalHost {
  readonly localJobs: LocalJobs;
  readonly costEstimates: CostEstimates;
  close(): Promise<void>;
}

/**
 * In-process jobs on a core built from `config`. From the first of them on, what programs that were killed left is mended
 * in the background: places, unsettled costs, half-written outputs. `close` ends what was started.
 */
export function createLocalHost(config: CoreConfig): LocalHost {
  const state = new SqliteStateStore({ path: join(config.dataDir, 'state.sqlite') });
  const core = createLipsyncCore(config, { state, slotPollIntervalMs });
  const unfinished = createUnfinishedJobs({
    state,
    clock: systemClock,
    operationMs: config.heygen.timeoutMs + operationGraceMs,
  });
  const outputFiles = createOutputFiles();
  const localJobs = createLocalJobs({
    pipeline: core.pipeline,
    workFolder: core.workFolder,
    outputFiles,
    unfinished,
    clock: systemClock,
    ids: createIdSource(systemClock),
  });
  const closing = new AbortController();
  let mending: Promise<void> | undefined;
  const { maxDurationMs, maxDimensionPx } = config;
  return {
    costEstimates: createCostEstimates({
      estimator: createCostEstimator(config, { state }),
      limits: { maxDurationMs, maxDimensionPx },
    }),
    localJobs: {
      run(input, context) {
        mending ??= keepMending({ core, unfinished, outputFiles }, closing.signal);
        return localJobs.run(input, context);
      },
    },
    async close() {
      closing.abort();
      await mending;
      await core.close();
      await state.close();
    },
  };
}

interface Mended {
  readonly core: LipsyncCore;
  readonly unfinished: UnfinishedJobs;
  readonly outputFiles: OutputFiles;
}

async function keepMending(mended: Mended, closing: AbortSignal): Promise<void> {
  while (!closing.aborted) {
    await mend(mended, AbortSignal.any([closing, AbortSignal.timeout(mendLimitMs)]));
    await sleep(mendIntervalMs, undefined, { signal: closing, ref: false }).catch(() => undefined);
  }
}

async function mend({ core, unfinished, outputFiles }: Mended, signal: AbortSignal): Promise<void> {
  const reason = new LipsyncError('worker_crashed', 'The program that asked for it was ended and did not come back.');
  try {
    await unfinished.endForgotten(async (left, remember) => {
      const { jobId, options, attempts } = left;
      await outputFiles.sweep(left);
      await core.pipeline.abandon({ jobId, owner: null, options }, reason, {
        signal,
        earlierAttempts: attempts,
        saveAttempts: remember,
      });
    });
    await core.sweepSlots((jobId) => unfinished.isOver(jobId));
    await core.reconcile(signal);
  } catch {
    // Nobody asked for it: what could not be mended is mended the next time.
  }
}

let shared: LipsyncService | undefined;

/**
 * The service shared by this whole program; the first call builds it. Settings come from the environment and `.env`,
 * `options` override them and count on the first call only. After `close()` the next call builds a new one.
 * Throws `request_invalid` when a setting cannot be understood.
 */
export function getLipsyncService(options: Partial<CoreConfig> = {}): LipsyncService {
  if (shared) return shared;
  const host = createLocalHost({ ...configFromEnvironment(), ...options });
  const service = createLipsyncService({
    localJobs: host.localJobs,
    costEstimates: host.costEstimates,
    async close() {
      if (shared === service) shared = undefined;
      await host.close();
    },
  });
  shared = service;
  return service;
}
