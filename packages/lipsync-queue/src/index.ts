export { Batches, type BatchesOptions, type BatchSubmission } from './batches.ts';
export { createClientConnection, createWorkerConnection, type ConnectionOptions } from './connection.ts';
export {
  createRequestKey,
  IdempotencyKeys,
  type HeldKey,
  type RequestClaim,
  type RequestKey,
} from './idempotency-keys.ts';
export {
  jobCatalog,
  laneFor,
  laneOf,
  lanes,
  queuesOfLane,
  workerLanes,
  queueNames,
  recordedJobPayload,
  type JobName,
  type JobPayload,
  type Lane,
  type WorkerLane,
} from './job-catalog.ts';
export { queueTelemetry } from './queue-telemetry.ts';
export { logUnreadableRecords } from './unreadable-records.ts';
export { UploadedInputs } from './uploaded-inputs.ts';
export { outputKeyOf, rateLimitPrefix, storedInputs } from './job-keys.ts';
export { readJobCounts, readStoredJobs, type JobCounts } from './job-counts.ts';
export { privateRedisKey, rewriteErasedData } from './append-only-file.ts';
export { JobErasure, type ErasureState, type JobErasureOptions } from './job-erasure.ts';
export { JobOutputs } from './job-outputs.ts';
export {
  RedisJobNotifications,
  watchJob,
  type JobWatcher,
  type Unsubscribe,
  type WatchJobDependencies,
} from './job-notifications.ts';
export { LipsyncProducer, type LipsyncProducerOptions } from './lipsync-producer.ts';
export { LipsyncQueue, openLipsyncQueue, type EnqueueInput, type LipsyncQueueOptions } from './lipsync-queue.ts';
export type { LipsyncQueueHandle } from './queue-entries.ts';
export {
  QueuedJobs,
  type Accepted,
  type JobSubmission,
  type QualitySubmission,
  type QueuedJobsOptions,
} from './queued-jobs.ts';
export { RedisConcurrencySlots, type RedisConcurrencySlotsOptions } from './redis-concurrency-slots.ts';
export { RedisClock } from './redis-clock.ts';
export { RedisConnections, storeIdKey, type RedisConnectionsOptions } from './redis-connections.ts';
export { inputErased, RedisJobStore } from './redis-job-store.ts';
export { RedisResultCache, type RedisResultCacheOptions } from './redis-result-cache.ts';
export { RedisStateStore, type RedisStateStoreOptions } from './redis-state-store.ts';
export { UserErasure, type UserErasureOptions } from './user-erasure.ts';
export { WaitingWork, type LaneWork } from './waiting-work.ts';
export { readWebhookCounts, type WebhookCounts } from './webhook-counts.ts';
export {
  readRetentionCounts,
  Retention,
  type RetentionAges,
  type RetentionCounts,
  type RetentionOptions,
} from './retention.ts';
