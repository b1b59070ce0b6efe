/**
 * `npm run bench -- queue [--jobs 4000] [--queued 100000] [--probes 200]`: measures jobs per second without any work,
 * by number of worker processes; then the time until the API accepts a job and until a job starts, with an empty queue
 * and with a long one.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createIdSource, newJobRecord, silentLogger, systemClock, type JobRecord } from '@lipsync/core/host';
import { lipsyncOptionsSchema } from '@lipsync/core/contract';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '@lipsync/queue';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import type { Redis } from 'ioredis';
import { appProcess } from '../stack/app-process.ts';
import { startGuarded, type GuardedProcess } from '../stack/guarded-process.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { openConnection } from './accept-load.ts';

const projectDir = join(import.meta.dirname, '..', '..');
const workerCounts = [1, 2, 4];
const fillBatchSize = 100;
/** Simultaneous jobs of a worker process while throughput is measured. */
const busyConcurrency = 16;
const startLimitMs = 60_000;
const ids = createIdSource(systemClock);

interface Bench {
  readonly redis: TestRedis;
  readonly connection: Redis;
  readonly store: RedisJobStore;
  readonly producer: LipsyncProducer;
}

export async function benchQueue(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      jobs: { type: 'string', default: '4000' },
      queued: { type: 'string', default: '100000' },
      probes: { type: 'string', default: '200' },
    },
  });
  const redis = await startTestRedis();
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  const store = new RedisJobStore({ connection });
  const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
  const bench: Bench = { redis, connection, store, producer };
  try {
    // As in docker-compose.yml. A sync for every write would measure the disk.
    await connection.config('SET', 'appendfsync', 'everysec');
    await printThroughput(bench, Number(values.jobs));
    await printLatencies(bench, [0, Number(values.queued)], Number(values.probes));
  } finally {
    await producer.close();
    connection.disconnect();
    await redis.stop();
  }
}

async function printThroughput(bench: Bench, jobs: number): Promise<void> {
  console.log('| worker processes | jobs | jobs/s |\n|---|---|---|');
  for (const count of workerCounts) {
    await bench.connection.flushall();
    await fill(bench, jobs);
    const workers = await Promise.all(
      Array.from({ length: count }, () => startQueueWorker(bench.redis.url, busyConcurrency)),
    );
    const before = await countUnfinished(bench);
    const startedMs = performance.now();
    while ((await countUnfinished(bench)) > 0) await sleep(50);
    const seconds = (performance.now() - startedMs) / 1_000;
    await stopAll(workers);
    console.log(`| ${count} | ${before} | ${(before / seconds).toFixed(0)} |`);
  }
}

interface Latencies {
  readonly acceptMs: readonly number[];
  readonly startMs: readonly number[];
}

async function printLatencies(bench: Bench, lengths: readonly number[], probes: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-queue-'));
  console.log(
    '\n| queued jobs | accept p50, ms | accept p95, ms | start p50, ms | start p95, ms |\n|---|---|---|---|---|',
  );
  const medians: number[][] = [];
  try {
    for (const length of lengths) {
      await bench.connection.flushall();
      // The first sweep of an installation also indexes its jobs, once.
      await bench.producer.sweep();
      await fill(bench, length);
      const { acceptMs, startMs } = await probeQueue(bench, folder, probes);
      const figures = [
        percentile(acceptMs, 0.5),
        percentile(acceptMs, 0.95),
        percentile(startMs, 0.5),
        percentile(startMs, 0.95),
      ];
      medians.push(figures);
      console.log(`| ${length} | ${figures.map((figure) => figure.toFixed(1)).join(' | ')} |`);
    }
    const [empty = [], long = []] = medians;
    console.log(`| ratio | ${long.map((figure, index) => (figure / (empty[index] ?? NaN)).toFixed(2)).join(' | ')} |`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Measures how long the API takes to accept a job and how long a worker takes to start one. Queued jobs have the lowest
 * priority, so that a new job is always the next one. The worker runs one job at a time, the default of the render
 * lane; parallel jobs would compete with the measured start for the processor.
 */
async function probeQueue({ redis, store, producer }: Bench, folder: string, probes: number): Promise<Latencies> {
  const api = await startApi(redis.url, folder);
  const acceptMs: number[] = [];
  const startMs: number[] = [];
  const connection = await openConnection(api.url);
  try {
    // Not measured: the first requests compile code and open connections.
    for (let count = 0; count < 50; count += 1) await connection.accept(false);
    for (let count = 0; count < probes; count += 1) {
      const sentMs = performance.now();
      await connection.accept(false);
      acceptMs.push(performance.now() - sentMs);
      await sleep(5);
    }
    const worker = await startQueueWorker(redis.url, 1);
    try {
      // Until the worker has compiled its code.
      await sleep(3_000);
      for (let count = 0; count < probes; count += 1) {
        const job = newJob(0);
        const sentMs = performance.now();
        await producer.submit(job, 'render');
        while ((await store.get(job.id))?.status === 'queued') await sleep(1);
        startMs.push(performance.now() - sentMs);
        await sleep(20);
      }
    } finally {
      await stopAll([worker]);
    }
  } finally {
    connection.close();
    await api.process.stop();
  }
  return { acceptMs, startMs };
}

async function fill({ producer }: Bench, count: number): Promise<void> {
  for (let start = 0; start < count; start += fillBatchSize) {
    const size = Math.min(fillBatchSize, count - start);
    await Promise.all(Array.from({ length: size }, () => producer.submit(newJob(10), 'render')));
  }
}

function newJob(priority: number): JobRecord {
  return newJobRecord({
    id: ids.jobId(),
    options: lipsyncOptionsSchema.parse({ method: 'preview', priority }),
    video: { kind: 'artifact', key: `inputs/${'a'.repeat(64)}`, name: 'clip.mp4' },
    audio: { kind: 'artifact', key: `inputs/${'b'.repeat(64)}`, name: 'speech.wav' },
    owner: null,
    nowMs: Date.now(),
  });
}

async function countUnfinished({ connection }: Bench): Promise<number> {
  return connection.zcard('lipsync:jobs-unfinished');
}

async function startQueueWorker(redisUrl: string, concurrency: number): Promise<ChildProcess> {
  const worker = spawn(process.execPath, [join(import.meta.dirname, 'queue-worker.ts')], {
    env: { PATH: process.env['PATH'], REDIS_URL: redisUrl, WORKER_RENDER_CONCURRENCY: String(concurrency) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (!worker.stdout) throw new Error('The worker has no output.');
  await once(worker.stdout, 'data', { signal: AbortSignal.timeout(startLimitMs) });
  return worker;
}

async function stopAll(workers: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    workers.map(async (worker) => {
      if (worker.kill('SIGKILL')) await once(worker, 'exit');
    }),
  );
}

async function startApi(
  redisUrl: string,
  folder: string,
): Promise<{ readonly url: string; readonly process: GuardedProcess }> {
  const api = appProcess({
    name: 'api',
    projectDir,
    settingsDir: folder,
    stopGraceMs: 10_000,
    onLine: () => undefined,
    onEvent: () => undefined,
    environment: {
      PATH: process.env['PATH'],
      HOST: '127.0.0.1',
      PORT: String(await freeLoopbackPort()),
      REDIS_URL: redisUrl,
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
    },
  });
  const started = await startGuarded(api.plan);
  const { url } = await api.whenReady(AbortSignal.timeout(startLimitMs));
  if (url === undefined) throw new Error('The API did not print its address.');
  return { url, process: started };
}

/** The value below which `share` of the values lie. */
function percentile(values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? NaN;
}
