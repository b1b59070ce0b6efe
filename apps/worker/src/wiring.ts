import {
  ArtifactInputFetcher,
  createJobRunner,
  createLipsyncCore,
  createArtifactStore,
  parseAllowedHosts,
  recordLateCost,
  settingWarnings,
  systemClock,
  type BreakerChange,
  type JobRunner,
  type Logger,
} from '@lipsync/core';
import {
  createClientConnection,
  createProducer,
  createRedisJobStore,
  createRedisStateStore,
  createWorkerConnection,
  type LipsyncProducer,
} from '@lipsync/queue';
import type { WorkerConfig } from './config.ts';
import { runMaintenance } from './maintenance.ts';
import { createLaneWorkers } from './lane-workers.ts';
import { stopWorkers } from './lifecycle.ts';
import { createProcessorMap } from './processor-map.ts';

const maintenanceIntervalMs = 15_000;
const cancelPollMs = 500;
const progressIntervalMs = 250;
/** Those in line are woken when a place is free; this is for when the one who should have woken them died. */
const slotPollIntervalMs = 60_000;

export interface RunningWorker {
  /** Stops taking jobs, finishes or hands back those that run, and lets go of everything. */
  stop(): Promise<void>;
}

/** Builds the worker and starts it; resolves when it takes jobs, which is not before Redis can be reached. */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<RunningWorker> {
  for (const warning of settingWarnings(config.core)) logger.warn({}, warning);
  const onError = (error: Error): void => logger.warn({ error }, 'connection to Redis lost');
  const connection = createClientConnection({ url: config.redisUrl, onError });
  const store = createRedisJobStore({
    connection,
    onUnreadable: (jobId, error) => logger.warn({ jobId, error }, 'a stored job cannot be read'),
  });
  const artifacts = createArtifactStore(config.core);
  const producer = createProducer({ connection, store, clock: systemClock, logger });
  const state = createRedisStateStore({ connection });
  const core = createLipsyncCore(config.core, {
    state,
    slotPollIntervalMs,
    callbackBaseUrl: config.core.publicBaseUrl,
    load: (waitingJobId) => producer.load(waitingJobId),
    onLateCost: (cost) => recordLateCost(store, cost),
    onUnansweredSettlement: ({ provider, jobId }, error) =>
      logger.warn(
        { provider, jobId, error },
        'the provider did not say what an operation was billed; it is asked again',
      ),
    onBreakerChange: (change) => logBreakerChange(logger, change),
    onSlotReleased: () =>
      void producer
        .wakeNextWaitingJob()
        .catch((error: unknown) => logger.warn({ error }, 'nobody in line was woken; they look by themselves')),
  });
  const runner = createJobRunner({
    store,
    artifacts,
    fetcher: new ArtifactInputFetcher({
      artifacts,
      maxBytes: config.core.maxUploadBytes,
      allowedPrivateHosts: parseAllowedHosts(config.core.allowedPrivateHosts),
    }),
    pipeline: core.pipeline,
    workFolder: core.workFolder,
    clock: systemClock,
    logger,
    cancelPollMs,
    progressIntervalMs,
  });
  const lanes = await serveLanes(config, { runner, producer }, logger);
  const stopped = new AbortController();
  const maintenance = runMaintenance(
    { producer, core, store, artifacts, clock: systemClock, logger, intervalMs: maintenanceIntervalMs },
    stopped.signal,
  );
  return {
    async stop() {
      stopped.abort();
      await lanes.stop();
      await core.close();
      await maintenance;
      await producer.close();
      connection.disconnect();
    },
  };
}

/** One line for each change, by the worker whose job made it. A refused key or an empty wallet is for a person to mend. */
function logBreakerChange(logger: Logger, { provider, event, reason, openUntilMs }: BreakerChange): void {
  const fields = {
    provider,
    event,
    reason,
    openUntil: openUntilMs === null ? null : new Date(openUntilMs).toISOString(),
  };
  if (event !== 'opened')
    return logger.info(
      fields,
      event === 'closed' ? 'the provider is in order again' : 'one job tries whether the provider is in order again',
    );
  if (reason === 'refused')
    return logger.error(
      fields,
      'the provider refused the key or has no money left for it; it is not asked for a while',
    );
  logger.warn(fields, 'the provider failed too often; it is not asked for a while');
}

/** Takes jobs of the configured lanes and gives them to the runner. */
export async function serveLanes(
  config: Omit<WorkerConfig, 'core'>,
  parts: { readonly runner: JobRunner; readonly producer: LipsyncProducer },
  logger: Logger,
): Promise<RunningWorker> {
  const connection = createWorkerConnection({
    url: config.redisUrl,
    onError: (error) => logger.warn({ error }, 'connection to Redis lost'),
  });
  const stopping = new AbortController();
  const workers = createLaneWorkers({
    lanes: config.lanes,
    processors: createProcessorMap({ ...parts, stopping: stopping.signal }),
    connection,
    lockMs: config.lockMs,
    stalledIntervalMs: config.stalledIntervalMs,
    logger,
  });
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  for (const worker of workers) {
    worker.run().catch((error: unknown) => logger.error({ error }, 'worker ended'));
  }
  return {
    async stop() {
      await stopWorkers({ workers, stopping, graceMs: config.shutdownGraceMs, logger });
      connection.disconnect();
    },
  };
}
