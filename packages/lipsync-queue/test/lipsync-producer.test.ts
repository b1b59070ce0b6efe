import { testJobRecord, testAttempt } from '@lipsync/core/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClientConnection, LipsyncProducer, RedisJobStore } from '../src/index.ts';
import { sweepLockKey } from '../src/job-keys.ts';
import { silentLogger } from '@lipsync/core/host';
import { openBench, type QueueBench } from './support.ts';

let bench: QueueBench;
const stateOf = async (id: string): Promise<string> => (await bench.producer.queue('render')).getJobState(id);
const counts = async (): Promise<number> => (await bench.producer.queue('render')).count();

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => bench.empty());

describe('submit', () => {
  it('A submitted job is stored, and its queue entry carries only the id.', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    expect((await bench.store.get('job_a'))?.status).toBe('queued');
    const queued = await (await bench.producer.queue('render')).getJob('job_a');
    expect(queued?.data).toEqual({ jobId: 'job_a' });
  });

  it('A job that needs a remote provider is queued in the cloud lane.', async () => {
    await bench.producer.submit({ ...testJobRecord('job_a'), needs: 'remote' });
    expect(await (await bench.producer.queue('cloud')).getJobState('job_a')).toBe('prioritized');
    expect(await stateOf('job_a')).toBe('unknown');
  });

  it('The load counts the jobs of the render lane.', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    await bench.producer.submit(testJobRecord('job_b', 1_000, { priority: 0 }));
    await bench.producer.submit({ ...testJobRecord('job_c'), needs: 'remote' });
    expect(await bench.producer.load()).toEqual({ inlineJobs: 2, inlineSeats: 1 });
  });

  it('The load counts one render slot per render worker.', async () => {
    const workers = await Promise.all([bench.work(async () => undefined), bench.work(async () => undefined)]);
    await expect.poll(async () => (await bench.producer.load()).inlineSeats, { timeout: 20_000 }).toBe(2);
    await Promise.all(workers.map((worker) => worker.close()));
  });

  it('Jobs run in the order of priority, then of submission.', async () => {
    await bench.producer.submit(testJobRecord('job_late', 1_000, { priority: 10 }));
    await bench.producer.submit(testJobRecord('job_usual_1', 1_000));
    await bench.producer.submit(testJobRecord('job_usual_2', 1_000));
    await bench.producer.submit(testJobRecord('job_first', 1_000, { priority: 0 }));
    const order: string[] = [];
    const done = Promise.withResolvers<void>();
    await bench
      .work(async (id) => {
        if (order.push(id) === 4) done.resolve();
      })
      .then(async (worker) => {
        await done.promise;
        await worker.close();
      });
    expect(order).toEqual(['job_first', 'job_usual_1', 'job_usual_2', 'job_late']);
  });

  it('A job that could not be stored is not queued.', async () => {
    await bench.store.create(testJobRecord('job_a'));
    await expect(bench.producer.submit(testJobRecord('job_a'))).rejects.toMatchObject({ code: 'internal' });
    expect(await counts()).toBe(0);
  });

  it('While Redis is down a submit fails within seconds; afterwards it succeeds.', async () => {
    await bench.redis.kill();
    const startedAt = performance.now();
    await expect(bench.producer.submit(testJobRecord('job_a'))).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await bench.redis.restart();
    await bench.producer.submit(testJobRecord('job_a'));
    expect(await stateOf('job_a')).toBe('prioritized');
  });

  it('A producer that was created while Redis was down works once Redis is up.', async () => {
    await bench.redis.kill();
    const { producer } = bench.another();
    await expect(producer.queue('render')).rejects.toMatchObject({ code: 'resource_exhausted' });
    await bench.redis.restart();
    await producer.submit(testJobRecord('job_a'));
    expect(await stateOf('job_a')).toBe('prioritized');
  });

  it('A job that is stored but cannot be queued counts as accepted, and the next sweep queues it.', async () => {
    const connection = createClientConnection({ url: 'redis://127.0.0.1:1', onError: () => undefined });
    const disconnected = new LipsyncProducer({
      connection,
      store: bench.store,
      clock: { nowMs: Date.now },
      logger: silentLogger,
    });
    await disconnected.submit(testJobRecord('job_a'));
    connection.disconnect();
    expect(await stateOf('job_a')).toBe('unknown');
    expect(await bench.producer.sweep()).toEqual({ requeued: 1, expired: 0 });
    expect(await stateOf('job_a')).toBe('prioritized');
  });
});

describe('sweep', () => {
  it('A sweep ignores queued and finished jobs.', async () => {
    await bench.producer.submit(testJobRecord('job_waits'));
    await bench.store.create(testJobRecord('job_ended'));
    await bench.store.append('job_ended', { type: 'canceled', atMs: 2_000 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(await stateOf('job_ended')).toBe('unknown');
  });

  it('A sweep ignores jobs that were stored just now.', async () => {
    const connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    const store = new RedisJobStore({ connection });
    const patient = new LipsyncProducer({
      connection,
      store,
      clock: { nowMs: () => 10_000 },
      logger: silentLogger,
      requeueAfterMs: 5_000,
    });
    await store.create(testJobRecord('job_old', 5_000));
    await store.create(testJobRecord('job_new', 5_001));
    expect(await patient.sweep()).toEqual({ requeued: 1, expired: 0 });
    expect(await stateOf('job_new')).toBe('unknown');
    await patient.close();
    connection.disconnect();
  });

  it('A sweep requeues a job whose queue entry ended while its record did not.', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    const ended = Promise.withResolvers<void>();
    const worker = await bench.work(async () => undefined);
    worker.on('completed', () => ended.resolve());
    await ended.promise;
    await worker.close();
    expect(await stateOf('job_a')).toBe('completed');
    expect(await bench.producer.sweep()).toEqual({ requeued: 1, expired: 0 });
    expect(await stateOf('job_a')).toBe('prioritized');
  });

  it('A sweep ignores a job that a worker holds, and the job cannot be removed.', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const worker = await bench.work(async () => {
      begun.resolve();
      await end.promise;
    });
    await begun.promise;
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(await bench.producer.remove('job_a')).toBe(false);
    end.resolve();
    await worker.close();
  });

  it('A sweep fails jobs that are still queued at their deadline and removes their queue entries.', async () => {
    for (const id of ['job_late', 'job_canceled'])
      await bench.producer.submit(testJobRecord(id, 1_000, { deadlineMs: 1_000 }));
    await bench.producer.submit(testJobRecord('job_in_time', Date.now(), { deadlineMs: 60_000 }));
    await bench.producer.submit(testJobRecord('job_no_hurry', 1_000));
    await bench.store.append('job_canceled', { type: 'canceled', atMs: 2_000 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 1 });
    expect(await bench.store.get('job_late')).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect(await stateOf('job_late')).toBe('unknown');
    for (const id of ['job_in_time', 'job_no_hurry']) expect(await stateOf(id)).toBe('prioritized');
  });

  it('A sweep leaves a job with a kept take to a worker, which deletes the take.', async () => {
    await bench.producer.submit(testJobRecord('job_a', 1_000, { deadlineMs: 1_000 }));
    const keptTake = { methodUsed: 'heygen', degraded: false, durationMs: 1_000, warnings: [] } as const;
    const waiting = { type: 'parked', run: 1, untilMs: 2_000, message: 'Waiting.', waitsForStorage: true } as const;
    await bench.store.append('job_a', { type: 'run_started', atMs: 1_500 });
    await bench.store.append('job_a', { ...waiting, keptTake });
    await bench.store.append('job_a', { type: 'released', run: 1 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(await bench.store.get('job_a')).toMatchObject({ status: 'queued', keptTake });
  });

  it('A sweep moves a job with a rejected take that waits to be rendered to the cloud lane at its deadline.', async () => {
    await bench.producer.submit({ ...testJobRecord('job_a', 1_000, { deadlineMs: 1_000 }), needs: 'inline' });
    const attempt = testAttempt({
      outcome: 'failed',
      code: 'quality_rejected',
      startedAtMs: 1_000,
      endedAtMs: 1_500,
      costMicros: 70,
      take: { degraded: false, durationMs: 1_000, warnings: [] },
    });
    await bench.store.append('job_a', { type: 'run_started', atMs: 1_500 });
    await bench.store.append('job_a', { type: 'attempts_changed', run: 1, attempts: [attempt] });
    await bench.store.append('job_a', { type: 'transferred', run: 1, needs: 'inline' });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(await bench.store.get('job_a')).toMatchObject({ status: 'queued', needs: 'remote' });
    expect(await (await bench.producer.queue('cloud')).getJobState('job_a')).toBe('prioritized');
    expect(await stateOf('job_a')).toBe('unknown');
  });

  it('A sweep leaves the deadline of a running job to its run.', async () => {
    await bench.producer.submit(testJobRecord('job_a', 1_000, { deadlineMs: 1_000 }));
    await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect((await bench.store.get('job_a'))?.status).toBe('processing');
  });

  it('One process sweeps at a time, and the lock expires.', async () => {
    await bench.store.create(testJobRecord('job_a'));
    const swept = await Promise.all([bench.producer, bench.another().producer].map((producer) => producer.sweep()));
    expect(swept.reduce((sum, { requeued }) => sum + requeued, 0)).toBe(1);
    expect(swept).toContainEqual({ requeued: 0, expired: 0 });
    const client = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    expect(await client.pttl(sweepLockKey)).toBeGreaterThan(0);
    client.disconnect();
  });

  it('A sweep compares hundreds of queued jobs with a few commands.', async () => {
    const ids = Array.from({ length: 250 }, (_, index) => `job_${index}`);
    await Promise.all(ids.map((id) => bench.producer.submit(testJobRecord(id))));
    const connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    const producer = new LipsyncProducer({
      connection,
      store: new RedisJobStore({ connection }),
      clock: { nowMs: Date.now },
      logger: silentLogger,
    });
    await Promise.all([producer.queue('render'), producer.queue('cloud')]);
    // The first sweep of an installation indexes the deadlines of the jobs that are stored already.
    await producer.sweep();
    await connection.del(sweepLockKey);
    const asked = vi.spyOn(connection, 'sendCommand');
    expect(await producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(asked.mock.calls.length).toBeLessThan(20);
    await producer.close();
    connection.disconnect();
  });

  it('Several processes that sweep beside a worker queue every job exactly once.', async () => {
    const ids = Array.from({ length: 60 }, (_, index) => `job_${index}`);
    await Promise.all(ids.map((id) => bench.store.create(testJobRecord(id))));
    const ran: string[] = [];
    const done = Promise.withResolvers<void>();
    const worker = await bench.work(async (id) => {
      ran.push(id);
      await bench.store.append(id, { type: 'canceled', atMs: 2_000 });
      if (ran.length === ids.length) done.resolve();
    });
    const producers = [bench.producer, bench.another().producer, bench.another().producer];
    await Promise.all(producers.map((producer) => producer.sweep()));
    await done.promise;
    await worker.close();
    expect(ran.toSorted()).toEqual(ids.toSorted());
    expect(await counts()).toBe(0);
  });
});

describe('waking a job that waits for a slot', () => {
  const cloudStateOf = async (id: string): Promise<string> => (await bench.producer.queue('cloud')).getJobState(id);
  /** Puts a job into the waiting set of a full provider and delays its queue entry. */
  async function waitForSlot(id: string, priority = 5): Promise<void> {
    await bench.slots.acquire('heygen', 'job_holder', { limit: 1 });
    await bench.slots.acquire('heygen', id, { limit: 1, priority });
    await bench.store.create({ ...testJobRecord(id, 1_000, { priority }), needs: 'remote' });
    await bench.store.append(id, { type: 'run_started', atMs: 2_000 });
    await bench.store.append(id, { type: 'parked', run: 1, untilMs: 62_000, message: 'Waiting.' });
    await (await bench.producer.queue('cloud')).add('lipsync', { jobId: id }, { jobId: id, delay: 60_000 });
  }

  it('The job that a released slot took is woken, and no other.', async () => {
    for (const id of ['job_1', 'job_2', 'job_3']) await waitForSlot(id, id === 'job_2' ? 1 : 5);
    const next = await bench.slots.release('heygen', 'job_holder');
    expect(await bench.producer.wakeWaiting('heygen', next ?? '')).toBe('job_2');
    expect(await Promise.all(['job_1', 'job_2', 'job_3'].map(cloudStateOf))).toEqual(['delayed', 'waiting', 'delayed']);
  });

  it('When the job is not delayed, the next waiting job is woken instead, until none waits.', async () => {
    for (const id of ['job_1', 'job_2']) await waitForSlot(id);
    await (await bench.producer.queue('cloud')).remove('job_1');
    const next = await bench.slots.release('heygen', 'job_holder');
    expect(next).toBe('job_1');
    expect(await bench.producer.wakeWaiting('heygen', 'job_1')).toBe('job_2');
    expect(await bench.producer.wakeWaiting('heygen', 'job_1')).toBeNull();
  });

  it('Several processes that release slots at the same moment wake different jobs.', async () => {
    const ids = ['job_1', 'job_2', 'job_3', 'job_4'];
    for (const id of ids) await waitForSlot(id);
    const producers = [bench.producer, bench.another().producer, bench.another().producer];
    const woken = await Promise.all(
      producers.map(async (producer) => {
        const next = await bench.slots.takeNextWaiting('heygen');
        return next === null ? null : producer.wakeWaiting('heygen', next);
      }),
    );
    expect(new Set(woken)).toEqual(new Set(['job_1', 'job_2', 'job_3']));
    expect(await Promise.all(ids.map(cloudStateOf))).toEqual(['waiting', 'waiting', 'waiting', 'delayed']);
  });

  it('A job that ends leaves the waiting set in the same step, however it ends.', async () => {
    for (const id of ['job_1', 'job_2', 'job_3']) await waitForSlot(id);
    await bench.store.append('job_1', { type: 'canceled', atMs: 3_000 });
    const failure = { code: 'deadline_exceeded', message: 'Too late.', warnings: [] } as const;
    await bench.store.append('job_2', { type: 'failed', run: 1, atMs: 3_000, ...failure });
    expect([await bench.slots.isWaiting('job_1'), await bench.slots.isWaiting('job_2')]).toEqual([false, false]);
    expect(await bench.slots.release('heygen', 'job_holder')).toBe('job_3');
  });
});

describe('remove', () => {
  it('A removed job leaves its queue, and removing it again has no effect.', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    expect(await bench.producer.remove('job_a')).toBe(true);
    expect(await bench.producer.remove('job_a')).toBe(true);
    expect(await counts()).toBe(0);
  });
});
