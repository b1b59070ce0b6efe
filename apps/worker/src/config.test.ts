import { describe, expect, it } from 'vitest';
import { workerConfigFromEnvironment } from './config.ts';
import { countRenderSlots, readMachine } from './render-slots.ts';

const redis = { REDIS_URL: 'redis://127.0.0.1:6379' };

describe('workerConfigFromEnvironment', () => {
  it('By default a worker serves all lanes and renders one job at a time.', async () => {
    const { lanes } = await workerConfigFromEnvironment(redis);
    expect(lanes).toEqual([
      { lane: 'fetch', concurrency: 32 },
      { lane: 'cloud', concurrency: 16 },
      { lane: 'webhook', concurrency: 32 },
      { lane: 'render', concurrency: 1 },
    ]);
  });

  it('WORKER_LANES restricts a worker to one lane.', async () => {
    const { lanes } = await workerConfigFromEnvironment({
      ...redis,
      WORKER_LANES: 'render',
      WORKER_RENDER_CONCURRENCY: '2',
    });
    expect(lanes).toEqual([{ lane: 'render', concurrency: 2 }]);
  });

  it('A worker of the cloud lane also fetches inputs and sends webhooks, with concurrencies of their own.', async () => {
    const { lanes } = await workerConfigFromEnvironment({
      ...redis,
      WORKER_LANES: 'cloud',
      WORKER_FETCH_CONCURRENCY: '3',
      WORKER_WEBHOOK_CONCURRENCY: '4',
    });
    expect(lanes).toEqual([
      { lane: 'fetch', concurrency: 3 },
      { lane: 'cloud', concurrency: 16 },
      { lane: 'webhook', concurrency: 4 },
    ]);
  });

  it('WORKER_RENDER_CONCURRENCY=auto follows from the cores and the memory of the machine.', async () => {
    const environment = { ...redis, WORKER_LANES: 'render', WORKER_RENDER_CONCURRENCY: 'auto' };
    const { lanes } = await workerConfigFromEnvironment(environment);
    expect(lanes).toEqual([{ lane: 'render', concurrency: countRenderSlots(await readMachine()) }]);
  });

  it.each([
    [{ WORKER_RENDER_CONCURRENCY: 'all' }, /WORKER_RENDER_CONCURRENCY: must be a non-negative integer or auto/],
    [{ WORKER_LANES: 'gpu' }, /WORKER_LANES/],
    [{ WORKER_LANES: ',' }, /WORKER_LANES: must name at least one lane/],
    [{ WORKER_LANES: 'cloud,cloud' }, /WORKER_LANES: must name at least one lane, and each once/],
    [{ WORKER_LANES: 'fetch' }, /WORKER_LANES: must be one of cloud, render/],
    [{ WORKER_FETCH_CONCURRENCY: '0' }, /WORKER_FETCH_CONCURRENCY: must be at least 1/],
    [{ WORKER_RENDER_CONCURRENCY: '0' }, /WORKER_RENDER_CONCURRENCY: must be at least 1/],
    [{ QUEUE_LOCK_MS: '1s' }, /QUEUE_LOCK_MS: must be a non-negative integer/],
    [{ QUEUE_STALLED_INTERVAL_MS: '0' }, /QUEUE_STALLED_INTERVAL_MS: must be at least 100/],
    [{ REDIS_URL: 'redis://:broken:url' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
    [{ REDIS_URL: '' }, /REDIS_URL: must be a redis:\/\/ or rediss:\/\/ URL/],
  ])('The settings %j are rejected with the reason.', async (environment, reason) => {
    await expect(workerConfigFromEnvironment({ ...redis, ...environment })).rejects.toThrow(reason);
  });
});
