import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import {
  JobRunner,
  LipsyncHandler,
  LocalArtifactStore,
  newJobRecord,
  OutboxDispatcher,
  type OutboxConsumer,
  type InputReference,
  systemClock,
  type JobEvent,
  type JobRecord,
  type JobRunnerOptions,
  type LipsyncHandlerOptions,
  type JobStore,
  silentLogger,
} from '@lipsync/core/host';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '@lipsync/core/contract';
import {
  createClientConnection,
  LipsyncProducer,
  RedisConcurrencySlots,
  RedisJobNotifications,
  RedisJobStore,
  RedisResultCache,
  queueNames,
  type Lane,
  RedisClock,
} from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { LaneWorkers } from '../src/lane-workers.ts';

type Pipeline = LipsyncHandlerOptions['pipeline'];
export type Step = (...args: Parameters<Pipeline['run']>) => ReturnType<Pipeline['run']>;

/** Real Redis, BullMQ, store and runner; only the pipeline is scripted by the test. */
export interface WaitingBench {
  readonly redis: Pick<TestRedis, 'kill' | 'restart'>;
  readonly store: RedisJobStore;
  readonly producer: LipsyncProducer;
  readonly slots: RedisConcurrencySlots;
  readonly queues: Readonly<Record<Lane, Queue>>;
  /** Ids of the jobs whose remote work was abandoned. */
  readonly abandoned: string[];
  /** Starts a worker that runs `step` for each run of a job. */
  work(
    lanes: readonly { readonly lane: Lane; readonly concurrency: number }[],
    step: Step,
    options?: WorkOptions,
  ): Promise<void>;
  /** Closes the connection on which workers are notified of cancels, until `reset`. */
  cutNotifications(): void;
  /** The inputs of the job are stored unless `video` is given. */
  submit(id: string, options?: LipsyncOptionsInput, video?: InputReference): Promise<JobRecord>;
  /** Empties Redis and stops the workers. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export interface WorkOptions {
  /** Called after each event that the worker stores. */
  readonly onAppend?: (id: string, event: JobEvent) => Promise<void>;
  /** Default: too long for any test to depend on it. */
  readonly cancelPollMs?: number;
  /** Resolves by default. */
  readonly checkStorage?: JobRunnerOptions['checkStorage'];
  /** Lets equal jobs share results, and delivers the ends of jobs. */
  readonly sharesResults?: boolean;
  /** Called after a job was parked, before the run ends. */
  readonly onParked?: (id: string) => Promise<void>;
  /** Fetches nothing by default. */
  readonly inputs?: JobRunnerOptions['inputs'];
}

const noInputs: JobRunnerOptions['inputs'] = { fetch: () => Promise.reject(new Error('this test fetches nothing')) };

export async function openWaitingBench(): Promise<WaitingBench> {
  const redis = await startTestRedis();
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-waiting-'));
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  const subscriber = createClientConnection({ url: redis.url, onError: () => undefined });
  const store = new RedisJobStore({ connection });
  const producer = new LipsyncProducer({
    connection,
    store,
    clock: systemClock,
    logger: silentLogger,
    requeueAfterMs: 0,
  });
  const slots = new RedisConcurrencySlots({ connection, clock: systemClock });
  const notifications = new RedisJobNotifications({ connection: subscriber });
  const queues = {
    fetch: new Queue(queueNames.fetch, { connection }),
    cloud: new Queue(queueNames.cloud, { connection }),
    render: new Queue(queueNames.render, { connection }),
    webhook: new Queue(queueNames.webhook, { connection }),
  };
  const artifacts = new LocalArtifactStore({
    inputsDir: join(folder, 'inputs'),
    outputsDir: join(folder, 'outputs'),
  });
  const abandoned: string[] = [];
  const workers: { stop(): Promise<void> }[] = [];
  const stopWorkers = () => Promise.all(workers.splice(0).map((worker) => worker.stop()));
  return {
    redis,
    store,
    producer,
    slots,
    queues,
    abandoned,
    cutNotifications: () => subscriber.disconnect(),
    async work(
      lanes,
      step,
      {
        onAppend,
        onParked,
        cancelPollMs = 60_000,
        inputs = noInputs,
        checkStorage = async () => undefined,
        sharesResults = false,
      } = {},
    ) {
      const results = new RedisResultCache({ connection, store, artifacts });
      if (sharesResults) {
        await results.setEngineVersion('v1');
        workers.push(startOutbox({ store, producer, results }));
      }
      const options = {
        ...(sharesResults && { results }),
        store: onAppend ? observeAppends(store, onAppend) : store,
        clock: systemClock,
        logger: silentLogger,
        workFolder: join(folder, 'work'),
        cancelPollMs,
        watchCancel: (jobId: string, onChange: () => void) => notifications.watchInterrupts(jobId, onChange),
        progressIntervalMs: 0,
        releaseLimitMs: 60_000,
        inputs,
        pipeline: { run: step, abandon: async ({ jobId }: { readonly jobId: string }) => void abandoned.push(jobId) },
        checkStorage,
        publish: async (takePath: string, { id }: { readonly id: string }) =>
          (await artifacts.publish(takePath, `outputs/${id}/output.mp4`)).key,
      };
      const runner = new JobRunner({ ...options, handlers: { lipsync: new LipsyncHandler(options) } });
      const config = { redisUrl: redis.url, lanes, shutdownGraceMs: 0, lockMs: 2_000, stalledIntervalMs: 500 };
      const worker = new LaneWorkers({
        config,
        runner,
        producer: onParked ? observeParked(producer, onParked) : producer,
        redis: { report: () => true, serves: true, verify: async () => undefined, clock: new RedisClock(systemClock) },
        logger: silentLogger,
      });
      await worker.start();
      workers.push(worker);
    },
    async submit(id, options = {}, video) {
      const input = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
      const record = newJobRecord({
        id,
        options: lipsyncOptionsSchema.parse(options),
        video: video ?? input,
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
      if (subscriber.status === 'end') await subscriber.connect();
      await connection.flushdb();
    },
    async close() {
      await stopWorkers();
      await Promise.all([...Object.values(queues).map((queue) => queue.close()), producer.close()]);
      connection.disconnect();
      subscriber.disconnect();
      await redis.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Wakes followers as a worker does. */
function startOutbox({
  store,
  producer,
  results,
}: {
  readonly store: RedisJobStore;
  readonly producer: LipsyncProducer;
  readonly results: RedisResultCache;
}): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const consumers: readonly OutboxConsumer[] = [({ jobId }) => results.wakeFollowers(jobId, producer)];
  const outbox = new OutboxDispatcher({ store, consumers, clock: systemClock, logger: silentLogger, intervalMs: 100 });
  const delivered = outbox.run(stopped.signal);
  return {
    async stop() {
      stopped.abort();
      await delivered;
    },
  };
}

function observeParked(producer: LipsyncProducer, onParked: (id: string) => Promise<void>): LipsyncProducer {
  return new Proxy(producer, {
    get(target, name) {
      // `as`: the name of a method of the producer.
      const method = target[name as keyof LipsyncProducer].bind(target);
      if (name !== 'wakeIfMissed') return method;
      return async (id: string) => {
        await onParked(id);
        await target.wakeIfMissed(id);
      };
    },
  });
}

function observeAppends(store: JobStore, onAppend: NonNullable<WorkOptions['onAppend']>): JobStore {
  return new Proxy(store, {
    get(target, name) {
      // `as`: the name of a method of the store.
      const method = target[name as keyof JobStore].bind(target);
      if (name !== 'append') return method;
      return async (id: string, event: JobEvent) => {
        const record = await target.append(id, event);
        await onAppend(id, event);
        return record;
      };
    },
  });
}

/** Completes a job. */
export const make: Step = async ({ workspace }) => {
  const takePath = workspace.file('take.mp4');
  await writeFile(takePath, 'a take');
  return { type: 'made', takePath, methodUsed: 'preview', degraded: true, durationMs: 1_000, warnings: [] };
};

/** Parks a job for `ms`. */
export function waitFor(ms: number): Step {
  return async () => ({ type: 'waiting', untilMs: Date.now() + ms });
}
