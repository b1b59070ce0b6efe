/** Body of a worker process of the queue benchmark: claims jobs and completes their records without any work. */
import { silentLogger, systemClock } from '@lipsync/core/host';
import { createClientConnection, LipsyncProducer, RedisClock, RedisJobStore } from '@lipsync/queue';
import { LaneWorkers } from '../../apps/worker/src/lane-workers.ts';

const redisUrl = process.env['REDIS_URL'] ?? '';
const concurrency = Number(process.env['WORKER_RENDER_CONCURRENCY'] ?? 1);
/** A third of the interval of a worker, so that a short measurement includes a sweep. */
const sweepIntervalMs = 5_000;

const connection = createClientConnection({ url: redisUrl, onError: () => undefined });
const clock = new RedisClock(systemClock);
const store = new RedisJobStore({ connection });
const producer = new LipsyncProducer({ connection, store, clock, logger: silentLogger });
const result = { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1, outputKey: 'none' } as const;
const lanes = new LaneWorkers({
  config: {
    redisUrl,
    lanes: [{ lane: 'render', concurrency }],
    shutdownGraceMs: 1_000,
    lockMs: 30_000,
    stalledIntervalMs: 15_000,
  },
  runner: {
    async run(id) {
      const { runs: run } = await store.append(id, { type: 'run_started', atMs: clock.nowMs() });
      return store.append(id, { type: 'completed', run, atMs: clock.nowMs(), result, warnings: [] });
    },
  },
  producer,
  // It has no files, so any Redis is the right one.
  redis: { report: () => true, serves: true, verify: async () => undefined, clock },
  logger: silentLogger,
});
await lanes.start();
// Every worker also runs sweeps.
setInterval(() => void producer.sweep().catch(() => undefined), sweepIntervalMs);
process.stdout.write('ready\n');
