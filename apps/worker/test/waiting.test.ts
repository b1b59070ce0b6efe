import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createIdSource, StorageError, systemClock } from '@lipsync/core/host';
import { testJobRecord, testAttempt } from '@lipsync/core/testing';
import { QueuedJobs } from '@lipsync/queue';
import { make, openWaitingBench, waitFor, type Step, type WaitingBench } from './waiting-bench.ts';

let bench: WaitingBench;
beforeAll(async () => {
  bench = await openWaitingBench();
});
afterEach(() => bench.reset());
afterAll(() => bench.close());

const bothLanes = [
  { lane: 'cloud', concurrency: 1 },
  { lane: 'render', concurrency: 1 },
] as const;
const render = (concurrency: number) => [{ lane: 'render', concurrency }] as const;
const cloud = (concurrency: number) => [{ lane: 'cloud', concurrency }] as const;

const running = testAttempt({
  operation: { id: 'op', state: {} },
  operationAtMs: 1,
});

const statusOf = async (id: string) => (await bench.store.get(id))?.status;
const stateOf = (id: string) => bench.queues.render.getJobState(id);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs one step per run of a job; the last one for all further runs. */
function sequence(...steps: readonly Step[]): Step {
  const runs = new Map<string, number>();
  return (input, context) => {
    const run = runs.get(input.jobId) ?? 0;
    runs.set(input.jobId, run + 1);
    return (steps[run] ?? steps.at(-1) ?? make)(input, context);
  };
}

async function cancel(id: string): Promise<void> {
  const { store, producer } = bench;
  await new QueuedJobs({
    store,
    producer,
    results: { find: async () => undefined, share: async () => undefined },
    clock: systemClock,
    ids: createIdSource(systemClock),
    watcher: { subscribe: async () => async () => undefined },
    keys: { read: async () => ({ type: 'free' }) },
    verifyRedis: async () => undefined,
    planJob: () => ({ plan: null, needs: null }),
  }).cancel(id);
}

/** Never ends by itself. */
const untilAborted = (_: unknown, { signal }: { readonly signal: AbortSignal }): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
  });

describe('a waiting job', () => {
  it('A job that waits is delayed in its queue and runs again at its time.', async () => {
    const runsAtMs: number[] = [];
    const note: (step: Step) => Step = (step) => (input, context) => {
      runsAtMs.push(Date.now());
      return step(input, context);
    };
    await bench.work(render(1), sequence(note(waitFor(700)), note(make)));
    await bench.submit('job_a');
    await expect.poll(() => stateOf('job_a')).toBe('delayed');
    expect(await bench.store.get('job_a')).toMatchObject({ status: 'processing', stage: 'waiting' });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect((runsAtMs[1] ?? 0) - (runsAtMs[0] ?? 0)).toBeGreaterThanOrEqual(700);
    expect(runsAtMs).toHaveLength(2);
  });

  it('A cloud job that waits until files can be stored is not run again as if a slot were free.', async () => {
    const error = new StorageError('storage_unwritable', '/out', 'The folder "/out" cannot be written.', null);
    await bench.work(cloud(1), make, { checkStorage: () => Promise.reject(error) });
    await bench.submit('job_a', { method: 'heygen' });
    await expect.poll(() => bench.queues.cloud.getJobState('job_a')).toBe('delayed');
    await sleep(300);
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 1, stage: 'waiting', waitsForStorage: true });
    await cancel('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
  });

  it('A cloud job that waits for a circuit breaker is not run again as if a slot were free.', async () => {
    const untilMs = Date.now() + 60_000;
    await bench.work(cloud(1), async () => ({ type: 'waiting', untilMs, waitsForProbe: true }));
    await bench.submit('job_a', { method: 'heygen' });
    await expect.poll(() => bench.queues.cloud.getJobState('job_a')).toBe('delayed');
    await sleep(300);
    const waiting = { runs: 1, parkedUntilMs: untilMs, waitsForProbe: true };
    expect(await bench.store.get('job_a')).toMatchObject(waiting);
    await cancel('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
  });

  it('A job can wait any number of times without counting as crashed.', async () => {
    await bench.work(render(1), sequence(...Array.from({ length: 12 }, () => waitFor(10)), make));
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a'), { timeout: 20_000 }).toBe('completed');
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 13, crashes: 0 });
  });

  it('A run keeps its lock when the earlier run of the job ends in the same worker meanwhile.', async () => {
    const laterRun = Promise.withResolvers<void>();
    const longerThanLock: Step = async (input, context) => {
      laterRun.resolve();
      await sleep(3_000);
      return make(input, context);
    };
    await bench.work(render(2), sequence(waitFor(0), longerThanLock), { onParked: () => laterRun.promise });
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a'), { timeout: 15_000 }).toBe('completed');
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 2, crashes: 0 });
  });

  it('A run that Redis interrupts for longer than a lock lasts does not count as a crash.', async () => {
    const interrupted: Step = async (__, context) => {
      await bench.redis.kill();
      void sleep(3_500).then(() => bench.redis.restart());
      await context.saveAttempts([running]);
      throw new Error('Redis is gone.');
    };
    await bench.work(render(1), sequence(interrupted, make));
    await bench.submit('job_a');
    await expect
      .poll(() => statusOf('job_a').catch(() => undefined), { timeout: 30_000, interval: 200 })
      .toBe('completed');
    expect(await bench.store.get('job_a')).toMatchObject({ crashes: 0 });
  });

  it('200 waiting jobs do not occupy the worker: a new job completes at once.', async () => {
    await bench.work(render(2), (input, context) =>
      (input.jobId === 'job_last' ? make : waitFor(60_000))(input, context),
    );
    await Promise.all(Array.from({ length: 200 }, (_, index) => bench.submit(`job_${index}`)));
    await expect.poll(() => bench.queues.render.getDelayedCount()).toBe(200);
    await bench.submit('job_last');
    await expect.poll(() => statusOf('job_last')).toBe('completed');
    // The record is updated before the queue entry.
    await expect
      .poll(() => bench.queues.render.getJobCounts('delayed', 'active', 'wait', 'prioritized'))
      .toEqual({ delayed: 200, active: 0, wait: 0, prioritized: 0 });
  });

  it('A job keeps its priority when it runs again after a wait.', async () => {
    const order: string[] = [];
    const released = Promise.withResolvers<void>();
    await bench.work(render(1), (input, context) => {
      order.push(input.jobId);
      if (input.jobId === 'job_first' && order.length === 1) return waitFor(300)(input, context);
      if (input.jobId === 'job_long') return released.promise.then(() => make(input, context));
      return make(input, context);
    });
    await bench.submit('job_first', { priority: 0 });
    await expect.poll(() => stateOf('job_first')).toBe('delayed');
    await bench.submit('job_long', { priority: 5 });
    await expect.poll(() => order).toContain('job_long');
    await bench.submit('job_later', { priority: 10 });
    await sleep(500);
    released.resolve();
    await expect.poll(() => statusOf('job_later')).toBe('completed');
    expect(order).toEqual(['job_first', 'job_long', 'job_first', 'job_later']);
  });
});

describe('cancel', () => {
  it('A job that is canceled while it waits is woken and ended at once.', async () => {
    await bench.work(render(1), waitFor(60_000));
    await bench.submit('job_a');
    await expect.poll(() => stateOf('job_a')).toBe('delayed');
    await cancel('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
    expect(bench.abandoned).toEqual(['job_a']);
  });

  it('A job that is canceled between being parked and being delayed does not wait.', async () => {
    await bench.work(render(1), waitFor(60_000), {
      onAppend: async (id, { type }) => {
        if (type === 'parked') await cancel(id);
      },
    });
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
  });

  it('A cancel of a handed-back job with a remote operation is left to a worker.', async () => {
    await bench.submit('job_a', { deadlineMs: 1_000 });
    await bench.store.append('job_a', { type: 'run_started', atMs: Date.now() });
    await bench.store.append('job_a', { type: 'attempts_changed', run: 1, attempts: [running] });
    await bench.store.append('job_a', { type: 'released', run: 1 });
    await cancel('job_a');
    expect(await statusOf('job_a')).toBe('queued');
    await sleep(1_100);
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    await bench.work(render(1), make);
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
    expect(bench.abandoned).toEqual(['job_a']);
  });

  /** Milliseconds from the cancel of a running job to its end. */
  async function timeCancel(): Promise<number> {
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('processing');
    await sleep(200);
    const canceledAtMs = performance.now();
    await cancel('job_a');
    await expect.poll(() => statusOf('job_a'), { interval: 10 }).toBe('canceled');
    return performance.now() - canceledAtMs;
  }

  it('A cancel reaches a running job by a Redis message in well under a second.', async () => {
    await bench.work(render(1), untilAborted);
    expect(await timeCancel()).toBeLessThan(500);
  });

  it('A cancel reaches a running job by the poll when the connection for messages is lost.', async () => {
    bench.cutNotifications();
    await bench.work(render(1), untilAborted, { cancelPollMs: 100 });
    expect(await timeCancel()).toBeLessThan(2_000);
  });
});

describe('fetching', () => {
  const allLanes = [{ lane: 'fetch', concurrency: 1 }, ...bothLanes] as const;
  const video = { kind: 'url', url: 'https://slow.example/clip.mp4?token=hush' } as const;

  it('A slow source occupies neither the render lane nor the cloud lane, and a cancel ends its fetch at once.', async () => {
    await bench.work(allLanes, make, { inputs: { fetch: untilAborted } });
    await bench.submit('job_slow', {}, video);
    await expect.poll(async () => (await bench.store.get('job_slow'))?.stage).toBe('fetching');
    await bench.submit('job_render');
    await bench.submit('job_cloud', { method: 'heygen' });
    await expect.poll(() => statusOf('job_render')).toBe('completed');
    await expect.poll(() => statusOf('job_cloud')).toBe('completed');
    expect(await statusOf('job_slow')).toBe('processing');
    const canceledAtMs = performance.now();
    await cancel('job_slow');
    await expect.poll(() => statusOf('job_slow'), { interval: 10 }).toBe('canceled');
    expect(performance.now() - canceledAtMs).toBeLessThan(10_000);
    expect(JSON.stringify(await bench.store.get('job_slow'))).not.toContain('hush');
  });

  it('A job whose inputs are fetched continues in the lane that it needs, with one run more.', async () => {
    await bench.work(allLanes, make, {
      inputs: {
        async fetch({ spec: { audio } }, { saveInputs }) {
          if (audio) await saveInputs({ video: audio });
          const file = { path: '', digest: '' };
          return { video: file, audio: file };
        },
      },
    });
    await bench.submit('job_a', { method: 'heygen' }, video);
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 2, crashes: 0, needs: 'remote' });
    // The record is updated before the queue entry.
    await expect.poll(() => bench.queues.cloud.getJobState('job_a')).toBe('completed');
    await expect.poll(() => bench.queues.fetch.getJobState('job_a')).toBe('completed');
  });

  it('A job that an earlier version queued in the render lane is transferred to the fetch lane.', async () => {
    await bench.work(allLanes, make, { inputs: { fetch: untilAborted } });
    const record = testJobRecord('job_old');
    await bench.producer.submit({ ...record, spec: { ...record.spec, video } }, 'render');
    await expect.poll(() => bench.queues.fetch.getJobState('job_old')).toBe('active');
  });
});

describe('lanes', () => {
  it('A job whose next provider needs the other lane is transferred there, and back.', async () => {
    const lanes: string[] = [];
    await bench.work(
      bothLanes,
      sequence(
        async (_, { canRun }) => {
          lanes.push(canRun('inline') ? 'render' : 'cloud');
          return { type: 'elsewhere', needs: 'remote' };
        },
        async (_, { canRun }) => {
          lanes.push(canRun('remote') ? 'cloud' : 'render');
          return { type: 'elsewhere', needs: 'inline' };
        },
        (input, context) => {
          lanes.push(context.canRun('inline') ? 'render' : 'cloud');
          return make(input, context);
        },
      ),
    );
    await bench.submit('job_a', { priority: 3 });
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect(lanes).toEqual(['render', 'cloud', 'render']);
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 3, crashes: 0 });
    await expect.poll(() => bench.queues.render.getActiveCount()).toBe(0);
  });

  it('A lane does not run a transferred job whose old queue entry is delivered again.', async () => {
    const record = await bench.submit('job_a');
    await bench.store.append('job_a', { type: 'run_started', atMs: Date.now() });
    const transferred = await bench.store.append('job_a', { type: 'transferred', run: 1, needs: 'remote' });
    await bench.work(render(1), () => Promise.reject(new Error(`${record.id} ran in the wrong lane`)));
    await expect.poll(() => stateOf('job_a')).toBe('completed');
    expect(await bench.queues.cloud.getJobState('job_a')).toBe('prioritized');
    expect(await bench.store.get('job_a')).toEqual(transferred);
  });
});

describe('concurrency slots', () => {
  const delayedCount = (): Promise<number> => bench.queues.cloud.getDelayedCount();
  /** Acquires the only slot and completes, or waits for it for up to a minute. */
  const acquireOrWait: (ran: string[]) => Step = (ran) => async (input, context) => {
    const { jobId, options } = input;
    if (!(await bench.slots.acquire('heygen', jobId, { limit: 1, priority: options.priority })))
      return waitFor(60_000)(input, context);
    ran.push(jobId);
    return make(input, context);
  };
  const release = async (jobId: string): Promise<string | null> => {
    const next = await bench.slots.release('heygen', jobId);
    return next === null ? null : bench.producer.wakeWaiting('heygen', next);
  };

  it('Of 100 waiting jobs each released slot wakes exactly one, the most urgent and oldest.', async () => {
    const ran: string[] = [];
    await bench.slots.acquire('heygen', 'job_holder', { limit: 1 });
    await bench.work(cloud(16), acquireOrWait(ran));
    const ids = Array.from({ length: 100 }, (_, index) => `job_${String(index).padStart(3, '0')}`);
    const priorityOf = (id: string): number => Number(id.slice(4)) % 3;
    await Promise.all(ids.map((id) => bench.submit(id, { method: 'heygen', priority: priorityOf(id) })));
    await expect.poll(delayedCount).toBe(100);
    const order = ids.toSorted((one, other) => priorityOf(one) - priorityOf(other) || (one < other ? -1 : 1));
    let holder = 'job_holder';
    for (const [index, id] of order.entries()) {
      expect(await release(holder)).toBe(id);
      await expect.poll(() => statusOf(id), { interval: 5 }).toBe('completed');
      expect(ran).toEqual(order.slice(0, index + 1));
      holder = id;
    }
    await expect.poll(async () => [await delayedCount(), await release(holder)]).toEqual([0, null]);
    const records = await Promise.all(ids.map((id) => bench.store.get(id)));
    expect(records.every((record) => record?.runs === 2)).toBe(true);
  });

  it('A slot that is released while a job is being parked wakes that job.', async () => {
    const ran: string[] = [];
    await bench.slots.acquire('heygen', 'job_holder', { limit: 1 });
    await bench.work(cloud(1), acquireOrWait(ran), {
      onAppend: async (_, { type }) => {
        if (type === 'parked') await release('job_holder');
      },
    });
    await bench.submit('job_a', { method: 'heygen' });
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect(ran).toEqual(['job_a']);
  });

  it('A job that is canceled while it waits for a slot leaves the waiting set, and the next one gets the slot.', async () => {
    const ran: string[] = [];
    await bench.slots.acquire('heygen', 'job_holder', { limit: 1 });
    await bench.work(cloud(2), acquireOrWait(ran));
    for (const id of ['job_1', 'job_2']) await bench.submit(id, { method: 'heygen' });
    await expect.poll(delayedCount).toBe(2);
    await cancel('job_1');
    await expect.poll(() => statusOf('job_1')).toBe('canceled');
    expect([await bench.slots.isWaiting('job_1'), await bench.slots.countWaiting('heygen')]).toEqual([false, 1]);
    await release('job_holder');
    await expect.poll(() => statusOf('job_2')).toBe('completed');
    expect(ran).toEqual(['job_2']);
  });

  it('A job that was taken from the waiting set by a worker that died runs again after its own poll interval.', async () => {
    const ran: string[] = [];
    await bench.slots.acquire('heygen', 'job_holder', { limit: 1 });
    await bench.work(cloud(1), async (input, context) => {
      if (!(await bench.slots.acquire('heygen', input.jobId, { limit: 1 }))) return waitFor(1_500)(input, context);
      ran.push(input.jobId);
      return make(input, context);
    });
    await bench.submit('job_a', { method: 'heygen' });
    await expect.poll(delayedCount).toBe(1);
    // The worker releases the slot and dies before it wakes the job.
    expect(await bench.slots.release('heygen', 'job_holder')).toBe('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect(ran).toEqual(['job_a']);
  });
});
