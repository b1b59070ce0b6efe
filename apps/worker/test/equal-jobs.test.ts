import { setTimeout as sleep } from 'node:timers/promises';
import { LipsyncError } from '@lipsync/core/host';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { make, openWaitingBench, type Step, type WaitingBench } from './waiting-bench.ts';

let bench: WaitingBench;
/** Ids of the jobs whose pipeline ran, in order. */
let rendered: string[] = [];

beforeAll(async () => {
  bench = await openWaitingBench();
});
afterEach(async () => {
  rendered = [];
  await bench.reset();
});
afterAll(() => bench.close());

const noting =
  (step: Step): Step =>
  (input, context) => {
    rendered.push(input.jobId);
    return step(input, context);
  };
const slowly: Step = async (input, context) => {
  await sleep(500);
  return make(input, context);
};
const work = (step: Step) =>
  bench.work([{ lane: 'render', concurrency: 4 }], noting(step), { sharesResults: true, cancelPollMs: 50 });
const submit = (count: number) =>
  Promise.all(Array.from({ length: count }, (_, index) => bench.submit(`job_${index}`, { priority: index % 10 })));
const jobs = async (count: number) =>
  Promise.all(Array.from({ length: count }, (_, index) => bench.store.get(`job_${index}`)));
const statuses = async (count: number) => (await jobs(count)).map((job) => String(job?.status));
const all = (count: number, status: string) => Array.from({ length: count }, () => status);

it('20 equal jobs at once are rendered once and share the output.', async () => {
  await work(slowly);
  await submit(20);
  await expect.poll(() => statuses(20), { timeout: 20_000 }).toEqual(all(20, 'completed'));
  expect(rendered).toHaveLength(1);
  const results = (await jobs(20)).map((job) => (job?.kind === 'lipsync' ? job.result : null));
  expect(new Set(results.map((result) => result?.outputKey))).toEqual(new Set([`outputs/${rendered[0]}/output.mp4`]));
  expect(results.filter((result) => result?.cached)).toHaveLength(19);
});

it('If the first of equal jobs fails, the next one runs itself.', async () => {
  const step: Step = async (input, context) => {
    await sleep(300);
    if (rendered.length === 1) throw new LipsyncError('clip_unusable', 'No face.');
    return make(input, context);
  };
  await work(step);
  await submit(3);
  await expect.poll(async () => (await statuses(3)).toSorted()).toEqual(['completed', 'completed', 'failed']);
  expect(rendered).toHaveLength(2);
});

it('If the first of equal jobs is canceled, the next one runs itself.', async () => {
  const step: Step = async (input, context) => {
    if (rendered.length > 1) return make(input, context);
    await new Promise((_, reject) =>
      context.signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }),
    );
    throw new Error('The first job was not canceled.');
  };
  await work(step);
  await submit(2);
  await expect.poll(() => bench.queues.render.getDelayedCount()).toBe(1);
  await bench.store.append(rendered[0] ?? '', { type: 'cancel_requested' });
  await expect.poll(async () => (await statuses(2)).toSorted()).toEqual(['canceled', 'completed']);
  expect(rendered).toHaveLength(2);
});

it('A job that refuses reused results is rendered beside an equal one.', async () => {
  await work(slowly);
  await bench.submit('job_0');
  await bench.submit('job_1', { cache: false });
  await expect.poll(() => statuses(2)).toEqual(all(2, 'completed'));
  expect(rendered.toSorted()).toEqual(['job_0', 'job_1']);
});
