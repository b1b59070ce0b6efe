import {
  checkMethod,
  checkUrl,
  createIdSource,
  CircuitBreaker,
  createCostEstimator,
  Ledger,
  createArtifactStore,
  listProviders,
  optionsSchemaOf,
  parseAllowedHosts,
  planJob,
  systemClock,
  type ArtifactStore,
  type Logger,
} from '@lipsync/core/host';
import {
  createClientConnection,
  LipsyncProducer,
  QueuedJobs,
  RedisJobStore,
  RedisJobNotifications,
  RedisConcurrencySlots,
  RedisStateStore,
} from '@lipsync/queue';
import { queueBoardPath } from './app.ts';
import type { ApiConfig } from './config.ts';
import type { ApiDependencies } from './dependencies.ts';
import { bodyTimeLimits } from './http/body-time.ts';
import { createQueueBoard } from './routes/queue-board.ts';

/** Throws the error of the first folder that cannot be written. */
async function requireWritable(artifacts: ArtifactStore): Promise<void> {
  const { inputs, outputs } = await artifacts.health();
  const error = inputs.error ?? outputs.error;
  if (error) throw error;
}

export interface WiredApi {
  readonly dependencies: ApiDependencies;
  /** Closes the Redis connections. */
  close(): Promise<void>;
}

/** Builds the dependencies of the app. Connects at the first request, so that the API starts without Redis. */
export function wireApi(config: ApiConfig, logger: Logger): WiredApi {
  const onError = (error: Error): void => logger.warn({ error }, 'connection to Redis lost');
  const connection = createClientConnection({ url: config.redisUrl, onError });
  const listening = createClientConnection({ url: config.redisUrl, onError });
  const store = new RedisJobStore({
    connection,
    onUnreadable: (jobId, error) => logger.warn({ jobId, error }, 'stored job record not readable'),
  });
  const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger });
  const watcher = new RedisJobNotifications({ connection: listening });
  const state = new RedisStateStore({ connection });
  const slots = new RedisConcurrencySlots({ connection, clock: systemClock });
  const allowedHosts = parseAllowedHosts(config.core.allowedPrivateHosts);
  const artifacts = createArtifactStore(config.core);
  return {
    dependencies: {
      jobs: new QueuedJobs({
        store,
        producer,
        watcher,
        clock: systemClock,
        ids: createIdSource(systemClock),
        planJob: (options) => planJob(options, config.core),
      }),
      store,
      artifacts,
      checkMethod: (method) => checkMethod(method, config.core),
      providers: listProviders(config.core, { state }),
      optionsSchema: optionsSchemaOf(config.core),
      breaker: new CircuitBreaker({ state, clock: systemClock }),
      ledger: new Ledger({ state, clock: systemClock, caps: config.core.budget }),
      estimator: createCostEstimator(config.core, { state, slots, load: () => producer.load() }),
      clock: systemClock,
      checkUrl: (url) => void checkUrl(url, allowedHosts),
      readiness: [
        { name: 'redis', check: async () => void (await connection.ping()) },
        { name: 'disk', check: () => requireWritable(artifacts) },
      ],
      queueBoard: createQueueBoard({ producer, basePath: queueBoardPath }),
      logger,
      keys: config.keys,
      maxUploadBytes: config.core.maxUploadBytes,
      bodyTime: bodyTimeLimits,
      maxDurationMs: config.core.maxDurationMs,
      publicBaseUrl: config.core.publicBaseUrl,
      heartbeatMs: 15_000,
      maxEventStreams: 1_000,
    },
    async close() {
      await producer.close();
      connection.disconnect();
      listening.disconnect();
    },
  };
}
