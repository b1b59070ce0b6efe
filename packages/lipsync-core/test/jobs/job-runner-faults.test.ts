import { testPlan } from '../../src/testing/test-plan.ts';
import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import { costOf } from '../../src/jobs/job-view.ts';
import { lipsyncJob, openAdmission, testAttempt } from '../../src/testing/index.ts';
import type { OutputMarker } from '../../src/marking/output-marker.ts';
import { runChain } from '../../src/providers/chain.ts';
import type { InlineProvider, TakeRequest } from '../../src/providers/provider.ts';
import { StoreFailure } from '../../src/storage/store-failure.ts';
import { makeTake, neverCalled, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const never = new AbortController().signal;
const anywhere = { signal: never, canRun: () => true };

let bench: RunnerBench;
beforeEach(async () => {
  bench = await openRunnerBench();
});
afterEach(() => bench.remove());

/** Makes a take with the provider chain, which saves its attempts. */
const makeTakeByChain: Script = async (input, context) => {
  context.onProgress({ stage: 'fetching', fraction: 0 });
  const provider: InlineProvider = {
    kind: 'inline',
    facts: { id: 'preview', degraded: true },
    async run() {
      await makeTake(input, context);
      return { path: input.workspace.file('take.mp4'), warnings: [], costMicros: 0 };
    },
  };
  // The provider above reads nothing of the request.
  const outcome = await runChain([provider], async () => ({}) as TakeRequest, {
    ...context,
    jobId: input.jobId,
    payer: { user: null },
    maxCostMicros: null,
    admission: openAdmission,
    clock: { nowMs: () => 1 },
  });
  if (outcome.type !== 'made') return outcome;
  return {
    type: 'made',
    takePath: outcome.take.path,
    methodUsed: 'preview',
    degraded: true,
    durationMs: 1_000,
    warnings: [],
  };
};

describe('Two runs of one job', () => {
  it("Neither run touches the other's files, and the later run completes the job.", async () => {
    await bench.accept();
    const [firstBegan, secondBegan, firstEnded] = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
    ];
    const first = bench
      .runner(async () => {
        firstBegan.resolve();
        await secondBegan.promise;
        throw new LipsyncError('media_failed', 'Cut off.');
      })
      .run('job_1', { signal: never, canRun: () => true })
      .finally(() => firstEnded.resolve());
    await firstBegan.promise;
    const second = bench
      .runner(async (input, context) => {
        await writeFile(input.workspace.file('half-made'), 'half made');
        secondBegan.resolve();
        await firstEnded.promise;
        expect(await readdir(input.workspace.path)).toContain('half-made');
        return makeTake(input, context);
      })
      .run('job_1', { signal: never, canRun: () => true });
    expect(await second).toMatchObject({ status: 'completed', runs: 2 });
    expect((await first).error).toBeNull();
    expect(await readdir(bench.workFolder)).toEqual([]);
  });
});

describe('A job store that fails', () => {
  /** The store of the bench; its append number `failing` throws. */
  function failingAt(
    failing: number,
    fault = new LipsyncError('resource_exhausted', 'The store hangs.'),
  ): { readonly store: JobStore; appends(): number } {
    let appends = 0;
    return {
      appends: () => appends,
      store: {
        ...bench.store,
        async append(id, event) {
          appends += 1;
          if (appends === failing) throw fault;
          return bench.store.append(id, event);
        },
      },
    };
  }

  const appendsOfARun = 6;
  it.each(Array.from({ length: appendsOfARun }, (_, index) => index + 1))(
    'A failure at append %i fails neither the job nor a provider: the next run completes the job.',
    async (failing) => {
      await bench.accept();
      const { store, appends } = failingAt(failing);
      const runner = bench.runner(makeTakeByChain, { store });
      const refused: unknown[] = [];
      await runner.run('job_1', { signal: never, canRun: () => true }).catch((error: unknown) => refused.push(error));
      const record = await runner.run('job_1', { signal: never, canRun: () => true });
      expect(appends()).toBeGreaterThanOrEqual(appendsOfARun);
      for (const error of refused) expect(error).toMatchObject({ code: 'resource_exhausted' });
      expect(record).toMatchObject({ status: 'completed', error: null, crashes: 0 });
      expect(lipsyncJob(record).attempts.at(-1)).toMatchObject({ outcome: 'succeeded' });
      expect(lipsyncJob(record).attempts.filter(({ code }) => code !== null && code !== 'worker_crashed')).toEqual([]);
    },
  );

  it('A failure to record the failure of a job is thrown to the caller of the run.', async () => {
    await bench.accept();
    const { store } = failingAt(2);
    const run = bench
      .runner(() => Promise.reject(new LipsyncError('clip_unusable', 'No face.')), { store })
      .run('job_1', { signal: never, canRun: () => true });
    await expect(run).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(await bench.store.get('job_1')).toMatchObject({ status: 'queued', error: null });
  });

  it('A temporary outage never fails a job as crashed, however many runs it interrupts.', async () => {
    await bench.accept();
    let appends = 0;
    // Each run is recorded, but the answer arrives too late.
    const slow: JobStore = {
      ...bench.store,
      async append(id, event) {
        appends += 1;
        const record = await bench.store.append(id, event);
        if (event.type === 'run_started' && appends < 20)
          throw new LipsyncError('resource_exhausted', 'The store hangs.');
        return record;
      },
    };
    const runner = bench.runner(makeTakeByChain, { store: slow });
    const run = () => runner.run('job_1', { signal: never, canRun: () => true });
    while (appends < 19) await expect(run()).rejects.toMatchObject({ code: 'resource_exhausted' });
    expect(await run()).toMatchObject({ status: 'completed', crashes: 0 });
  });

  it('If the release of the job fails as well, the run counts as a crash and the first error is thrown.', async () => {
    await bench.accept();
    const away: JobStore = {
      ...bench.store,
      append: (id, event) =>
        event.type === 'run_started'
          ? bench.store.append(id, event)
          : Promise.reject(new LipsyncError('resource_exhausted', `No ${event.type}.`)),
    };
    const run = bench
      .runner(() => Promise.reject(new LipsyncError('clip_unusable', 'No face.')), { store: away })
      .run('job_1', { signal: never, canRun: () => true });
    await expect(run).rejects.toThrow('No failed.');
    expect(await bench.store.append('job_1', { type: 'run_started', atMs: 2 })).toMatchObject({ crashes: 1 });
  });

  /** The store of the bench, which is unavailable after each start of a run until `isBack`. */
  function awayDuringRuns(isBack: (failures: number) => boolean) {
    const state = { failures: 0, isAway: false };
    const store: JobStore = {
      ...bench.store,
      async append(id, event) {
        if (state.isAway && !isBack(state.failures)) {
          state.failures += 1;
          throw new LipsyncError('resource_exhausted', 'The store is away.');
        }
        state.isAway = event.type === 'run_started';
        return bench.store.append(id, event);
      },
    };
    return { state, store };
  }
  const failing: Script = () => Promise.reject(new LipsyncError('clip_unusable', 'No face.'));

  it('A run that a longer outage interrupts is released when the store is back, and does not count as a crash.', async () => {
    await bench.accept();
    // The outcome of the run, and two tries to release it.
    const { state, store } = awayDuringRuns((failures) => failures >= 3);
    const run = bench.runner(failing, { store, releaseLimitMs: 20_000 }).run('job_1', anywhere);
    await expect(run).rejects.toThrow('The store is away.');
    expect(state.failures).toBe(3);
    expect(await bench.store.append('job_1', { type: 'run_started', atMs: 2 })).toMatchObject({ crashes: 0 });
  });

  it.each([
    ['within its limit', { releaseLimitMs: 1_500, stops: false, endsWithinMs: 2_500 }],
    ['after one more try when its host stops', { releaseLimitMs: 60_000, stops: true, endsWithinMs: 900 }],
  ])('A run of a store that stays away ends %s.', async (_, { releaseLimitMs, stops, endsWithinMs }) => {
    await bench.accept();
    const host = new AbortController();
    const { state, store } = awayDuringRuns((failures) => {
      // During the first try to release the job.
      if (stops && failures === 1) host.abort();
      return false;
    });
    const startedMs = performance.now();
    const context = { signal: host.signal, canRun: () => true };
    await expect(bench.runner(failing, { store, releaseLimitMs }).run('job_1', context)).rejects.toThrow('away');
    expect(performance.now() - startedMs).toBeLessThan(endsWithinMs);
    expect(state.failures).toBe(3);
  });

  it('A run whose start failed does not release the run of another worker that has started meanwhile.', async () => {
    await bench.accept();
    const store: JobStore = {
      ...bench.store,
      async append(id, event) {
        if (event.type !== 'run_started') return bench.store.append(id, event);
        await bench.store.append(id, { type: 'run_started', atMs: 1, runId: 'that of the other worker' });
        throw new LipsyncError('resource_exhausted', 'The store is away.');
      },
    };
    await expect(bench.runner(neverCalled, { store }).run('job_1', anywhere)).rejects.toThrow('away');
    expect(await bench.store.get('job_1')).toMatchObject({ status: 'processing', runs: 1 });
  });

  it('A permanent failure counts as a crash, so that the job ends eventually.', async () => {
    await bench.accept();
    const { store } = failingAt(2, new LipsyncError('internal', 'Refused.'));
    const run = bench
      .runner(() => Promise.reject(new LipsyncError('clip_unusable', 'No face.')), { store })
      .run('job_1', { signal: never, canRun: () => true });
    await expect(run).rejects.toMatchObject({ code: 'internal' });
    expect(await bench.store.append('job_1', { type: 'run_started', atMs: 2 })).toMatchObject({ crashes: 1 });
  });
});

describe('A store that fails directly after the output was published', () => {
  const hangs = new LipsyncError('resource_exhausted', 'The store hangs.');
  const mark: OutputMarker['mark'] = async ({ takePath }) => {
    await copyFile(takePath, `${takePath}.marked`);
    return { path: `${takePath}.marked`, warnings: [] };
  };
  /** Makes a paid take and keeps it, as for its assessment. */
  const makeKeptTake: Script = async (input, context) => {
    const made = await makeTake(input, context);
    if (made.type !== 'made') return made;
    const { degraded, durationMs, warnings } = made;
    const take = { degraded, durationMs, warnings };
    const takePath = await context.keptTakes.keep(made.takePath, 0);
    await context.saveAttempts([testAttempt({ outcome: 'succeeded', endedAtMs: 2, costMicros: 33_300, take })]);
    return { ...made, takePath, attemptIndex: 0 };
  };
  /** Publishes takes of the bench. The first call stores the output, and throws then. */
  function publishTwice(failure: Error): (takePath: string) => Promise<string> {
    let calls = 0;
    return async (takePath) => {
      const { key } = await bench.artifacts.publish(takePath, 'outputs/job_1/output.mp4');
      calls += 1;
      if (calls === 1) throw failure;
      return key;
    };
  }

  it('The job waits with its paid take, which the next run delivers.', async () => {
    await bench.accept();
    const change = { marker: { mark }, publish: publishTwice(hangs) };
    const waiting = await bench.runner(makeKeptTake, change).run('job_1', anywhere);
    expect(waiting).toMatchObject({ status: 'processing', stage: 'waiting', error: null });
    const record = await bench.runner(neverCalled, change).run('job_1', anywhere);
    expect(record).toMatchObject({ status: 'completed', attempts: [{ costMicros: 33_300 }] });
  });

  it('The job does not fail at its deadline either: the run ends, and the next one delivers the take.', async () => {
    await bench.accept({ deadlineMs: 4_000 });
    const change = { marker: { mark }, publish: publishTwice(new StoreFailure(hangs)) };
    await bench.runner(makeKeptTake, { publish: () => Promise.reject(hangs) }).run('job_1', anywhere);
    bench.time.nowMs += 4_000;
    await expect(bench.runner(neverCalled, change).run('job_1', anywhere)).rejects.toThrow('The store hangs.');
    expect(await bench.runner(neverCalled, change).run('job_1', anywhere)).toMatchObject({
      status: 'completed',
      crashes: 0,
    });
  });
});

const attempt = (change: Partial<Attempt>): Attempt =>
  testAttempt({
    outcome: 'failed',
    code: 'provider_failed',
    endedAtMs: 2,
    ...change,
  });

describe('A run that fails before it reaches its operation', () => {
  it('The operation is abandoned before the job ends, so that its cost is settled.', async () => {
    const running = attempt({ outcome: 'running', code: null, endedAtMs: null, operation: { id: 'op', state: {} } });
    await bench.accept(
      {},
      { status: 'processing', parkedUntilMs: 5, runs: 1, plan: testPlan('heygen'), attempts: [running] },
    );
    const failAtOnce: Script = () => Promise.reject(new Error('It broke.'));
    const told: unknown[] = [];
    const record = await bench
      .runner(failAtOnce, {}, async ({ jobId }, { code }, { earlierAttempts, saveAttempts }) => {
        told.push(jobId, code, (await bench.store.get('job_1'))?.status, earlierAttempts);
        await saveAttempts([{ ...running, outcome: 'failed', code, endedAtMs: 3 }]);
      })
      .run('job_1', { signal: never, canRun: () => true });
    expect(told).toEqual(['job_1', record.error?.code, 'processing', [running]]);
    expect(record).toMatchObject({ status: 'failed', attempts: [{ outcome: 'failed', endedAtMs: 3 }] });
  });
});

describe('A cancel that is seen while a request is saved', () => {
  it('The run stops before it sends the request.', async () => {
    await bench.accept();
    let isStopped = false;
    const record = await bench
      .runner(async (_, { saveAttempts, signal }) => {
        await bench.store.append('job_1', { type: 'cancel_requested' });
        await saveAttempts([
          attempt({ outcome: 'running', request: { idempotencyKey: 'k', state: {}, unacknowledgedSinceMs: 1 } }),
        ]);
        isStopped = signal.aborted;
        throw new Error('cut off');
      })
      .run('job_1', { signal: never, canRun: () => true });
    expect([isStopped, record.status]).toEqual([true, 'canceled']);
  });
});

describe('The cost of a job', () => {
  it('The cost is the sum of all attempts, including failed ones and those of earlier runs.', async () => {
    await bench.accept({}, { attempts: [attempt({ costMicros: 5 }), attempt({ costMicros: 0 })] });
    const record = await bench
      .runner(async (input, context) => {
        await context.saveAttempts([
          ...context.earlierAttempts,
          attempt({ provider: 'wav2lip', outcome: 'succeeded', code: null, costMicros: 7 }),
        ]);
        return makeTake(input, context);
      })
      .run('job_1', { signal: never, canRun: () => true });
    expect(costOf(lipsyncJob(record))).toBe(12);
  });
});

describe('The trace context of a job', () => {
  it('Log lines of a run and the pipeline get the request id and the trace context.', async () => {
    const trace = { requestId: 'request-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
    await bench.accept({}, trace);
    const lines: object[] = [];
    const write = (fields: object): void => void lines.push(fields);
    const logger = { debug: write, info: write, warn: write, error: write };
    let seen: unknown;
    await bench
      .runner(
        async (_, context) => {
          seen = context.trace;
          throw new LipsyncError('clip_unusable', 'No face.');
        },
        { logger },
      )
      .run('job_1', { signal: never, canRun: () => true });
    expect(seen).toEqual(trace);
    const ids = { jobId: 'job_1', requestId: 'request-1', traceId: 'a'.repeat(32) };
    expect(lines).toMatchObject([ids, { ...ids, code: 'clip_unusable' }]);
  });
});
