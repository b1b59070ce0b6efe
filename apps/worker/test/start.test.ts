import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { testJobRecord } from '@lipsync/core/testing';
import { createClientConnection, openLipsyncQueue, RedisJobStore } from '@lipsync/queue';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { startService, type ServiceProcess } from '../../../test/support/service-process.ts';

/** Generous for a loaded machine; a worker that waits for a limit of its own takes 10 s and more. */
const stopLimitMs = 8_000;

let redis: TestRedis;
beforeAll(async () => {
  redis = await startTestRedis();
});
afterAll(() => redis.stop());

async function startWorker(settings: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'worker-start-'));
  const worker = startService('worker', { folder, settings });
  onTestFinished(async () => {
    await worker.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return worker;
}

function isReady(worker: ServiceProcess): boolean {
  return worker.records().some(({ ready }) => ready === true);
}

/** Sends SIGTERM; resolves with the time until the exit. */
async function measureStop(worker: ServiceProcess): Promise<number> {
  const startedMs = performance.now();
  await worker.stop('SIGTERM');
  return performance.now() - startedMs;
}

it(
  'A worker that starts before its Redis waits with one log line and starts when Redis does.',
  { timeout: 60_000 },
  async () => {
    const own = await startTestRedis();
    onTestFinished(() => own.stop());
    await own.kill();
    const worker = await startWorker({ REDIS_URL: own.url });
    await expect.poll(() => worker.records().length, { timeout: 20_000 }).toBe(1);
    await delay(3_000);
    expect(worker.records().map(({ msg }) => msg)).toEqual([
      expect.stringContaining(`Redis at 127.0.0.1:${own.port} cannot be reached`),
    ]);
    expect(isReady(worker)).toBe(false);
    await own.restart();
    await expect.poll(() => isReady(worker), { timeout: 20_000 }).toBe(true);
    await worker.stop('SIGTERM');
    expect(worker.child.exitCode).toBe(0);
  },
);

it(
  'The probes of a worker answer without a key, before and after its Redis can be reached.',
  { timeout: 90_000 },
  async () => {
    const own = await startTestRedis();
    onTestFinished(() => own.stop());
    await own.kill();
    const worker = await startWorker({ REDIS_URL: own.url, METRICS_PORT: '0' });
    const url = await vi.waitUntil(
      () => worker.records().find(({ msg }) => msg === 'probes and metrics are served')?.url,
      { timeout: 20_000 },
    );
    const statusOf = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
    expect(await statusOf('/health')).toBe(200);
    expect(await statusOf('/ready')).toBe(503);
    await own.restart();
    await expect.poll(() => statusOf('/ready'), { timeout: 20_000 }).toBe(200);
    await own.kill();
    await expect.poll(() => statusOf('/ready'), { timeout: 20_000 }).toBe(503);
    expect(await statusOf('/health')).toBe(200);
  },
);

it('SIGTERM ends a worker that waits for its Redis immediately and with status 0.', { timeout: 60_000 }, async () => {
  const worker = await startWorker({ REDIS_URL: 'redis://127.0.0.1:1' });
  await expect.poll(() => worker.records().length, { timeout: 20_000 }).toBe(1);
  expect(await measureStop(worker)).toBeLessThan(2_000);
  expect(worker.child.exitCode).toBe(0);
});

it.each(['kill', 'suspend'] as const)(
  'SIGTERM ends a worker within seconds while its Redis is gone (%s).',
  { timeout: 90_000 },
  async (how) => {
    const own = await startTestRedis();
    onTestFinished(() => own.stop());
    const worker = await startWorker({ REDIS_URL: own.url });
    await expect.poll(() => isReady(worker), { timeout: 20_000 }).toBe(true);
    await own[how]();
    // Until the worker has noticed: at once for a refused connection, at the next check for a silent one.
    await expect.poll(() => worker.records().at(-1)?.msg, { timeout: 40_000 }).toContain('cannot be reached');
    expect(await measureStop(worker)).toBeLessThan(stopLimitMs);
    expect(worker.child.exitCode).toBe(0);
  },
);

it('A worker with a wrong password exits with the reason, without the password.', { timeout: 60_000 }, async () => {
  const own = await startTestRedis();
  onTestFinished(() => own.stop());
  const admin = createClientConnection({ url: own.url, onError: () => undefined });
  await admin.config('SET', 'requirepass', 'secret');
  admin.disconnect();
  const worker = await startWorker({ REDIS_URL: own.url.replace('//', '//:hunter2@') });
  const [status] = await once(worker.child, 'exit');
  expect(status).toBe(1);
  expect(worker.records()).toHaveLength(1);
  expect(worker.records()[0]?.msg).toMatch(/^REDIS_URL: .*rejects the user name or password/);
  expect(JSON.stringify(worker.records())).not.toContain('hunter2');
});

it(
  'A worker without the folder of the API takes no job, and runs the waiting jobs when the folder is mounted.',
  { timeout: 120_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'worker-shared-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const shared = join(folder, 'shared');
    const queue = openLipsyncQueue({
      redisUrl: redis.url,
      dataDir: shared,
      outputDir: join(folder, 'outputs'),
    });
    onTestFinished(() => queue.close());
    const mount = join(folder, 'mount');
    const settings = { REDIS_URL: redis.url, LIPSYNC_DATA_DIR: mount };
    // Redis is new: the worker finds out only when the first job is there.
    const early = await startWorker(settings);
    await expect.poll(() => isReady(early), { timeout: 20_000 }).toBe(true);
    const notMedia = join(folder, 'note.txt');
    await writeFile(notMedia, 'not a video');
    const input = { videoPath: notMedia, audioPath: notMedia, method: 'preview' } as const;
    const ids = [];
    for (let count = 0; count < 3; count += 1) ids.push((await queue.enqueue(input)).id);
    if (early.child.exitCode === null) await once(early.child, 'exit');
    expect(early.child.exitCode).toBe(1);
    expect(early.records().at(-1)?.msg).toMatch(/^REDIS_URL, LIPSYNC_DATA_DIR, LIPSYNC_OUTPUT_DIR: /);

    const restarted = await startWorker(settings);
    await expect
      .poll(() => restarted.records().map(({ msg }) => msg), { timeout: 20_000 })
      .toEqual([expect.stringMatching(/^This worker takes no jobs: LIPSYNC_DATA_DIR /)]);
    expect(isReady(restarted)).toBe(false);
    await rm(mount, { recursive: true });
    await symlink(shared, mount);
    await expect.poll(() => isReady(restarted), { timeout: 20_000 }).toBe(true);
    for (const id of ids) {
      const { error } = await queue.waitFor(id, { timeoutMs: 60_000 });
      expect(error?.code).toBe('clip_unusable');
    }
  },
);

it('A running worker empties the outbox.', { timeout: 60_000 }, async () => {
  const own = await startTestRedis();
  onTestFinished(() => own.stop());
  const connection = createClientConnection({ url: own.url, onError: () => undefined });
  onTestFinished(() => connection.disconnect());
  const store = new RedisJobStore({ connection });
  await store.create(testJobRecord('job_ended'));
  await store.append('job_ended', { type: 'canceled', atMs: 2_000 });
  const worker = await startWorker({ REDIS_URL: own.url });
  await expect.poll(() => isReady(worker), { timeout: 20_000 }).toBe(true);
  await expect.poll(() => store.readOutbox(10), { timeout: 10_000 }).toEqual([]);
  await worker.stop('SIGTERM');
});
