import { afterEach, beforeEach, expect, it } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import type { JobEvent } from '../../src/jobs/job-events.ts';
import type { ResultCache, ReusedResult } from '../../src/jobs/result-cache.ts';
import { makeTake, neverCalled } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';

const reused: ReusedResult = {
  result: { methodUsed: 'preview', degraded: true, cached: true, durationMs: 1, outputKey: 'outputs/x/output.mp4' },
  warnings: [{ code: 'degraded', message: 'A stand-in.' }],
};
const cacheWith = (claim: ResultCache['claim']): ResultCache => ({ engineVersion: 'v1', claim });
const context = { signal: new AbortController().signal, canRun: () => true };

let bench: RunnerBench;
beforeEach(async () => {
  bench = await openRunnerBench();
});
afterEach(() => bench.remove());

it('A job with an equal result completes without a run of the pipeline.', async () => {
  await bench.accept();
  const runner = bench.runner(neverCalled, { results: cacheWith(async () => ({ type: 'reused', ...reused })) });
  expect(await runner.run('job_1', context)).toMatchObject({
    status: 'completed',
    progress: 100,
    attempts: [],
    ...reused,
  });
});

it('A job without an equal result runs, and its result is stored under the version of the engine.', async () => {
  await bench.accept();
  const events: JobEvent[] = [];
  const store = {
    ...bench.store,
    append: (id: string, event: JobEvent) => (events.push(event), bench.store.append(id, event)),
  };
  const results = cacheWith(async () => ({ type: 'render' }));
  await bench.runner(makeTake, { store, results }).run('job_1', context);
  expect(events.at(-1)).toMatchObject({ type: 'completed', engineVersion: 'v1', result: { cached: false } });
});

it('A job that refuses reused results, or has begun its own, does not look for one.', async () => {
  const results = cacheWith(() => Promise.reject(new Error('The cache was read.')));
  await bench.accept({ cache: false });
  expect(await bench.runner(makeTake, { results }).run('job_1', context)).toMatchObject({ status: 'completed' });
});

it('A job waits for an equal one that makes the result, but no longer than an hour or until its deadline.', async () => {
  const results = cacheWith(async () => ({ type: 'waiting', jobId: 'job_0' }));
  await bench.accept({ deadlineMs: 5_000_000 });
  const waiting = { status: 'processing', stage: 'waiting', waitsForResult: 'job_0' };
  const runner = bench.runner(makeTake, { results });
  expect(await runner.run('job_1', context)).toMatchObject({ ...waiting, parkedUntilMs: 40_000 });
  bench.time.nowMs = 3_600_000;
  expect(await runner.run('job_1', context)).toMatchObject({ ...waiting, parkedUntilMs: 3_630_000 });
  bench.time.nowMs = 3_620_000;
  expect(await runner.run('job_1', context)).toMatchObject({ status: 'completed', result: { cached: false } });
});

it('A cache that cannot be read is an outage of the store and not a failure of the job.', async () => {
  await bench.accept();
  const outage = new LipsyncError('resource_exhausted', 'Redis cannot be reached.');
  const runner = bench.runner(neverCalled, { results: cacheWith(() => Promise.reject(outage)) });
  await expect(runner.run('job_1', context)).rejects.toBe(outage);
  expect(await bench.store.get('job_1')).toMatchObject({ status: 'queued', error: null });
});
