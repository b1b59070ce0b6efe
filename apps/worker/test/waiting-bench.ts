import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import {
  createJobRunner,
  LocalArtifactStore,
  newJobRecord,
  systemClock,
  type JobRecord,
  type JobRunnerDependencies,
  type JobStore,
  type Logger,
} from '@lipsync/core';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '@lipsync/core/contract';
import {
  createClientConnection,
  createProducer,
  createRedisJobStore,
  queueNames,
  type Lane,
  type LipsyncProducer,
} from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { serveLanes } from '../src/wiring.ts';

type Pipeline = JobRunnerDependencies['pipeline'];
export type Step = (...args: Parameters<Pipeline['run']>) => ReturnType<Pipeline['run']>;

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Real Redis, BullMQ, store and runner; only what a job does is told by the test. */
export interface WaitingBench {
  readonly store: JobStore;
  readonly producer: LipsyncProducer;
  readonly queues: Readonly<Record<Lane, Queue>>;
  /** Ids of the jobs that were abandoned. */
  readonly abandoned: string[];
  /** Starts a worker whose runs of each job do `step`. `watchStore` may see, and take part in, what is stored. */
  work(
    lanes: readonly { readonly lane: Lane; readonly concurrency: number }[],
    step: Step,
    watchStore?: (store: JobStore) => JobStore,
  ): Promise<void>;
  submit(id: string, options?: LipsyncOptionsInput): Promise<JobRecord>;
  /** Empties Redis and stops the workers. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function openWaitingBench(): Promise<WaitingBench> {
  const redis = await startTestRedis();
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-waiting-'));
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  const store = createRedisJobStore({ connection });
  const producer = createProducer({ connection, store, clock: systemClock, logger: quiet, requeueAfterMs: 0 });
  const queues = {
    cloud: new Queue(queueNames.cloud, { connection }),
    render: new Queue(queueNames.render, { connection }),
  };
  const artifacts = new LocalArtifactStore({
    inputsDir: join(folder, 'inputs'),
    outputsDir: join(folder, 'outputs'),
  });
  const abandoned: string[] = [];
  const workers: { stop(): Promise<void> }[] = [];
  const stopWorkers = () => Promise.all(workers.splice(0).map((worker) => worker.stop()));
  return {
    store,
    producer,
    queues,
    abandoned,
    async work(lanes, step, watchStore = (given) => given) {
      const runner = createJobRunner({
        store: watchStore(store),
        artifacts,
        clock: systemClock,
        logger: quiet,
        workFolder: join(folder, 'work'),
        cancelPollMs: 50,
        progressIntervalMs: 0,
        fetcher: { fetch: () => Promise.reject(new Error('nothing is fetched here')) },
        pipeline: { run: step, abandon: async ({ jobId }) => void abandoned.push(jobId) },
      });
      const config = { redisUrl: redis.url, lanes, shutdownGraceMs: 0, lockMs: 2_000, stalledIntervalMs: 500 };
      workers.push(await serveLanes(config, { runner, producer }, quiet));
    },
    async submit(id, options = {}) {
      const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
      const record = newJobRecord({
        id,
        options: lipsyncOptionsSchema.parse(options),
        video: input,
        audio: input,
        owner: null,
        nowMs: Date.now(),
        start: { plan: null, needs: options.method === 'heygen' ? 'remote' : null },
      });
      await producer.submit(record);
      return record;
    },
    async reset() {
      await stopWorkers();
      abandoned.length = 0;
      await connection.flushdb();
    },
    async close() {
      await stopWorkers();
      await Promise.all([queues.cloud.close(), queues.render.close(), producer.close()]);
      connection.disconnect();
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Ends a job with an output. */
export const make: Step = async ({ workspace }) => {
  const takePath = workspace.file('take.mp4');
  await writeFile(takePath, 'a take');
  return { kind: 'made', takePath, methodUsed: 'preview', degraded: true, durationMs: 1_000, warnings: [] };
};

/** Has a job wait for so long. */
export function waitFor(ms: number): Step {
  return async () => ({ kind: 'waiting', untilMs: Date.now() + ms });
}
