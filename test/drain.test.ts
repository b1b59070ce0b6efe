import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLipsyncQueue } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';
import { workerStopLimitMs } from '../apps/worker/src/config.ts';
import { startHeygenStandin } from '../packages/heygen-standin/src/index.ts';
import { shortenSample } from '../scripts/lib/short-sample.ts';
import { standinEnvironment } from '../scripts/lib/standin-environment.ts';
import { startService } from './support/service-process.ts';

const graceMs = 500;
const jobs = 4;

it(
  'A worker that is stopped hands its jobs over within its limit, and another one finishes them without a second payment.',
  { timeout: 180_000 },
  async () => {
    const redis = await startTestRedis();
    onTestFinished(() => redis.stop());
    const folder = await mkdtemp(join(tmpdir(), 'drain-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const standin = await startHeygenStandin({
      settings: { mouth: 'old', pace: { by: 'reads', pendingReads: 1, runningReads: 5 }, maxConcurrent: 10 },
    });
    onTestFinished(() => standin.close());
    const { control } = standin;
    // Some jobs are between request and answer when their worker is stopped.
    control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 1_500 }, times: 'always' });
    const settings = {
      ...standinEnvironment(standin),
      LIPSYNC_QUALITY: 'off',
      WORKER_LANES: 'cloud',
      WORKER_SHUTDOWN_GRACE_MS: String(graceMs),
    };
    const queue = openLipsyncQueue({
      redisUrl: redis.url,
      dataDir: join(folder, 'data'),
      outputDir: join(folder, 'outputs'),
    });
    onTestFinished(() => queue.close());
    const start = () => {
      const worker = startService('worker', { redisUrl: redis.url, folder, settings });
      onTestFinished(() => worker.stop());
      return worker;
    };
    const first = start();
    const sample = await shortenSample(folder, 0.8);
    const ids: string[] = [];
    for (let count = 0; count < jobs; count += 1)
      ids.push((await queue.enqueue({ ...sample, method: 'heygen', cache: false })).id);
    const requests = (): number => control.log().filter(({ route }) => route === 'create').length;
    await expect.poll(requests, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
    const second = start();
    const startedMs = performance.now();
    await first.stop('SIGTERM');
    expect(performance.now() - startedMs).toBeLessThan(graceMs + workerStopLimitMs);
    expect(first.child.exitCode).toBe(0);
    for (const id of ids) {
      const record = await queue.waitFor(id, { timeoutMs: 120_000 });
      expect(record).toMatchObject({ status: 'completed', crashes: 0 });
    }
    expect(control.operations().operations).toHaveLength(jobs);
    expect(control.wallet().charges).toHaveLength(jobs);
    await second.stop();
  },
);
