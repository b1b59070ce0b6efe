import type { Attempt } from '@lipsync/core';
import { testJobRecord } from '@lipsync/core/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClientConnection, createProducer, createRedisJobStore } from '../src/index.ts';
import { sweepLockKey } from '../src/job-keys.ts';
import { openBench, silentLogger, type QueueBench } from './support.ts';

let bench: QueueBench;
const stateOf = async (id: string): Promise<string> => (await bench.producer.queue('render')).getJobState(id);
const counts = async (): Promise<number> => (await bench.producer.queue('render')).count();

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());
beforeEach(() => bench.empty());

describe('a submitted job', () => {
  it('is recorded and waits in its lane with nothing but its id', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    expect((await bench.store.get('job_a'))?.status).toBe('queued');
    const queued = await (await bench.producer.queue('render')).getJob('job_a');
    expect(queued?.data).toEqual({ jobId: 'job_a' });
  });

  it('waits in the cloud lane when only a cloud provider will do', async () => {
    await bench.producer.submit({ ...testJobRecord('job_a'), needs: 'remote' });
    expect(await (await bench.producer.queue('cloud')).getJobState('job_a')).toBe('prioritized');
    expect(await stateOf('job_a')).toBe('unknown');
  });

  it('counts among what others have to wait for', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    await bench.producer.submit(testJobRecord('job_b', 1_000, { priority: 0 }));
    await (await bench.producer.queue('cloud')).add('lipsync', { jobId: 'job_c' }, { jobId: 'job_c', delay: 60_000 });
    expect(await bench.producer.load()).toEqual({ remoteJobs: 1, inlineJobs: 2, inlineSeats: 1 });
  });

  it('waits for as many seats as there are workers', async () => {
    const workers = await Promise.all([bench.work(async () => undefined), bench.work(async () => undefined)]);
    await expect.poll(async () => (await bench.producer.load()).inlineSeats, { timeout: 20_000 }).toBe(2);
    await Promise.all(workers.map((worker) => worker.close()));
  });

  it('runs in the order of priority, then of arrival', async () => {
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

  it('is not queued when it could not be recorded', async () => {
    await bench.store.create(testJobRecord('job_a'));
    await expect(bench.producer.submit(testJobRecord('job_a'))).rejects.toMatchObject({ code: 'internal' });
    expect(await counts()).toBe(0);
  });

  it('is refused within seconds while Redis is away, and accepted when it is back', async () => {
    await bench.redis.kill();
    const startedAt = performance.now();
    await expect(bench.producer.submit(testJobRecord('job_a'))).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await bench.redis.restart();
    await bench.producer.submit(testJobRecord('job_a'));
    expect(await stateOf('job_a')).toBe('prioritized');
  });

  it('is accepted by a producer that was made while Redis was away', async () => {
    await bench.redis.kill();
    const { producer } = bench.another();
    await expect(producer.queue('render')).rejects.toMatchObject({ code: 'resource_exhausted' });
    await bench.redis.restart();
    await producer.submit(testJobRecord('job_a'));
    expect(await stateOf('job_a')).toBe('prioritized');
  });

  it('counts as accepted when it is recorded but cannot be queued, and is queued later', async () => {
    const connection = createClientConnection({ url: 'redis://127.0.0.1:1', onError: () => undefined });
    const halfCutOff = createProducer({
      connection,
      store: bench.store,
      clock: { nowMs: Date.now },
      logger: silentLogger,
    });
    await halfCutOff.submit(testJobRecord('job_a'));
    connection.disconnect();
    expect(await stateOf('job_a')).toBe('unknown');
    expect(await bench.producer.sweep()).toEqual({ requeued: 1, expired: 0 });
    expect(await stateOf('job_a')).toBe('prioritized');
  });
});

describe('the sweep', () => {
  it('leaves alone what waits and what is finished', async () => {
    await bench.producer.submit(testJobRecord('job_waits'));
    await bench.store.create(testJobRecord('job_ended'));
    await bench.store.append('job_ended', { type: 'canceled', atMs: 2_000 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(await stateOf('job_ended')).toBe('unknown');
  });

  it('leaves alone what was recorded just now', async () => {
    const connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    const store = createRedisJobStore({ connection });
    const patient = createProducer({
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

  it('queues again what ended in the queue but not in its record', async () => {
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

  it('leaves alone what a worker holds', async () => {
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

  it('fails what still waits at its deadline and takes it out of the queue', async () => {
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

  it('leaves the deadline of a running job to its run', async () => {
    await bench.producer.submit(testJobRecord('job_a', 1_000, { deadlineMs: 1_000 }));
    await bench.store.append('job_a', { type: 'run_started', atMs: 2_000 });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect((await bench.store.get('job_a'))?.status).toBe('processing');
  });

  it('is done by one process at a time, and again after a while', async () => {
    await bench.store.create(testJobRecord('job_a'));
    const swept = await Promise.all([bench.producer, bench.another().producer].map((producer) => producer.sweep()));
    expect(swept.reduce((sum, { requeued }) => sum + requeued, 0)).toBe(1);
    expect(swept).toContainEqual({ requeued: 0, expired: 0 });
    const client = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    expect(await client.pttl(sweepLockKey)).toBeGreaterThan(0);
    client.disconnect();
  });

  it('asks Redis a few questions, however many jobs wait', async () => {
    const ids = Array.from({ length: 250 }, (_, index) => `job_${index}`);
    await Promise.all(ids.map((id) => bench.producer.submit(testJobRecord(id))));
    const connection = createClientConnection({ url: bench.redis.url, onError: () => undefined });
    const producer = createProducer({
      connection,
      store: createRedisJobStore({ connection }),
      clock: { nowMs: Date.now },
      logger: silentLogger,
    });
    await Promise.all([producer.queue('render'), producer.queue('cloud')]);
    const asked = vi.spyOn(connection, 'sendCommand');
    expect(await producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    expect(asked.mock.calls.length).toBeLessThan(20);
    await producer.close();
    connection.disconnect();
  });

  it('queues each job once and every job when several processes sweep beside a worker', async () => {
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

describe('a line for a provider', () => {
  const cloudStateOf = async (id: string): Promise<string> => (await bench.producer.queue('cloud')).getJobState(id);
  /** Has a job stand in line, to look by itself after `delayMs`. */
  async function standInLine(
    id: string,
    delayMs: number,
    { priority = 5, attempts = [] }: { readonly priority?: number; readonly attempts?: readonly Attempt[] } = {},
  ): Promise<void> {
    await bench.store.create({ ...testJobRecord(id, 1_000, { priority }), needs: 'remote', attempts });
    await bench.store.append(id, { type: 'run_started', atMs: 2_000 });
    await bench.store.append(id, { type: 'parked', run: 1, untilMs: 2_000 + delayMs, message: 'Waiting.' });
    await (await bench.producer.queue('cloud')).add('lipsync', { jobId: id }, { jobId: id, delay: delayMs });
  }

  it('wakes who stands there longest, however much sooner others would look by themselves', async () => {
    await standInLine('job_1', 80_000);
    await standInLine('job_2', 60_000);
    await standInLine('job_3', 70_000);
    expect(await bench.producer.wakeNextWaitingJob()).toBe(true);
    expect(await Promise.all(['job_1', 'job_2', 'job_3'].map(cloudStateOf))).toEqual(['waiting', 'delayed', 'delayed']);
  });

  it('wakes the more urgent first', async () => {
    await standInLine('job_1', 60_000);
    await standInLine('job_2', 70_000, { priority: 1 });
    await standInLine('job_3', 80_000, { priority: 1 });
    expect(await bench.producer.wakeNextWaitingJob()).toBe(true);
    expect(await Promise.all(['job_1', 'job_2', 'job_3'].map(cloudStateOf))).toEqual(['delayed', 'waiting', 'delayed']);
  });

  it('wakes as many as places become free in the same moment', async () => {
    const ids = ['job_1', 'job_2', 'job_3', 'job_4'];
    for (const id of ids) await standInLine(id, 60_000);
    const producers = [bench.producer, bench.another().producer, bench.another().producer];
    expect(await Promise.all(producers.map((producer) => producer.wakeNextWaitingJob()))).toEqual([true, true, true]);
    expect(await Promise.all(ids.map(cloudStateOf))).toEqual(['waiting', 'waiting', 'waiting', 'delayed']);
  });

  it('is as long for one who stands in it as what is ahead, and for a newcomer as all of it', async () => {
    for (const id of ['job_1', 'job_2', 'job_3', 'job_4']) await standInLine(id, 60_000);
    const lengths = await Promise.all([
      bench.producer.load('job_1'),
      bench.producer.load('job_3'),
      bench.producer.load(),
    ]);
    expect(lengths.map(({ remoteJobs }) => remoteJobs)).toEqual([0, 2, 4]);
  });

  it('wakes nobody whose operation runs, and says when nobody is left', async () => {
    const running: Attempt = {
      provider: 'heygen',
      outcome: 'running',
      code: null,
      message: null,
      startedAtMs: 1,
      endedAtMs: null,
      costMicros: null,
      operation: { id: 'op', state: {} },
      operationAtMs: 1,
      transientFailures: 0,
    };
    await standInLine('job_1', 60_000, { attempts: [running] });
    expect(await bench.producer.wakeNextWaitingJob()).toBe(false);
    expect(await cloudStateOf('job_1')).toBe('delayed');
  });
});

describe('a removed job', () => {
  it('waits no longer, however often it is removed', async () => {
    await bench.producer.submit(testJobRecord('job_a'));
    expect(await bench.producer.remove('job_a')).toBe(true);
    expect(await bench.producer.remove('job_a')).toBe(true);
    expect(await counts()).toBe(0);
  });
});
