import { lipsyncJob, testAttempt } from '../../src/testing/index.ts';
import { testPlan } from '../../src/testing/test-plan.ts';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LipsyncOptionsInput } from '../../src/contract/index.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import type { JobEvent } from '../../src/jobs/job-events.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import type { JobStore } from '../../src/jobs/job-store.ts';
import type { JobRunner } from '../../src/jobs/job-runner.ts';
import { fetchThenFail, makeTake, neverCalled, workUntilStopped, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const succeeded = testAttempt({
  provider: 'preview',
  outcome: 'succeeded',
  endedAtMs: 2,
  costMicros: 0,
});

let bench: RunnerBench;
let store: JobStore;
/** All events that were appended, in order. */
let events: JobEvent[];

beforeEach(async () => {
  bench = await openRunnerBench();
  events = [];
  store = {
    ...bench.store,
    append(id, event) {
      events.push(event);
      return bench.store.append(id, event);
    },
  };
});
afterEach(() => bench.remove());

const acceptJob = (options: LipsyncOptionsInput = {}): Promise<JobRecord> => bench.accept(options);

function runnerOf(run: Script, options: { readonly progressIntervalMs?: number } = {}): JobRunner {
  return bench.runner(run, { store, cancelPollMs: 5, ...options });
}

function never(): AbortSignal {
  return new AbortController().signal;
}

function progressEvents(): Extract<JobEvent, { type: 'progressed' }>[] {
  return events.flatMap((event) => (event.type === 'progressed' ? [event] : []));
}

function workspaces(): readonly string[] {
  return existsSync(bench.workFolder) ? readdirSync(bench.workFolder) : [];
}

describe('A run of a job', () => {
  it('A run completes the job with the result of the pipeline.', async () => {
    await acceptJob();
    const record = await runnerOf(makeTake).run('job_1', { signal: never(), canRun: () => true });
    expect(record).toMatchObject({
      status: 'completed',
      progress: 100,
      runs: 1,
      crashes: 0,
      completedAtMs: bench.time.nowMs,
      warnings: [{ code: 'degraded' }],
      result: { methodUsed: 'preview', degraded: true, cached: false, durationMs: 1_000 },
    });
    expect(await text(await bench.artifacts.read(lipsyncJob(record).result?.outputKey ?? ''))).toBe(
      'the clip speaking the speech',
    );
    expect(await store.get('job_1')).toEqual(record);
  });

  it('A LipsyncError fails the job with its code and message.', async () => {
    await acceptJob();
    const fail: Script = () => Promise.reject(new LipsyncError('clip_unusable', 'There is no face.'));
    expect(await runnerOf(fail).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'failed',
      result: null,
      error: { code: 'clip_unusable', message: 'There is no face.' },
    });
  });

  it('The message of any other error is not stored.', async () => {
    await acceptJob();
    const record = await runnerOf(() => Promise.reject(new Error('secret at /some/path'))).run('job_1', {
      signal: never(),
      canRun: () => true,
    });
    expect(record).toMatchObject({ status: 'failed', error: { code: 'internal' } });
    expect(JSON.stringify(record)).not.toContain('secret');
  });

  it('A missing input fails the job with not_found.', async () => {
    const { video } = (await acceptJob()).spec;
    if (video?.kind === 'artifact') await bench.artifacts.delete(video.key);
    expect(await runnerOf(fetchThenFail).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'failed',
      error: { code: 'not_found' },
    });
  });

  it('A run of an unknown job throws not_found.', async () => {
    await expect(runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('Attempts are stored as the pipeline saves them.', async () => {
    await acceptJob();
    const running: Attempt = { ...succeeded, outcome: 'running', endedAtMs: null };
    const record = await runnerOf(async (input, context) => {
      await context.saveAttempts([running]);
      expect(lipsyncJob(await store.get('job_1')).attempts).toEqual([running]);
      await context.saveAttempts([succeeded]);
      return makeTake(input, context);
    }).run('job_1', { signal: never(), canRun: () => true });
    expect(lipsyncJob(record).attempts).toEqual([succeeded]);
  });
});

describe('A job that ran before', () => {
  it('An ended job is returned unchanged.', async () => {
    await acceptJob();
    const first = await runnerOf(makeTake).run('job_1', { signal: never(), canRun: () => true });
    expect(await runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true })).toEqual(first);
    expect(await store.get('job_1')).toEqual(first);
  });

  it('An interrupted job resumes with its attempts, and the interrupted run counts as a crash.', async () => {
    await acceptJob();
    await store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    await store.append('job_1', { type: 'attempts_changed', run: 1, attempts: [succeeded] });
    const seen: unknown[] = [];
    const record = await runnerOf((input, context) => {
      seen.push(context.earlierAttempts, context.wasInterrupted);
      return makeTake(input, context);
    }).run('job_1', { signal: never(), canRun: () => true });
    expect(seen).toEqual([[succeeded], true]);
    expect(record).toMatchObject({ status: 'completed', runs: 2, crashes: 1 });
  });

  it('The plan may change until the first attempt, and not afterwards.', async () => {
    await acceptJob();
    const seen: unknown[] = [];
    const first = testPlan('heygen', 'wav2lip');
    const second = testPlan('wav2lip', 'heygen');
    const plans = [first, second, first];
    const runner = runnerOf(async (_, context) => {
      seen.push([context.plan, context.outputMs]);
      await context.savePlan(plans[seen.length - 1] ?? [], 1_000);
      if (seen.length === 2) await context.saveAttempts([succeeded]);
      return { type: 'waiting', untilMs: bench.time.nowMs };
    });
    for (let run = 0; run < 2; run += 1) await runner.run('job_1', { signal: never(), canRun: () => true });
    expect(await runner.run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      plan: second,
    });
    expect(seen).toEqual([
      [null, null],
      [first, 1_000],
      [second, 1_000],
    ]);
  });

  it('A job fails with worker_crashed after five crashed runs.', async () => {
    await acceptJob();
    for (let run = 0; run < 4; run++) await store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    const fifth = await store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    expect(fifth).toMatchObject({ runs: 5, crashes: 4 });
    expect(await runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'failed',
      crashes: 5,
      error: { code: 'worker_crashed' },
    });
  });

  it('A job runs a fifth time after four crashes.', async () => {
    await acceptJob();
    for (let run = 0; run < 4; run++) await store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    expect(await runnerOf(makeTake).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'completed',
      crashes: 4,
    });
  });
});

describe('A canceled job', () => {
  it('A cancel during a run aborts the pipeline and ends the job as canceled.', async () => {
    await acceptJob();
    let reason: unknown;
    const run = runnerOf(
      workUntilStopped(({ signal }) => {
        signal.addEventListener('abort', () => (reason = signal.reason));
        return store.append('job_1', { type: 'cancel_requested' });
      }),
    ).run('job_1', { signal: never(), canRun: () => true });
    expect(await run).toMatchObject({ status: 'canceled', result: null, error: null });
    expect(reason).toMatchObject({ code: 'canceled' });
  });

  it('A job that is canceled before it runs does not run.', async () => {
    await acceptJob();
    await store.append('job_1', { type: 'cancel_requested' });
    expect(await runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'canceled',
    });
  });
});

describe('The deadline of a job', () => {
  it('A deadline that passes during a run aborts the pipeline and fails the job.', async () => {
    await acceptJob({ deadlineMs: 1_000 });
    bench.time.nowMs += 990;
    expect(await runnerOf(workUntilStopped()).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'failed',
      error: { code: 'deadline_exceeded' },
    });
  });

  it('A deadline that passed before the run fails the job without fetching its inputs.', async () => {
    await acceptJob({ deadlineMs: 1_000 });
    bench.time.nowMs += 60_000;
    expect(await runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      error: { code: 'deadline_exceeded' },
    });
    expect(progressEvents()).toEqual([]);
  });

  it('A later deadline has no effect.', async () => {
    await acceptJob({ deadlineMs: 60_000 });
    expect(await runnerOf(makeTake).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'completed',
    });
  });
});

describe('A worker that shuts down', () => {
  it('The run releases the job and throws, and does not count as a crash.', async () => {
    await acceptJob();
    const shutdown = new AbortController();
    const run = runnerOf(workUntilStopped(() => shutdown.abort())).run('job_1', {
      signal: shutdown.signal,
      canRun: () => true,
    });
    await expect(run).rejects.toMatchObject({ code: 'canceled' });
    expect(await store.get('job_1')).toMatchObject({ status: 'queued', runs: 1, crashes: 0, error: null });
    expect(workspaces()).toEqual([]);
    expect(await runnerOf(makeTake).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'completed',
      runs: 2,
      crashes: 0,
    });
  });
});

describe('A run that was superseded by a later run', () => {
  const takeOver = () => store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });

  it('A superseded run stops and records nothing.', async () => {
    await acceptJob();
    const record = await runnerOf(workUntilStopped(takeOver)).run('job_1', { signal: never(), canRun: () => true });
    expect(record).toMatchObject({ status: 'processing', runs: 2, error: null });
    expect(await store.get('job_1')).toEqual(record);
  });

  it('A superseded run cannot complete the job.', async () => {
    await acceptJob();
    const late: Script = async (input, context) => {
      await takeOver();
      return makeTake(input, context);
    };
    expect(await runnerOf(late).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'processing',
      runs: 2,
      result: null,
    });
  });

  it('A superseded run cannot fail the job.', async () => {
    await acceptJob();
    const late: Script = async () => {
      await takeOver();
      throw new LipsyncError('media_failed', 'Too late.');
    };
    expect(await runnerOf(late).run('job_1', { signal: never(), canRun: () => true })).toMatchObject({
      status: 'processing',
      runs: 2,
      error: null,
    });
  });
});

describe('Progress of a run', () => {
  it('Stored progress never decreases, whatever the pipeline reports.', async () => {
    await acceptJob();
    const seen: number[] = [];
    await runnerOf(async (input, context) => {
      for (const [stage, fraction] of [
        ['tracking', 0.5],
        ['rendering', 0.9],
        ['rendering', 0.1],
        ['tracking', 0],
        ['rendering', 0.95],
      ] as const) {
        context.onProgress({ stage, fraction });
        await new Promise(setImmediate);
        seen.push((await store.get('job_1'))?.progress ?? NaN);
      }
      return makeTake(input, context);
    }).run('job_1', { signal: never(), canRun: () => true });
    expect(seen).toEqual(seen.toSorted((one, other) => one - other));
    expect(new Set(seen).size).toBe(3);
  });

  it('Progress is stored once per interval, and at once for a new stage.', async () => {
    await acceptJob();
    await runnerOf(
      async (input, context) => {
        context.onProgress({ stage: 'fetching', fraction: 0 });
        for (let frame = 0; frame <= 1_000; frame++) {
          bench.time.nowMs += 1;
          context.onProgress({ stage: 'rendering', fraction: frame / 1_000 });
          await Promise.resolve();
        }
        return makeTake(input, context);
      },
      { progressIntervalMs: 250 },
    ).run('job_1', { signal: never(), canRun: () => true });
    expect(progressEvents().map(({ stage }) => stage)).toEqual([
      'fetching',
      ...Array.from({ length: 5 }, () => 'rendering'),
      'publishing',
    ]);
  });
});

describe('The workspace of a run', () => {
  it.each<[string, Script]>([
    ['completes', makeTake],
    ['fails', () => Promise.reject(new Error('broke'))],
    ['is canceled', workUntilStopped(() => store.append('job_1', { type: 'cancel_requested' }))],
  ])('The workspace is removed when the job %s.', async (_, script) => {
    await acceptJob();
    let during: readonly string[] = [];
    await runnerOf((input, context) => {
      during = workspaces();
      return script(input, context);
    }).run('job_1', { signal: never(), canRun: () => true });
    expect(during).toEqual(['job_1']);
    expect(workspaces()).toEqual([]);
  });

  it('The workspace of a crashed run is removed even if the next run has nothing to do.', async () => {
    await acceptJob();
    await mkdir(join(bench.workFolder, 'job_1', 'of-a-killed-run'), { recursive: true });
    await store.append('job_1', { type: 'cancel_requested' });
    await runnerOf(neverCalled).run('job_1', { signal: never(), canRun: () => true });
    expect(workspaces()).toEqual([]);
  });
});
