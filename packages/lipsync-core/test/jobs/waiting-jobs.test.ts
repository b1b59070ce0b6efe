import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import { makeTake, neverCalled, workUntilStopped, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const never = new AbortController().signal;
const anywhere = { signal: never, canRun: () => true };

const running: Attempt = {
  provider: 'heygen',
  outcome: 'running',
  code: null,
  message: null,
  startedAtMs: 1,
  endedAtMs: null,
  costMicros: null,
  operation: { id: 'op-1', state: {} },
  operationAtMs: 1,
  transientFailures: 0,
};

let bench: RunnerBench;
/** Why jobs were abandoned, and the attempts that they had. */
let abandoned: { readonly code: string; readonly attempts: readonly Attempt[] }[];

beforeEach(async () => {
  bench = await openRunnerBench();
  abandoned = [];
});
afterEach(() => bench.remove());

const abandon: LipsyncPipeline['abandon'] = async (_, { code }, { earlierAttempts, saveAttempts }) => {
  abandoned.push({ code, attempts: earlierAttempts });
  await saveAttempts(earlierAttempts.map((attempt) => ({ ...attempt, outcome: 'canceled' })));
};

/** Waits for 5 s with its operation running. */
const wait: Script = async (_, { saveAttempts }) => {
  await saveAttempts([running]);
  return { kind: 'waiting', untilMs: bench.time.nowMs + 5_000 };
};

function run(script: Script): Promise<JobRecord> {
  return bench.runner(script, {}, abandon).run('job_1', anywhere);
}

describe('a job that only waits', () => {
  it('is parked until it is worth another look, and holds no folder', async () => {
    await bench.accept();
    expect(await run(wait)).toMatchObject({
      status: 'processing',
      stage: 'waiting',
      parkedUntilMs: bench.time.nowMs + 5_000,
      attempts: [running],
    });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('is gone on with where it stands, and its waiting runs are no crashes, however many', async () => {
    await bench.accept();
    for (let time = 0; time < 20; time += 1) await run(wait);
    const record = await run((input, context) => {
      expect(context.earlierAttempts).toEqual([running]);
      return makeTake(input, context);
    });
    expect(record).toMatchObject({ status: 'completed', runs: 21, crashes: 0, parkedUntilMs: null });
  });

  it.each<[string, readonly Attempt[], string]>([
    ['that stands in line', [], 'Waiting for a slot at the provider.'],
    [
      'whose order was put off',
      [{ ...running, operation: null, operationAtMs: null }],
      'Waiting until heygen accepts the request.',
    ],
    ['whose operation runs', [running], 'heygen is processing.'],
  ])('says what it waits for: one %s', async (_, attempts, message) => {
    await bench.accept();
    expect(
      await run(async (__, { saveAttempts }) => {
        await saveAttempts(attempts);
        return { kind: 'waiting', untilMs: bench.time.nowMs + 5_000 };
      }),
    ).toMatchObject({ stage: 'waiting', message });
  });

  it('counts the crash of a run that looked at it and died', async () => {
    await bench.accept();
    await run(wait);
    for (let crash = 0; crash < 2; crash += 1)
      await bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    expect(await run(wait)).toMatchObject({ crashes: 2 });
  });

  it('is let go of, with its operation, after five crashes', async () => {
    await bench.accept();
    await run(wait);
    for (let crash = 0; crash < 5; crash += 1)
      await bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
    expect(await run(neverCalled)).toMatchObject({ status: 'failed', error: { code: 'worker_crashed' } });
    expect(abandoned).toEqual([{ code: 'worker_crashed', attempts: [running] }]);
  });

  it('is not parked beyond its deadline, and ends there without being worked on', async () => {
    await bench.accept({ deadlineMs: 2_000 });
    expect(await run(wait)).toMatchObject({ parkedUntilMs: bench.time.nowMs + 2_000 });
    bench.time.nowMs += 2_000;
    expect(await run(neverCalled)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect(abandoned).toEqual([{ code: 'deadline_exceeded', attempts: [running] }]);
  });

  it('is ended by the next run when it was canceled, its attempts with it', async () => {
    await bench.accept();
    await run(wait);
    await bench.store.append('job_1', { type: 'cancel_requested' });
    expect(await run(neverCalled)).toMatchObject({ status: 'canceled', attempts: [{ outcome: 'canceled' }] });
    expect(abandoned).toEqual([{ code: 'canceled', attempts: [running] }]);
  });

  it('ends at once when it was canceled while it was being parked', async () => {
    await bench.accept();
    const record = await run(async (input, context) => {
      await bench.store.append('job_1', { type: 'cancel_requested' });
      return wait(input, context);
    });
    expect(record).toMatchObject({ status: 'canceled' });
    expect(abandoned).toHaveLength(1);
  });
});

describe('a job that goes on elsewhere', () => {
  const handOn: Script = async () => ({ kind: 'elsewhere', needs: 'remote' });

  it('waits for a worker of that kind, and its run is no crash', async () => {
    await bench.accept();
    expect(await run(handOn)).toMatchObject({ status: 'queued', needs: 'remote', parkedUntilMs: null });
    expect(await run(makeTake)).toMatchObject({ status: 'completed', crashes: 0, runs: 2 });
  });

  it('is not touched by a host that does not take that kind', async () => {
    await bench.accept();
    const handedOn = await run(handOn);
    const inline = bench.runner(neverCalled, {}, abandon);
    expect(await inline.run('job_1', { signal: never, canRun: (kind) => kind === 'inline' })).toEqual(handedOn);
    expect(await bench.store.get('job_1')).toEqual(handedOn);
  });
});

describe('a run that another one took over from', () => {
  const takeOver = () => bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });

  it('gets no further than its next attempt to save', async () => {
    await bench.accept();
    let wentOn = false;
    const record = await run(async (input, context) => {
      await takeOver();
      await wait(input, context);
      wentOn = true;
      return makeTake(input, context);
    });
    expect([wentOn, record]).toMatchObject([false, { status: 'processing', runs: 2, attempts: [] }]);
  });

  it('stops for a reason that is no cancel, so that it leaves alone what the other goes on with', async () => {
    await bench.accept();
    let reason: unknown;
    await bench
      .runner(
        workUntilStopped(({ signal }) => {
          signal.addEventListener('abort', () => (reason = signal.reason));
          return takeOver();
        }),
        { cancelPollMs: 5 },
        abandon,
      )
      .run('job_1', anywhere);
    expect(reason).toBeInstanceOf(Error);
    expect(reason).not.toHaveProperty('code');
    expect(abandoned).toEqual([]);
  });
});
