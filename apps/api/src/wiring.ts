import { setTimeout as delay } from 'node:timers/promises';
import type { RedisReply } from 'rate-limit-redis';
import {
  checkMethod,
  checkConsent,
  checkMinSyncScore,
  checkReceiver,
  checkSourceUrl,
  createIdSource,
  CircuitBreaker,
  createCompletionOutlook,
  createCostEstimator,
  createProcessMetrics,
  createOriginVerifier,
  createWorkEstimate,
  FingerprintStore,
  Ledger,
  LedgerPseudonyms,
  ReceiverSwitches,
  VendorCopies,
  createArtifactStore,
  listProviders,
  documentedOptionsOf,
  optionsSchemaOf,
  parseAllowedHosts,
  planJob,
  Readiness,
  requireWebhooks,
  storageChecks,
  type ArtifactStore,
  type Logger,
} from '@lipsync/core/host';
import {
  Batches,
  IdempotencyKeys,
  JobErasure,
  UploadedInputs,
  UserErasure,
  LipsyncProducer,
  logUnreadableRecords,
  QueuedJobs,
  readJobCounts,
  readRetentionCounts,
  readStoredJobs,
  readWebhookCounts,
  RedisConnections,
  RedisJobStore,
  RedisJobNotifications,
  RedisConcurrencySlots,
  RedisResultCache,
  RedisStateStore,
  WaitingWork,
} from '@lipsync/queue';
import { queueBoardPath } from './app.ts';
import type { ApiConfig } from './config.ts';
import type { ApiDependencies } from './dependencies.ts';
import { bodyTimeLimits } from './http/body-time.ts';
import type { RateLimitOptions } from './http/rate-limit.ts';
import { createQueueBoard } from './routes/queue-board.ts';

/** Time limit for closing the queues. */
const closeLimitMs = 1_000;

export interface WiredApi {
  readonly dependencies: ApiDependencies;
  readonly redis: RedisConnections;
  readonly readiness: Readiness;
  /** Closes the Redis connections. */
  close(): Promise<void>;
}

function requestOptionsOf({ core }: ApiConfig) {
  return { optionsSchema: optionsSchemaOf(core), documentedOptions: documentedOptionsOf(core) };
}

function qualityModelsOf({ qualityEnabled, syncnetModelPath, speakerModelPath, dnsmosModelPath }: ApiConfig['core']) {
  return {
    enabled: qualityEnabled,
    syncnet: syncnetModelPath !== null,
    lr_asd: speakerModelPath !== null,
    dnsmos: dnsmosModelPath !== null,
  };
}

function rateLimitOf(config: ApiConfig, redis: RedisConnections): RateLimitOptions {
  return {
    rates: config.requestsPerMinute,
    // `as`: ioredis types every reply as unknown. The store reads the errors of Redis, so they stay as they are.
    sendCommand: (name, ...values) => redis.commands.call(name, ...values) as Promise<RedisReply>,
    isCounting: () => redis.serves,
    logger: redis.logger,
  };
}

/** What `GET /metrics` and `GET /scaling` read. */
function wireMetrics(
  config: ApiConfig,
  { redis, producer, store, state }: Pick<JobParts, 'redis' | 'producer' | 'store' | 'state'>,
): Pick<
  ApiDependencies,
  'readJobCounts' | 'readRetentionCounts' | 'readStoredJobs' | 'readWebhookCounts' | 'waitingWork'
> {
  const estimate = createWorkEstimate(config.core, { state, clock: redis.clock });
  return {
    readJobCounts: () => readJobCounts(redis.commands),
    readStoredJobs: () => readStoredJobs(redis.commands),
    readRetentionCounts: () => readRetentionCounts(redis.commands),
    readWebhookCounts: () => readWebhookCounts(redis.commands),
    waitingWork: new WaitingWork({ producer, store, estimate, clock: redis.clock }),
  };
}

interface JobParts {
  readonly config: ApiConfig;
  readonly redis: RedisConnections;
  readonly artifacts: ArtifactStore;
  readonly store: RedisJobStore;
  readonly producer: LipsyncProducer;
  readonly keys: IdempotencyKeys;
  readonly state: RedisStateStore;
  readonly expectedMs: ApiDependencies['expectedMs'];
}

/** What creates, changes and deletes jobs. */
function wireJobs({
  config,
  redis,
  artifacts,
  state,
  expectedMs,
  ...queue
}: JobParts): Pick<ApiDependencies, 'jobs' | 'batches' | 'erasure' | 'userErasure'> {
  const connection = redis.commands;
  const { clock } = redis;
  const shared = {
    ...queue,
    clock,
    ids: createIdSource(clock),
    logger: redis.logger,
    verifyRedis: () => redis.verify(),
  };
  const batches = new Batches({ ...shared, expectedMs });
  const ledger = new LedgerPseudonyms({ state });
  const erasure = new JobErasure({
    ...queue,
    connection,
    artifacts,
    batches,
    ledger,
    vendorCopies: new VendorCopies({ state, clock }),
    fingerprints: new FingerprintStore({ state }),
    clock,
  });
  return {
    batches,
    jobs: new QueuedJobs({
      ...shared,
      results: new RedisResultCache({ connection, store: queue.store, artifacts }),
      watcher: new RedisJobNotifications({ connection: redis.subscriptions }),
      planJob: (options) => planJob(options, config.core),
    }),
    erasure,
    userErasure: new UserErasure({ connection, store: queue.store, jobs: erasure, ledger, clock }),
  };
}

function urlChecks({ core }: ApiConfig): Pick<ApiDependencies, 'checkUrl' | 'checkReceiver' | 'requireWebhooks'> {
  const allowedHosts = parseAllowedHosts(core.allowedPrivateHosts);
  return {
    checkUrl: (url) => checkSourceUrl(url, { allowedPrivateHosts: allowedHosts, s3Inputs: core.s3Inputs }),
    // Without secrets every receiver is refused, so none is resolved.
    checkReceiver: async (url) => (core.webhookSecrets.length > 0 ? checkReceiver(url, allowedHosts) : undefined),
    requireWebhooks: () => requireWebhooks(core),
  };
}

/** Builds the dependencies of the app. Connects at the first request, so that the API starts without Redis. */
export function wireApi(config: ApiConfig, log: Logger): WiredApi {
  const { registry, artifacts } = createProcessMetrics({ role: 'api', artifacts: createArtifactStore(config.core) });
  // Clients download outputs from the folder of the API, so workers must write there.
  const served = { id: () => artifacts.register() };
  const redis = new RedisConnections({ url: config.redisUrl, artifacts: served, logger: log });
  const { clock, logger } = redis;
  const connection = redis.commands;
  const store = new RedisJobStore({ connection, onUnreadable: logUnreadableRecords(logger) });
  const producer = new LipsyncProducer({ connection, store, clock, logger });
  const keys = new IdempotencyKeys({ connection });
  const state = new RedisStateStore({ connection });
  const slots = new RedisConcurrencySlots({ connection, clock });
  const expectedMs = createCompletionOutlook(config.core, { state, clock, slots, load: () => producer.load() });
  const readiness = new Readiness({
    clock,
    logger,
    checks: [{ name: 'redis', check: () => redis.check(), logsItself: true }, ...storageChecks(artifacts)],
  });
  return {
    redis,
    readiness,
    dependencies: {
      ...wireJobs({ config, redis, artifacts, store, producer, keys, state, expectedMs }),
      requestKeys: keys,
      store,
      artifacts,
      checkMethod: (method) => checkMethod(method, config.core),
      checkMinSyncScore: (options) => checkMinSyncScore(options, config.core),
      checkConsent: (options) =>
        checkConsent(options, { isRequired: config.core.consentRequired, nowMs: clock.nowMs() }),
      providers: listProviders(config.core, { state }),
      qualityModels: qualityModelsOf(config.core),
      ...requestOptionsOf(config),
      breaker: new CircuitBreaker({ state, clock }),
      ledger: new Ledger({ state, clock, caps: config.core.budget }),
      estimator: createCostEstimator(config.core, { state, clock, slots, load: () => producer.load() }),
      originVerifier: createOriginVerifier(config.core, { state }),
      expectedMs,
      clock,
      ...urlChecks(config),
      receivers: new ReceiverSwitches({ state }),
      metrics: registry,
      ...wireMetrics(config, { redis, producer, store, state }),
      readiness,
      queueBoard: createQueueBoard({ producer, store, basePath: queueBoardPath }),
      logger,
      keys: config.keys,
      rateLimit: rateLimitOf(config, redis),
      trustedProxies: config.trustedProxies,
      corsOrigins: config.corsOrigins,
      uploads: new UploadedInputs({ connection: redis.commands, clock }),
      maxUploadBytes: config.core.maxUploadBytes,
      maxBatchUploadBytes: config.maxBatchUploadBytes,
      bodyTime: bodyTimeLimits,
      maxDurationMs: config.core.maxDurationMs,
      publicBaseUrl: config.core.publicBaseUrl,
      heartbeatMs: 15_000,
      maxEventStreams: 2_500,
    },
    async close() {
      // A Redis that is gone never acknowledges.
      if (redis.serves) await Promise.race([producer.close(), delay(closeLimitMs)]);
      redis.disconnect();
    },
  };
}
