import { setTimeout as delay } from 'node:timers/promises';
import {
  ArtifactInputFetcher,
  checkMarking,
  FingerprintStore,
  GuardedClient,
  JobRunner,
  LedgerPseudonyms,
  VendorCopies,
  LipsyncHandler,
  OutboxDispatcher,
  QualityHandler,
  ReceiverSwitches,
  WebhookHandler,
  WebhookSender,
  createArtifactStore,
  createIdSource,
  createLipsyncCore,
  createProcessMetrics,
  createProgressEvents,
  createWebhookEvents,
  parseAllowedHosts,
  readEngineVersion,
  recordLateCost,
  requireWritableStore,
  settingWarnings,
  type ArtifactStore,
  type BreakerChange,
  type Clock,
  type JobRecord,
  type JobStore,
  type LipsyncCore,
  type Logger,
  type OutboxConsumer,
} from '@lipsync/core/host';
import {
  Batches,
  JobErasure,
  JobOutputs,
  LipsyncProducer,
  logUnreadableRecords,
  RedisConcurrencySlots,
  RedisResultCache,
  RedisConnections,
  RedisJobNotifications,
  RedisJobStore,
  RedisStateStore,
  Retention,
  rewriteErasedData,
  UserErasure,
  type JobErasureOptions,
  type RetentionAges,
} from '@lipsync/queue';
import type { Redis } from 'ioredis';
import type { WorkerConfig } from './config.ts';
import { LaneWorkers } from './lane-workers.ts';
import { JobMetrics } from './metrics.ts';
import { runMaintenance, type MaintenanceOptions } from './maintenance.ts';
import { startProbes } from './probes.ts';

const maintenanceIntervalMs = 15_000;
/** Redis announces cancels; the poll covers messages that are lost while a connection is down. */
const cancelPollMs = 5_000;
const progressIntervalMs = 250;
/** How long Redis may be away before the interrupted run counts as a crash. */
const releaseLimitMs = 120_000;
/** A released slot wakes the next waiting job; the poll covers workers that die between the two. */
const slotPollIntervalMs = 60_000;
/** Time that background tasks have to end after Redis was lost. */
const stopWithoutRedisLimitMs = 1_000;
/** The same with Redis. */
const stopTasksLimitMs = 3_000;

export interface RunningWorker {
  /** Resolves with the reason when the worker must not continue. */
  readonly failed: Promise<Error>;
  /** Stops taking jobs, finishes or hands back the running ones, and closes all connections and processes. */
  stop(): Promise<void>;
}

/**
 * Builds and starts the worker; resolves when it takes jobs, which is not before Redis serves. Throws when it must not
 * use this Redis, and the reason of the aborted signal.
 */
export async function startWorker(config: WorkerConfig, log: Logger, signal: AbortSignal): Promise<RunningWorker> {
  const warnings = [...settingWarnings(config.core), ...(await checkMarking(config.core, Date.now()))];
  for (const warning of warnings) log.warn({}, warning);
  const { registry, artifacts } = createProcessMetrics({ role: 'worker', artifacts: createArtifactStore(config.core) });
  const metrics = new JobMetrics(registry);
  const redis = new RedisConnections({ url: config.redisUrl, artifacts, waitsForStore: true, logger: log });
  const { clock, logger } = redis;
  const probes = await startProbes({ listener: config.probes, redis, artifacts, metrics: registry, logger });
  await redis.waitUntilServing(signal);
  const connection = redis.commands;
  const onUnreadable = logUnreadableRecords(logger);
  const store = new RedisJobStore({ connection, onUnreadable, onChange: metrics.observe });
  const producer = new LipsyncProducer({ connection, store, clock, logger });
  const notifications = new RedisJobNotifications({ connection: redis.subscriptions });
  const results = new RedisResultCache({ connection, store, artifacts });
  const core = createCore(config, { connection, store, producer, artifacts, results, metrics, clock, logger });
  const runnerOptions = {
    results,
    store,
    inputs: createInputFetcher(config, artifacts),
    pipeline: core.pipeline,
    segments: core.segments?.board,
    consentRequired: config.core.consentRequired,
    qualityPipeline: core.qualityPipeline,
    workFolder: core.workFolder,
    clock,
    logger,
    cancelPollMs,
    watchCancel: (jobId: string, onChange: () => void) => notifications.watchInterrupts(jobId, onChange),
    progressIntervalMs,
    releaseLimitMs,
    onProgress: reportProgress(producer, clock, logger),
    ...createPublication(config, core, artifacts, store),
    checkStorage: () => requireWritableStore(artifacts),
  };
  const handlers = {
    lipsync: new LipsyncHandler(runnerOptions),
    quality: new QualityHandler(runnerOptions),
    webhook: createWebhookHandler(config, redis),
  };
  const runner = new JobRunner({ ...runnerOptions, handlers });
  const lanes = new LaneWorkers({ config, runner, segmentHelper: core.segments?.helper, producer, redis, logger });
  await lanes.start();
  probes.started();
  const shared = { store, producer, clock, logger, verifyRedis: () => redis.verify() };
  const batches = new Batches({ ...shared, ids: createIdSource(clock) });
  const stopped = new AbortController();
  // Not awaited: reading large models takes longer than the start. Until then, no result is reused.
  const versioned = publishEngineVersion(results, { config, logger, signal: stopped.signal });
  const tasks = wireMaintenance({ ...shared, connection, artifacts, batches, core, retentionAges: config.retention });
  const maintenance = runMaintenance(tasks, stopped.signal);
  const consumers = createConsumers({ ...shared, batches, results, erasure: tasks.erasure, config });
  const outbox = new OutboxDispatcher({ store, consumers, clock, logger }).run(stopped.signal);
  return {
    failed: redis.refused,
    async stop() {
      stopped.abort();
      probes.stopping();
      await lanes.stop();
      if (!redis.serves) redis.disconnect();
      await core.close();
      const tasksEnded = Promise.all([maintenance, outbox, versioned]).then(() =>
        redis.serves ? producer.close() : undefined,
      );
      // Every task may be killed and runs again elsewhere. Without Redis a task waits for it.
      await Promise.race([tasksEnded, delay(redis.serves ? stopTasksLimitMs : stopWithoutRedisLimitMs)]);
      redis.disconnect();
      await probes.close();
    },
  };
}

/** How takes are labeled, signed and published, and kept for other machines. */
function createPublication(
  { core: settings }: WorkerConfig,
  { fingerprints, labeler, marker }: LipsyncCore,
  artifacts: ArtifactStore,
  store: JobStore,
) {
  const outputs = new JobOutputs({ artifacts, store });
  return {
    fingerprints,
    labeler,
    marker,
    sharedTakes: settings.artifactStore.kind === 's3' ? artifacts : undefined,
    publish: (takePath: string, record: JobRecord, signal: AbortSignal) => outputs.publish(takePath, record, signal),
    findPublished: (record: JobRecord) => outputs.find(record),
  };
}

function createInputFetcher({ core }: WorkerConfig, artifacts: ArtifactStore): ArtifactInputFetcher {
  return new ArtifactInputFetcher({
    artifacts,
    maxBytes: core.maxUploadBytes,
    allowedPrivateHosts: parseAllowedHosts(core.allowedPrivateHosts),
    s3Inputs: core.s3Inputs,
    minBytesPerSecond: core.minFetchBytesPerSecond,
  });
}

function createWebhookHandler(
  { core }: WorkerConfig,
  { commands: connection, clock }: Pick<RedisConnections, 'commands' | 'clock'>,
): WebhookHandler {
  const client = new GuardedClient({ allowedPrivateHosts: parseAllowedHosts(core.allowedPrivateHosts) });
  const receivers = new ReceiverSwitches({ state: new RedisStateStore({ connection }) });
  return new WebhookHandler({
    sender: new WebhookSender({ client, secrets: core.webhookSecrets }),
    receivers,
    clock,
  });
}

function reportProgress(producer: LipsyncProducer, clock: Clock, logger: Logger): (record: JobRecord) => void {
  return createProgressEvents({
    submit: (delivery) => producer.submit(delivery),
    clock,
    onError: (error) => logger.warn({ error }, 'progress not reported to a webhook'),
  });
}

interface ConsumerParts {
  readonly config: WorkerConfig;
  readonly store: JobStore;
  readonly producer: LipsyncProducer;
  readonly results: Pick<RedisResultCache, 'wakeFollowers'>;
  readonly batches: Batches;
  readonly erasure: JobErasure;
  readonly clock: Clock;
}

function createConsumers({
  config,
  store,
  producer,
  batches,
  results,
  erasure,
  clock,
}: ConsumerParts): readonly OutboxConsumer[] {
  const { publicBaseUrl } = config.core;
  return [
    (entry) => batches.settleAfter(entry),
    ({ jobId }) => results.wakeFollowers(jobId, producer),
    createWebhookEvents({
      store,
      submit: (delivery) => producer.submit(delivery),
      erase: (id) => erasure.erase(id),
      clock,
      publicBaseUrl,
    }),
  ];
}

type MaintenanceParts = Omit<
  JobErasureOptions,
  'ledger' | 'vendorCopies' | 'fingerprints' | 'store' | 'batches' | 'producer' | 'artifacts'
> &
  Pick<MaintenanceOptions, 'core' | 'logger'> & {
    readonly store: JobStore;
    readonly artifacts: ArtifactStore;
    readonly batches: Batches;
    readonly producer: LipsyncProducer;
    readonly retentionAges: RetentionAges;
  };

function wireMaintenance(parts: MaintenanceParts): MaintenanceOptions & { readonly erasure: JobErasure } {
  const { connection, store, clock } = parts;
  const state = new RedisStateStore({ connection });
  const ledger = new LedgerPseudonyms({ state });
  const fingerprints = new FingerprintStore({ state });
  const erasure = new JobErasure({
    ...parts,
    ledger,
    vendorCopies: new VendorCopies({ state, clock }),
    fingerprints,
  });
  return {
    ...parts,
    erasure,
    retention: new Retention({ connection, jobs: erasure, ages: parts.retentionAges, clock }),
    userErasure: new UserErasure({ connection, store, jobs: erasure, ledger, clock }),
    rewriteErasedData: () => rewriteErasedData(connection),
    intervalMs: maintenanceIntervalMs,
  };
}

async function publishEngineVersion(
  results: RedisResultCache,
  { config, logger, signal }: { readonly config: WorkerConfig; readonly logger: Logger; readonly signal: AbortSignal },
): Promise<void> {
  try {
    await results.setEngineVersion(await readEngineVersion(config.core, signal));
  } catch (error) {
    if (!signal.aborted) logger.warn({ error }, 'engine version unknown; this worker reuses no results');
  }
}

interface CoreParts {
  readonly connection: Redis;
  readonly store: JobStore;
  readonly producer: LipsyncProducer;
  readonly artifacts: ArtifactStore;
  readonly results: Pick<RedisResultCache, 'engineVersion'>;
  readonly metrics: JobMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

function createCore(config: WorkerConfig, parts: CoreParts): LipsyncCore {
  const { connection, store, producer, artifacts, results, metrics, clock, logger } = parts;
  return createLipsyncCore(config.core, {
    state: new RedisStateStore({ connection }),
    slots: new RedisConcurrencySlots({ connection, clock }),
    clock,
    slotPollIntervalMs,
    callbackBaseUrl: config.core.publicBaseUrl,
    load: () => producer.load(),
    segments: {
      artifacts,
      logger,
      segmentMs: config.segmentMs,
      engineVersion: () => results.engineVersion,
      countWorkers: async () => (await producer.load()).inlineSeats,
      offer: (jobId, count) => producer.offerSegments(jobId, count),
    },
    onLateCost: (cost) => recordLateCost(store, cost),
    onUnansweredSettlement: ({ provider, jobId }, error) =>
      logger.warn({ provider, jobId, error }, 'cost of an operation not available yet; reconciled again later'),
    onUndeletedCopy: ({ provider, jobId }, error) =>
      logger.warn({ provider, jobId, error }, 'copy of an erased job not deleted at the vendor; repeated later'),
    onDevice: (provider, device) => metrics.noteDevice(provider, device),
    onBreakerChange: (change) => logBreakerChange(logger, change),
    onSlotReleased: (provider, readyJobId) => {
      if (readyJobId === null) return;
      producer
        .wakeWaiting(provider, readyJobId)
        .catch((error: unknown) =>
          logger.warn(
            { provider, jobId: readyJobId, error },
            'waiting job not woken; it retries after the poll interval',
          ),
        );
    },
  });
}

/** One line per change. A rejected key or an empty balance needs a person, so it is an error. */
function logBreakerChange(logger: Logger, { provider, event, reason, openUntilMs }: BreakerChange): void {
  const openUntil = openUntilMs === null ? null : new Date(openUntilMs).toISOString();
  const fields = { provider, event, reason, openUntil };
  if (event === 'closed') logger.info(fields, 'circuit breaker closed');
  else if (event !== 'opened') logger.info(fields, 'circuit breaker half-open: one job probes the provider');
  else if (reason === 'refused')
    logger.error(fields, 'circuit breaker opened: the provider rejected the key or has no credit');
  else logger.warn(fields, 'circuit breaker opened: too many failures');
}
