import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLipsyncQueue } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';
import { startHeygenStandin } from '../packages/heygen-standin/src/index.ts';
import { shortenSample } from '../scripts/lib/short-sample.ts';
import { standinEnvironment } from '../scripts/lib/standin-environment.ts';
import { startService } from './support/service-process.ts';

/** Node options that set the clock of a process off. */
function clockOff(skewMs: number): string {
  const source = `const now = Date.now; Date.now = () => now() + ${skewMs};`;
  return `--import=data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
}

it(
  'Workers whose clocks are 5 s ahead and 5 s behind complete jobs within their deadlines, once, with times in order.',
  { timeout: 240_000 },
  async () => {
    const redis = await startTestRedis();
    onTestFinished(() => redis.stop());
    const folder = await mkdtemp(join(tmpdir(), 'clock-skew-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    // Few reads: a wait for the next one lasts as long as the clocks differ.
    const standin = await startHeygenStandin({
      settings: { mouth: 'old', pace: { by: 'reads', pendingReads: 0, runningReads: 1 }, maxConcurrent: 3 },
    });
    onTestFinished(() => standin.close());
    for (const skewMs of [5_000, -5_000]) {
      const worker = startService('worker', {
        redisUrl: redis.url,
        folder,
        settings: {
          ...standinEnvironment(standin),
          HEYGEN_MAX_CONCURRENT: '3',
          // Neither depends on the clock of a worker, and both take longer than the jobs themselves.
          LIPSYNC_QUALITY: 'off',
          LIPSYNC_MARKING: 'off',
          WORKER_LANES: 'cloud',
          NODE_OPTIONS: clockOff(skewMs),
        },
      });
      onTestFinished(() => worker.stop());
    }
    const queue = openLipsyncQueue({
      redisUrl: redis.url,
      dataDir: join(folder, 'data'),
      outputDir: join(folder, 'outputs'),
    });
    onTestFinished(() => queue.close());
    const sample = await shortenSample(folder, 0.8);
    const request = { ...sample, method: 'heygen', cache: false, deadlineMs: 150_000 } as const;
    const ids = [];
    for (let count = 0; count < 3; count += 1) ids.push((await queue.enqueue(request)).id);
    for (const id of ids) {
      const { status, error, createdAtMs, startedAtMs, completedAtMs } = await queue.waitFor(id, {
        timeoutMs: 120_000,
      });
      expect({ status, error }).toEqual({ status: 'completed', error: null });
      expect(startedAtMs).toBeGreaterThanOrEqual(createdAtMs);
      expect(completedAtMs).toBeGreaterThanOrEqual(startedAtMs ?? Infinity);
      expect(completedAtMs).toBeLessThan(Date.now() + 500);
    }
    expect(standin.control.wallet().charges).toHaveLength(3);
  },
);
