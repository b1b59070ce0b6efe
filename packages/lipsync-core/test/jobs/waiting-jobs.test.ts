import { testAttempt } from '../../src/testing/index.ts';
import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import type { LipsyncPipeline } from '../../src/jobs/lipsync-pipeline.ts';
import { makeTake, neverCalled, workUntilStopped, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';
import type { Attempt } from '../../src/providers/attempt.ts';

const never = new AbortController().signal;
const anywhere = { signal: never, canRun: () => true };

const running = testAttempt({
  operation: { id: 'op-1', state: {} },
  operationAtMs: 1,
});

let bench: RunnerBench;
/** Reason and attempts of each abandoned job. */
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

/** Waits for 5 s while its operation runs. */
const wait: Script = async (_, { saveAttempts }) => {
  await saveAttempts([running]);
  return { type: 'waiting', untilMs: bench.time.nowMs + 5_000 };
};

function run(script: Script): Promise<JobRecord> {
  return bench.runner(script, {}, abandon).run('job_1', anywhere);
}

describe('A job that waits', () => {
  it('A waiting job is parked and has no workspace.', async () => {
    await bench.accept();
    expect(await run(wait)).toMatchObject({
      status: 'processing',
      stage: 'waiting',
      parkedUntilMs: bench.time.nowMs + 5_000,
      attempts: [running],
    });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('A parked job resumes with its attempts, and none of its runs counts as a crash.', async () => {
    await bench.accept();
    for (let time = 0; time < 20; time += 1) await run(wait);
    const record = await run((input, context) => {
      expect(context.earlierAttempts).toEqual([running]);
      return makeTake(input, context);
    });
    expect(record).toMatchObject({ status: 'completed', runs: 21, crashes: 0, parkedUntilMs: null });
  });

  it.each<[string, readonly Attempt[], string]>([
    ['without a slot', [], 'Waiting for a slot at the provider.'],
    [
      'whose request was postponed',
      [{ ...running, operation: null, operationAtMs: null }],
      'Waiting until heygen accepts the request.',
    ],
    ['whose operation runs', [running], 'heygen is processing.'],
  ])('The message of a waiting job %s tells the reason.', async (_, attempts, message) => {
    await bench.accept();
    expect(
      await run(async (__, { saveAttempts }) => {
        await saveAttempts(attempts);
        return { type: 'waiting', untilMs: bench.time.nowMs + 5_000 };
      }),
    ).toMatchObject({ stage: 'waiting', message });
  });

  async function crash(times: number): Promise<void> {
    for (let crashes = 0; crashes < times; crashes += 1)
      await bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
  }

  it('Crashes over a long wait for an operation do not add up, but the durations of the job stay meaningless.', async () => {
    await bench.accept();
    for (let check = 0; check < 3; check += 1) {
      expect(await run(wait)).toMatchObject({ crashes: 0, stage: 'waiting' });
      await crash(4);
      expect(await bench.store.get('job_1')).toMatchObject({ crashes: 3 });
    }
    const record = await run(async (input, context) => {
      expect(context.wasInterrupted).toBe(true);
      return makeTake(input, context);
    });
    expect(record).toMatchObject({ status: 'completed', crashes: 4 });
  });

  it.each<[string, readonly Attempt[]]>([
    ['a slot', []],
    ['the take of a finished operation', [{ ...running, costMicros: 33_300 }]],
  ])('Crashes between waits for %s add up, so that a job cannot crash its workers forever.', async (_, attempts) => {
    await bench.accept();
    const waitWithoutProgress: Script = async (__, { saveAttempts }) => {
      await saveAttempts(attempts);
      return { type: 'waiting', untilMs: bench.time.nowMs + 5_000 };
    };
    for (let crashes = 0; crashes < 5; crashes += 1) {
      expect(await run(waitWithoutProgress)).toMatchObject({ crashes });
      await crash(1);
    }
    expect(await run(neverCalled)).toMatchObject({ error: { code: 'worker_crashed' } });
  });

  it('A waiting job fails after five crashes, and its operation is abandoned.', async () => {
    await bench.accept();
    await run(wait);
    await crash(5);
    expect(await run(neverCalled)).toMatchObject({ status: 'failed', error: { code: 'worker_crashed' } });
    expect(abandoned).toEqual([{ code: 'worker_crashed', attempts: [running] }]);
  });

  it('A job is parked no longer than until its deadline, and then fails without running the pipeline.', async () => {
    await bench.accept({ deadlineMs: 2_000 });
    expect(await run(wait)).toMatchObject({ parkedUntilMs: bench.time.nowMs + 2_000 });
    bench.time.nowMs += 2_000;
    expect(await run(neverCalled)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect(abandoned).toEqual([{ code: 'deadline_exceeded', attempts: [running] }]);
  });

  it('The next run ends a canceled job and its attempts.', async () => {
    await bench.accept();
    await run(wait);
    await bench.store.append('job_1', { type: 'cancel_requested' });
    expect(await run(neverCalled)).toMatchObject({ status: 'canceled', attempts: [{ outcome: 'canceled' }] });
    expect(abandoned).toEqual([{ code: 'canceled', attempts: [running] }]);
  });

  it('A job that is canceled while it is being parked ends at once.', async () => {
    await bench.accept();
    const record = await run(async (input, context) => {
      await bench.store.append('job_1', { type: 'cancel_requested' });
      return wait(input, context);
    });
    expect(record).toMatchObject({ status: 'canceled' });
    expect(abandoned).toHaveLength(1);
  });
});

describe('A job that continues on another worker', () => {
  const transfer: Script = async () => ({ type: 'elsewhere', needs: 'remote' });

  it('A transferred job is queued for a worker of that kind, and its run does not count as a crash.', async () => {
    await bench.accept();
    expect(await run(transfer)).toMatchObject({ status: 'queued', needs: 'remote', parkedUntilMs: null });
    expect(await run(makeTake)).toMatchObject({ status: 'completed', crashes: 0, runs: 2 });
  });

  it('A host that does not run that kind of provider does not change the job.', async () => {
    await bench.accept();
    const transferred = await run(transfer);
    const inline = bench.runner(neverCalled, {}, abandon);
    expect(await inline.run('job_1', { signal: never, canRun: (kind) => kind === 'inline' })).toEqual(transferred);
    expect(await bench.store.get('job_1')).toEqual(transferred);
  });
});

describe('A run that was superseded by a later run', () => {
  const takeOver = () => bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });

  it('A superseded run stops at the next change that it saves.', async () => {
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

  it('A superseded run that fails before it is stopped does not settle the attempt of the later run.', async () => {
    await bench.accept();
    let wasSettled = false;
    const record = await run(async (input, context) => {
      await takeOver();
      await context.requireCurrentRun?.();
      wasSettled = true;
      return makeTake(input, context);
    });
    expect([wasSettled, abandoned, record]).toMatchObject([false, [], { status: 'processing', runs: 2 }]);
  });

  it('A superseded run is not aborted with an error code, so that it does not end the attempts of the later run.', async () => {
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
