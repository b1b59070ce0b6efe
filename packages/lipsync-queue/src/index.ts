export { createClientConnection, createWorkerConnection, type ConnectionOptions } from './connection.ts';
export {
  jobCatalogue,
  laneFor,
  laneOf,
  lanes,
  queueNames,
  type JobName,
  type JobPayload,
  type Lane,
} from './job-catalogue.ts';
export { createRedisJobWatcher, type JobWatcher, type Unsubscribe } from './job-watcher.ts';
export { createProducer, type LipsyncProducer, type LipsyncProducerDependencies } from './lipsync-producer.ts';
export { createLipsyncQueue, type EnqueueInput, type LipsyncQueue, type LipsyncQueueOptions } from './program.ts';
export { openLipsyncQueue } from './open-lipsync-queue.ts';
export type { LipsyncQueueHandle } from './queue-entries.ts';
export { createQueuedJobs, type JobSubmission, type QueuedJobs, type QueuedJobsDependencies } from './queued-jobs.ts';
export { createRedisJobStore } from './redis-job-store.ts';
export { createRedisStateStore, type RedisStateStoreOptions } from './redis-state-store.ts';
export { watchJob, type WatchJobDependencies } from './watch-job.ts';
