import { openAsBlob } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema } from '@lipsync/core/contract';
import { z } from 'zod';
import { shortenSample } from '../lib/short-sample.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const timeLimitMs = 10 * 60_000;
const createsAtOnce = 100;
const equalJobs = 20;
const reusedCount = 200;
const reusedLimitMs = 100;

interface Sample {
  readonly videoPath: string;
  readonly audioPath: string;
}

interface Answer {
  readonly status: number;
  readonly isReplayed: boolean;
  readonly body: unknown;
}

const problemSchema = z.object({ code: z.string() });

/**
 * Equal requests against HeyGen's stand-in, over two API processes: one `Idempotency-Key` creates and bills one job,
 * equal jobs at once are made and billed once also when workers are killed, and a finished result is reused within
 * 100 ms until an option, the content or the engine changes. Prints the status codes of misused keys.
 */
export async function proveEqualRequests(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const stack = await startHeygenStack({ standin: { settings: { pace: paceByReads } } }, signal);
  const workers: GuardedProcess[] = [];
  try {
    const second = await stack.startApi();
    workers.push(await stack.startWorker());
    const sample = await shortenSample(stack.folder, 1);
    const urls = [stack.url, second.url];
    console.log('| step | seen | holds |\n|---|---|---|');
    const results = [
      await checkOneKey(stack, urls, sample),
      await checkMisuse(urls, sample),
      await checkReuse(stack, sample),
      await checkEqualJobs(stack, sample, workers),
      await checkChanges(stack, sample, workers),
    ];
    await second.process.stop();
    return results.every(Boolean);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await stack.stop();
  }
}

async function checkOneKey(stack: HeygenStack, urls: readonly string[], sample: Sample): Promise<boolean> {
  let conflicts = 0;
  const create = async (url: string): Promise<Answer> => {
    for (;;) {
      const answer = await post(url, sample, {}, 'one-key');
      if (answer.status !== 409) return answer;
      conflicts += 1;
      await sleep(50);
    }
  };
  const answers = await Promise.all(
    Array.from({ length: createsAtOnce }, (_, index) => create(urls[index % urls.length] ?? '')),
  );
  const ids = new Set(answers.map(({ body }) => jobViewSchema.parse(body).id));
  const replayed = answers.filter(({ isReplayed }) => isReplayed).length;
  const [id = ''] = ids;
  const { status } = await stack.waitFor(id);
  const { charges } = await stack.readBalances();
  return printRow(
    `${createsAtOnce} equal creates at once with one key over two APIs`,
    `${ids.size} job, ${status}; ${replayed} replayed; ${conflicts} times 409 before; ${charges} operation billed`,
    ids.size === 1 && replayed === createsAtOnce - 1 && status === 'completed' && charges === 1,
  );
}

async function checkMisuse([url = '', other = '']: readonly string[], sample: Sample): Promise<boolean> {
  const swapped = { videoPath: sample.audioPath, audioPath: sample.videoPath };
  const rows: readonly (readonly [string, string, () => Promise<Answer>])[] = [
    ['same key, same content, other API', '202 replayed', () => post(other, sample, {}, 'one-key')],
    ['same key, other option', '422 idempotency_mismatch', () => post(url, sample, { sync_mode: 'bounce' }, 'one-key')],
    ['same key, other files', '422 idempotency_mismatch', () => post(url, swapped, {}, 'one-key')],
    ['same key, invalid field', '422 request_invalid', () => post(url, sample, { sync_mode: 'no' }, 'one-key')],
    ['empty key', '400 request_invalid', () => post(url, sample, {}, '""')],
    ['key of 256 characters', '400 request_invalid', () => post(url, sample, {}, 'k'.repeat(256))],
    ['key with a quotation mark', '400 request_invalid', () => post(url, sample, {}, 'a"b')],
  ];
  let holds = true;
  for (const [misuse, expected, request] of rows) {
    const { status, isReplayed, body } = await request();
    const seen = status < 300 ? `${status}${isReplayed ? ' replayed' : ''}` : `${status} ${codeOf(body)}`;
    holds = printRow(misuse, seen, seen === expected) && holds;
  }
  return holds;
}

async function checkReuse(stack: HeygenStack, sample: Sample): Promise<boolean> {
  const before = (await stack.readBalances()).charges;
  const times: number[] = [];
  let reused = 0;
  for (let count = 0; count < reusedCount; count += 1) {
    const startedAt = performance.now();
    const job = jobViewSchema.parse((await post(stack.url, sample)).body);
    times.push(performance.now() - startedAt);
    if (job.cached && job.status === 'completed' && job.cost_usd === 0) reused += 1;
  }
  const sorted = times.toSorted((one, another) => one - another);
  const [p50 = 0, p95 = 0] = [0.5, 0.95].map((share) => sorted[Math.ceil(share * reusedCount) - 1]);
  const charged = (await stack.readBalances()).charges - before;
  return printRow(
    `${reusedCount} equal requests`,
    `${reused} completed at once; p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms; ${charged} operations billed`,
    reused === reusedCount && p95 < reusedLimitMs && charged === 0,
  );
}

async function checkEqualJobs(stack: HeygenStack, sample: Sample, workers: GuardedProcess[]): Promise<boolean> {
  const before = (await stack.readBalances()).charges;
  stack.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
  const jobs = await Promise.all(
    Array.from({ length: equalJobs }, async () =>
      jobViewSchema.parse((await post(stack.url, sample, { sync_mode: 'remap' })).body),
    ),
  );
  await until(() => stack.standin.control.operations().runningNow > 0);
  for (const { pid } of workers) process.kill(pid, 'SIGKILL');
  const killed = await workers[0]?.exited;
  workers.splice(0, 1, await stack.startWorker());
  stack.standin.control.release();
  const ended = await Promise.all(jobs.map(({ id }) => stack.waitFor(id)));
  const completed = ended.filter(({ status }) => status === 'completed').length;
  const cached = ended.filter((job) => job.cached).length;
  const charged = (await stack.readBalances()).charges - before;
  return printRow(
    `${equalJobs} equal jobs at once, their worker killed (${killed})`,
    `${completed} completed, ${cached} of them with the result of the first; ${charged} operation billed`,
    completed === equalJobs && cached === equalJobs - 1 && charged === 1,
  );
}

async function checkChanges(stack: HeygenStack, sample: Sample, workers: GuardedProcess[]): Promise<boolean> {
  const changes: readonly (readonly [string, () => Promise<Answer>])[] = [
    ['another option', () => post(stack.url, sample, { silence_mode: 'keep' })],
    ['cache: false', () => post(stack.url, sample, { cache: 'false' })],
    ['one byte of the clip', async () => post(stack.url, await withChangedClip(stack.folder, sample))],
    ['one byte of the speech', async () => post(stack.url, await withChangedSpeech(stack.folder, sample))],
    [
      'another engine version (LIPSYNC_VIDEO_CRF=20)',
      async () => {
        const version = await stack.readEngineVersion();
        await Promise.all(workers.map((worker) => worker.stop()));
        workers.splice(0, workers.length, await stack.startWorker({ LIPSYNC_VIDEO_CRF: '20' }));
        await until(async () => (await stack.readEngineVersion()) !== version);
        return post(stack.url, sample);
      },
    ],
  ];
  let holds = true;
  for (const [change, send] of changes) {
    const before = (await stack.readBalances()).charges;
    const job = await stack.waitFor(jobViewSchema.parse((await send()).body).id);
    const charged = (await stack.readBalances()).charges - before;
    const isNew = job.status === 'completed' && !job.cached && charged === 1;
    holds = printRow(change, `${job.status}, cached: ${job.cached}, ${charged} operation billed`, isNew) && holds;
  }
  return holds;
}

async function post(
  url: string,
  { videoPath, audioPath }: Sample,
  fields: Readonly<Record<string, string>> = {},
  key?: string,
): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of Object.entries({ method: 'heygen', ...fields })) form.set(name, value);
  form.set('video', await openAsBlob(videoPath), basename(videoPath));
  form.set('audio', await openAsBlob(audioPath), basename(audioPath));
  const headers = key === undefined ? {} : { 'Idempotency-Key': key };
  const response = await fetch(`${url}/lipsync`, { method: 'POST', body: form, headers });
  const isReplayed = response.headers.get('Idempotent-Replayed') === 'true';
  return { status: response.status, isReplayed, body: await response.json() };
}

function codeOf(body: unknown): string {
  return problemSchema.safeParse(body).data?.code ?? 'no problem document';
}

/** Appends an empty box, in which one byte differs from that of any other clip. */
async function withChangedClip(folder: string, sample: Sample): Promise<Sample> {
  const videoPath = join(folder, 'changed.mp4');
  const box = Buffer.from([0, 0, 0, 9, ...Buffer.from('free'), 1]);
  await writeFile(videoPath, Buffer.concat([await readFile(sample.videoPath), box]));
  return { ...sample, videoPath };
}

async function withChangedSpeech(folder: string, sample: Sample): Promise<Sample> {
  const audioPath = join(folder, 'changed.wav');
  const content = await readFile(sample.audioPath);
  content.writeUInt8(content.readUInt8(content.length - 2) ^ 1, content.length - 2);
  await writeFile(audioPath, content);
  return { ...sample, audioPath };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endAtMs = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > endAtMs) throw new Error('The expected state was not reached within 60 s.');
    await sleep(50);
  }
}

function printRow(step: string, seen: string, holds: boolean): boolean {
  console.log(`| ${step} | ${seen} | ${holds ? 'yes' : 'NO'} |`);
  return holds;
}
