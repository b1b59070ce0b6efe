import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createIdSource, systemClock, type JobStore } from '@lipsync/core';
import { createQueuedJobs } from '@lipsync/queue';
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

const statusOf = async (id: string) => (await bench.store.get(id))?.status;
const stateOf = (id: string) => bench.queues.render.getJobState(id);

/** Does one step after the other; the last one for good. */
function inTurn(...steps: readonly Step[]): Step {
  const runs = new Map<string, number>();
  return (input, context) => {
    const run = runs.get(input.jobId) ?? 0;
    runs.set(input.jobId, run + 1);
    return (steps[run] ?? steps.at(-1) ?? make)(input, context);
  };
}

async function cancel(id: string): Promise<void> {
  const { store, producer } = bench;
  await createQueuedJobs({
    store,
    producer,
    clock: systemClock,
    ids: createIdSource(systemClock),
    watcher: { subscribe: async () => async () => undefined },
    planJob: () => ({ plan: null, needs: null }),
  }).cancel(id);
}

describe('a job that waits', () => {
  it('sleeps in its queue and wakes at its time', async () => {
    const runsAtMs: number[] = [];
    const note: (step: Step) => Step = (step) => (input, context) => {
      runsAtMs.push(Date.now());
      return step(input, context);
    };
    await bench.work(render(1), inTurn(note(waitFor(700)), note(make)));
    await bench.submit('job_a');
    await expect.poll(() => stateOf('job_a')).toBe('delayed');
    expect(await bench.store.get('job_a')).toMatchObject({ status: 'processing', stage: 'waiting' });
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    await expect.poll(() => statusOf('job_a')).toBe('completed');
    expect((runsAtMs[1] ?? 0) - (runsAtMs[0] ?? 0)).toBeGreaterThanOrEqual(700);
    expect(runsAtMs).toHaveLength(2);
  });

  it('may sleep as often as it likes', async () => {
    await bench.work(render(1), inTurn(...Array.from({ length: 12 }, () => waitFor(10)), make));
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a'), { timeout: 20_000 }).toBe('completed');
    expect(await bench.store.get('job_a')).toMatchObject({ runs: 13, crashes: 0 });
  });

  it('holds no slot: behind 200 that wait, others are done at once', async () => {
    await bench.work(render(2), (input, context) =>
      (input.jobId === 'job_last' ? make : waitFor(60_000))(input, context),
    );
    await Promise.all(Array.from({ length: 200 }, (_, index) => bench.submit(`job_${index}`)));
    await expect.poll(() => bench.queues.render.getDelayedCount()).toBe(200);
    await bench.submit('job_last');
    await expect.poll(() => statusOf('job_last')).toBe('completed');
    // The record is ahead of the queue.
    await expect
      .poll(() => bench.queues.render.getJobCounts('delayed', 'active', 'wait', 'prioritized'))
      .toEqual({ delayed: 200, active: 0, wait: 0, prioritized: 0 });
  });

  it('keeps its priority when it wakes', async () => {
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
    await new Promise((resolve) => setTimeout(resolve, 500));
    released.resolve();
    await expect.poll(() => statusOf('job_later')).toBe('completed');
    expect(order).toEqual(['job_first', 'job_long', 'job_first', 'job_later']);
  });
});

describe('a job that is canceled', () => {
  it('while it sleeps wakes and is let go of at once', async () => {
    await bench.work(render(1), waitFor(60_000));
    await bench.submit('job_a');
    await expect.poll(() => stateOf('job_a')).toBe('delayed');
    await cancel('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
    expect(bench.abandoned).toEqual(['job_a']);
  });

  it('between being parked and falling asleep does not sleep on', async () => {
    const cancelWhenParked = (store: JobStore): JobStore => ({
      ...store,
      async append(id, event) {
        const record = await store.append(id, event);
        if (event.type === 'parked') await cancel(id);
        return record;
      },
    });
    await bench.work(render(1), waitFor(60_000), cancelWhenParked);
    await bench.submit('job_a');
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
  });

  it('after it was handed back with something running elsewhere is ended by a worker', async () => {
    const running = {
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
    } as const;
    await bench.submit('job_a', { deadlineMs: 1_000 });
    await bench.store.append('job_a', { type: 'run_started', atMs: Date.now() });
    await bench.store.append('job_a', { type: 'attempts_changed', run: 1, attempts: [running] });
    await bench.store.append('job_a', { type: 'released', run: 1 });
    await cancel('job_a');
    expect(await statusOf('job_a')).toBe('queued');
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await bench.producer.sweep()).toEqual({ requeued: 0, expired: 0 });
    await bench.work(render(1), make);
    await expect.poll(() => statusOf('job_a')).toBe('canceled');
    expect(bench.abandoned).toEqual(['job_a']);
  });
});

describe('a job whose next provider is for the other lane', () => {
  it('is handed on and done there, and back again', async () => {
    const lanes: string[] = [];
    await bench.work(
      bothLanes,
      inTurn(
        async (_, { canRun }) => {
          lanes.push(canRun('inline') ? 'render' : 'cloud');
          return { kind: 'elsewhere', needs: 'remote' };
        },
        async (_, { canRun }) => {
          lanes.push(canRun('remote') ? 'cloud' : 'render');
          return { kind: 'elsewhere', needs: 'inline' };
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

  it('is not run by a lane that it was handed on from, when its entry comes back there', async () => {
    const record = await bench.submit('job_a');
    await bench.store.append('job_a', { type: 'run_started', atMs: Date.now() });
    const handedOn = await bench.store.append('job_a', { type: 'transferred', run: 1, needs: 'remote' });
    await bench.work(render(1), () => Promise.reject(new Error(`${record.id} was run in the wrong lane`)));
    await expect.poll(() => stateOf('job_a')).toBe('completed');
    expect(await bench.queues.cloud.getJobState('job_a')).toBe('prioritized');
    expect(await bench.store.get('job_a')).toEqual(handedOn);
  });
});

describe('a place that becomes free', () => {
  it('wakes one of those that stand in line, and none whose operation runs', async () => {
    const runs: string[] = [];
    await bench.work([{ lane: 'cloud', concurrency: 2 }], async ({ jobId }, { saveAttempts }) => {
      runs.push(jobId);
      if (jobId === 'job_running') {
        await saveAttempts([
          {
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
          },
        ]);
      }
      return { kind: 'waiting', untilMs: Date.now() + (jobId === 'job_running' ? 30_000 : 60_000) };
    });
    for (const id of ['job_running', 'job_line']) await bench.submit(id, { method: 'heygen' });
    await expect.poll(() => bench.queues.cloud.getDelayedCount()).toBe(2);
    await bench.producer.wakeNextWaitingJob();
    await expect.poll(() => runs.length).toBe(3);
    expect(runs[2]).toBe('job_line');
    await expect.poll(() => bench.queues.cloud.getDelayedCount()).toBe(2);
    // Two places at the same moment, one job in line: it looks once more, or twice.
    await Promise.all([bench.producer.wakeNextWaitingJob(), bench.producer.wakeNextWaitingJob()]);
    await expect.poll(() => runs.filter((id) => id === 'job_line').length).toBeGreaterThanOrEqual(3);
  });
});
