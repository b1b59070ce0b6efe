import { testAttempt } from '../../src/testing/index.ts';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import { LipsyncError } from '../../src/errors/index.ts';
import { keptTakePath } from '../../src/processes/workspace.ts';
import type { Attempt } from '../../src/providers/attempt.ts';
import { makeTake, neverCalled, type Script } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench, type RunnerOptions } from './runner-bench.ts';

const anywhere = { signal: new AbortController().signal, canRun: () => true };
const outputKey = 'outputs/job_1/output.mp4';
const paid = testAttempt({
  outcome: 'succeeded',
  endedAtMs: 2,
  costMicros: 33_300,
  operation: { id: 'op-1', state: {} },
  operationAtMs: 1,
});

let bench: RunnerBench;
beforeEach(async () => {
  bench = await openRunnerBench();
});
afterEach(() => bench.remove());

function run(script: Script, change: Partial<RunnerOptions> = {}): Promise<JobRecord> {
  return bench.runner(script, change).run('job_1', anywhere);
}

/** A file in the place of a folder: no file can be written below it, not even by root. */
async function block(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(dirname(folder), { recursive: true });
  await writeFile(folder, '');
}

/** Makes a paid take; afterwards the output folder cannot be written. */
const payThenBlock: Script = async (input, context) => {
  const outcome = await makeTake(input, context);
  await context.saveAttempts([paid]);
  await block(bench.outputFolder);
  return outcome;
};

describe('A take that cannot be published', () => {
  beforeEach(() => bench.accept());

  it('The take is kept, and the job waits for the folder that its message names.', async () => {
    const record = await run(payThenBlock);
    expect(record).toMatchObject({
      status: 'processing',
      stage: 'waiting',
      parkedUntilMs: bench.time.nowMs + 10_000,
      attempts: [paid],
      error: null,
    });
    expect(record.message).toContain('The take is finished and waits to be published.');
    expect(record.message).toContain(bench.outputFolder);
  });

  it('A job that is canceled while its take is stored ends at once.', async () => {
    const cancel = new AbortController();
    const publish = (_path: string, _record: JobRecord, signal: AbortSignal): Promise<string> => {
      setImmediate(() => cancel.abort(new LipsyncError('canceled', 'The caller left.')));
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(new Error('aborted', { cause: signal.reason })), { once: true }),
      );
    };
    const context = { ...anywhere, cancelSignal: cancel.signal };
    const record = await bench.runner(makeTake, { publish }).run('job_1', context);
    expect(record).toMatchObject({ status: 'canceled', result: null });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('A later run publishes the kept take without making it again, and leaves no work file.', async () => {
    await run(payThenBlock);
    expect(await run(neverCalled)).toMatchObject({ stage: 'waiting', crashes: 0 });
    await rm(bench.outputFolder);
    const record = await run(neverCalled);
    expect(record).toMatchObject({
      status: 'completed',
      result: { outputKey, methodUsed: 'preview', durationMs: 1_000 },
      warnings: [{ code: 'degraded' }],
      attempts: [paid],
    });
    expect(record).not.toHaveProperty('keptTake');
    expect(await text(await bench.artifacts.read(outputKey))).toBe('the clip speaking the speech');
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('Crashes of workers during the wait do not end the job.', async () => {
    await run(payThenBlock);
    for (let crash = 0; crash < 10; crash += 1) {
      await bench.store.append('job_1', { type: 'run_started', atMs: bench.time.nowMs });
      expect(await run(neverCalled)).toMatchObject({ stage: 'waiting', crashes: 0 });
    }
  });

  it('A kept take whose file is gone is collected again.', async () => {
    await run(payThenBlock);
    await rm(bench.outputFolder);
    await rm(bench.workFolder, { recursive: true });
    expect(await run(makeTake)).toMatchObject({ status: 'completed' });
  });

  it('A take that a run published before it was killed completes the job and is not collected again.', async () => {
    await run(payThenBlock);
    await rm(bench.outputFolder);
    await mkdir(join(bench.outputFolder, 'job_1'), { recursive: true });
    await rename(keptTakePath(bench.workFolder, 'job_1'), join(bench.outputFolder, 'job_1', 'output.mp4'));
    expect(await run(neverCalled)).toMatchObject({
      status: 'completed',
      result: { outputKey, methodUsed: 'preview' },
      warnings: [{ code: 'degraded' }],
    });
  });

  it('A take whose file is gone is not collected again while the output folder cannot be read.', async () => {
    await run(payThenBlock);
    await rm(keptTakePath(bench.workFolder, 'job_1'));
    expect(await run(neverCalled)).toMatchObject({ status: 'processing', stage: 'waiting', keptTake: {} });
  });

  it('A run completes the job when a superseded run has published its take in the meantime.', async () => {
    const publish = async (takePath: string): Promise<string> => {
      await bench.artifacts.publish(takePath, outputKey);
      return (await bench.artifacts.publish(takePath, outputKey)).key;
    };
    expect(await run(makeTake, { publish })).toMatchObject({ status: 'completed', result: { outputKey } });
  });

  it('A job that no request resumes is ended together with its kept take.', async () => {
    await run(payThenBlock);
    const reason = new LipsyncError('worker_crashed', 'No request resumed the job.');
    const { signal } = anywhere;
    expect(await bench.runner(neverCalled).end('job_1', reason, signal)).toMatchObject({ status: 'failed' });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('A cancel ends the waiting job and deletes the kept take.', async () => {
    await run(payThenBlock);
    await bench.store.append('job_1', { type: 'cancel_requested' });
    expect(await run(neverCalled)).toMatchObject({ status: 'canceled' });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('A failure that no later run can correct ends the job.', async () => {
    const publish = () => Promise.reject(new TypeError('A mistake.'));
    expect(await run(makeTake, { publish })).toMatchObject({ status: 'failed', error: { code: 'internal' } });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('The log has one line about a job that waits, however often it looks.', async () => {
    const lines: string[] = [];
    const ignore = (): void => undefined;
    const logger = { debug: ignore, info: ignore, error: ignore, warn: (_: object, line: string) => lines.push(line) };
    await run(payThenBlock, { logger });
    for (let time = 0; time < 5; time += 1) await run(neverCalled, { logger });
    expect(lines).toEqual(['the job waits until files can be stored']);
  });
});

describe('The deadline of a job whose take waits to be published', () => {
  beforeEach(() => bench.accept({ deadlineMs: 4_000 }));

  it('The job waits no longer than that, and fails if the take still cannot be published.', async () => {
    expect(await run(payThenBlock)).toMatchObject({ parkedUntilMs: bench.time.nowMs + 4_000 });
    bench.time.nowMs += 4_000;
    expect(await run(neverCalled)).toMatchObject({ status: 'failed', error: { code: 'deadline_exceeded' } });
    expect(await readdir(bench.workFolder)).toEqual([]);
  });

  it('The take is published then if that is possible again, because it is paid for.', async () => {
    await run(payThenBlock);
    bench.time.nowMs += 4_000;
    await rm(bench.outputFolder);
    expect(await run(neverCalled)).toMatchObject({ status: 'completed', result: { outputKey }, attempts: [paid] });
    expect(await text(await bench.artifacts.read(outputKey))).toBe('the clip speaking the speech');
    expect(await readdir(bench.workFolder)).toEqual([]);
  });
});

describe('A worker that shuts down while a take is stored after the deadline', () => {
  let host: AbortController;
  /** Makes a paid take and keeps it, as for its assessment. */
  const keepPaid: Script = async (input, context) => {
    const made = await makeTake(input, context);
    if (made.type !== 'made') return made;
    const { degraded, durationMs, warnings } = made;
    const takePath = await context.keptTakes.keep(made.takePath, 0);
    await context.saveAttempts([{ ...paid, take: { degraded, durationMs, warnings } }]);
    return { ...made, takePath, attemptIndex: 0 };
  };
  /** An upload that takes longer than the deadline and the grace of the worker. */
  const uploadSlowly: RunnerOptions['publish'] = (_path, _record, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted', { cause: signal.reason })), { once: true });
      vi.advanceTimersByTime(4_000);
      host.abort();
      vi.advanceTimersByTime(5_000);
    });
  const shutDown = (script: Script): Promise<JobRecord> =>
    bench.runner(script, { publish: uploadSlowly }).run('job_1', { ...anywhere, signal: host.signal });

  beforeEach(async () => {
    host = new AbortController();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await bench.accept({ deadlineMs: 4_000 });
  });
  afterEach(() => void vi.useRealTimers());

  it('The deadline passes during the upload: the run is released, and the next one stores the take.', async () => {
    await expect(shutDown(keepPaid)).rejects.toMatchObject({ code: 'canceled' });
    expect(await bench.store.get('job_1')).toMatchObject({ error: null, crashes: 0, completedAtMs: null });
    bench.time.nowMs += 4_000;
    expect(await run(neverCalled)).toMatchObject({
      status: 'completed',
      crashes: 0,
      attempts: [{ costMicros: 33_300 }],
    });
  });

  it('The deadline has passed before: the take is not deleted, and the next run stores it.', async () => {
    await run(payThenBlock);
    bench.time.nowMs += 4_000;
    await rm(bench.outputFolder);
    await expect(shutDown(neverCalled)).rejects.toMatchObject({ code: 'canceled' });
    expect(await run(neverCalled)).toMatchObject({ status: 'completed', crashes: 0, attempts: [paid] });
  });
});

describe('A job that starts while files cannot be stored', () => {
  beforeEach(() => bench.accept());

  it.each<[string, (bench: RunnerBench) => string]>([
    ['output', ({ outputFolder }) => outputFolder],
    ['work', ({ workFolder }) => workFolder],
  ])('A job whose %s folder cannot be written does no work until it can.', async (_, folderOf) => {
    await block(folderOf(bench));
    const record = await run(neverCalled);
    expect(record).toMatchObject({ status: 'processing', stage: 'waiting', attempts: [], error: null });
    expect(record.message).toContain(folderOf(bench));
    await rm(folderOf(bench));
    expect(await run(makeTake)).toMatchObject({ status: 'completed', crashes: 0 });
  });

  it('An operation that runs already is checked although outputs cannot be written.', async () => {
    await block(bench.outputFolder);
    const running: Attempt = { ...paid, outcome: 'running', costMicros: null };
    await bench.store.append('job_1', { type: 'run_started', atMs: 1 });
    await bench.store.append('job_1', { type: 'attempts_changed', run: 1, attempts: [running] });
    let isChecked = false;
    await run(async () => {
      isChecked = true;
      return { type: 'waiting', untilMs: bench.time.nowMs + 5_000 };
    });
    expect(isChecked).toBe(true);
  });

  it('The state is checked again directly before a request is sent.', async () => {
    const record = await run(async (_, { checkStorage }) => {
      await block(join(bench.outputFolder));
      await checkStorage?.();
      throw new Error('The request was sent.');
    });
    expect(record).toMatchObject({ stage: 'waiting', error: null });
  });
});
