import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeJobRecord, silentLogger, systemClock } from '@lipsync/core/host';
import { testJobRecord } from '@lipsync/core/testing';
import { createClientConnection, LipsyncProducer, queueNames, RedisJobStore } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { Queue } from 'bullmq';
import { expect, it, onTestFinished } from 'vitest';
import { startService } from '../../../test/support/service-process.ts';

it(
  'A worker runs jobs of the previous version, and leaves those of a later one alone without claiming them over and over.',
  { timeout: 120_000 },
  async () => {
    const redis = await startTestRedis();
    onTestFinished(() => redis.stop());
    const connection = createClientConnection({ url: redis.url, onError: () => undefined });
    const folder = await mkdtemp(join(tmpdir(), 'record-versions-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const store = new RedisJobStore({ connection });
    const producer = new LipsyncProducer({ connection, store, clock: systemClock, logger: silentLogger });
    const queue = new Queue(queueNames.render, { connection });
    onTestFinished(async () => {
      await queue.close();
      await producer.close();
      connection.disconnect();
    });
    const { format } = encodeJobRecord(testJobRecord('job_any'));
    const stored = async (id: string) => connection.hgetall(`lipsync:jobs:${id}`);
    const storeAs = async (id: string, change: Readonly<Record<string, string>>) =>
      void (await connection.hset(`lipsync:jobs:${id}`, change));
    const createdAtMs = Date.now() - 60_000;
    for (const id of ['job_later', 'job_unqueued', 'job_ended', 'job_erased', 'job_old'])
      await store.create(testJobRecord(id, createdAtMs));
    const later = { format: String(Number(format) + 1), record: JSON.stringify({ id: 'of a later version' }) };
    await store.append('job_ended', { type: 'canceled', atMs: createdAtMs });
    for (const id of ['job_later', 'job_unqueued', 'job_ended', 'job_erased']) await storeAs(id, later);
    await connection.sadd('lipsync:jobs-erasing', 'job_erased');
    // Format 3 kept the options of a lip-sync job beside its inputs.
    const { spec, kind: _, ...rest } = testJobRecord('job_old', createdAtMs);
    await storeAs('job_old', { format: '3', record: JSON.stringify({ ...rest, ...spec, plan: ['preview'] }) });
    for (const [name, jobId] of [
      ['lipsync', 'job_later'],
      ['dubbing', 'job_of_a_later_kind'],
      ['lipsync', 'job_old'],
    ] as const)
      await queue.add(name, { jobId, addedLater: true }, { jobId, priority: 6 });

    const worker = startService('worker', {
      redisUrl: redis.url,
      folder,
      settings: { WORKER_LANES: 'render', LIPSYNC_RETENTION_RECORDS_MS: '1000' },
    });
    onTestFinished(() => worker.stop());
    // Two claims of each: one at once, the other after the delay.
    const claimsMs = new Set<number>();
    const countClaims = async () => {
      const claimedAtMs = (await queue.getJob('job_later'))?.processedOn;
      return claimedAtMs === undefined ? 0 : claimsMs.add(claimedAtMs).size;
    };
    const startedMs = performance.now();
    await expect.poll(countClaims, { timeout: 40_000 }).toBeGreaterThanOrEqual(2);
    expect(performance.now() - startedMs).toBeGreaterThan(5_000);
    await expect.poll(() => queue.getJobState('job_later'), { timeout: 10_000 }).toBe('delayed');
    await expect.poll(() => queue.getJobState('job_of_a_later_kind'), { timeout: 10_000 }).toBe('delayed');
    for (const id of ['job_later', 'job_unqueued', 'job_ended', 'job_erased'])
      expect(await stored(id)).toMatchObject(later);
    await worker.stop('SIGTERM');
    await worker.ended;
    const records = worker.records();
    expect(records.filter(({ level }) => level > 30)).toEqual([]);
    // The job of the previous version ran; its input does not exist.
    expect(records).toContainEqual(expect.objectContaining({ jobId: 'job_old', code: 'not_found' }));
    expect(records.filter(({ jobId, msg }) => jobId === 'job_later' && msg.includes('later version'))).toHaveLength(1);
  },
);
