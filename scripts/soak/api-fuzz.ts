import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { z } from 'zod';
import type { ApiDocument } from '../../apps/api/test/answer-checker.ts';
import { fuzzApi } from '../../apps/api/test/request-fuzzer.ts';
import { heldMib } from '../lib/watch-memory.ts';
import { descendantsRunning } from './processes.ts';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';

const timeLimitMs = 40 * 60_000;
const requestCount = Number(process.env['API_FUZZ_REQUESTS'] ?? 24_000);
const targetCount = 20;
const mediaCount = Number(process.env['API_FUZZ_FILES'] ?? 500);
const seed = 20261129;
/** Growth of the API over everything that counts as flat. While requests arrive without a pause, garbage adds to it. */
const maxGrowthMib = 100;
const parallelJobs = 8;

const jobSchema = z.object({
  id: z.string(),
  status: z.string(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
const pageSchema = z.object({ jobs: z.array(z.object({ id: z.string() })) });

/** Codes that a job with a damaged file may end with. */
const expectedCodes = ['clip_unusable', 'speech_unusable', 'media_failed'];

/**
 * Sends requests that are generated from `/openapi.json`, then jobs with damaged files. Every answer must be documented and
 * none may be 500; no process may restart, no file may stay after the jobs are deleted, and the memory of the API must not
 * grow.
 */
export async function proveApiFuzz(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-fuzz-'));
  const stack = await startScratchStack({ LIPSYNC_QUALITY: 'off', WORKER_RENDER_CONCURRENCY: '4' }, signal);
  const processIds = (): string =>
    ['apps/api/src/main.ts', 'apps/worker/src/main.ts'].flatMap(descendantsRunning).join();
  const processIdsBefore = processIds();
  try {
    const media = await makeMedia(folder);
    const memoryBeforeMib = memoryOfApi();
    const areRequestsFine = await sendRequests(stack, media.clip, signal);
    const areJobsFine = await sendMedia(stack, media, signal);
    await deleteJobs(stack, signal);
    const left = [...(await stack.leftovers()), ...(await storedFiles(stack, signal))];
    const growthMib = memoryOfApi() - memoryBeforeMib;
    console.log(`the API holds ${growthMib.toFixed(0)} MiB more than before`);
    const isUnchanged = processIds() === processIdsBefore;
    console.log(
      `left behind: ${left.length === 0 ? 'nothing' : left.join(', ')}; processes: ${isUnchanged ? 'the same as before' : 'NOT the same as before'}`,
    );
    return areRequestsFine && areJobsFine && left.length === 0 && isUnchanged && growthMib <= maxGrowthMib;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

const apiCommand = 'apps/api/src/main.ts';

function memoryOfApi(): number {
  return descendantsRunning(apiCommand).reduce((sum, pid) => sum + heldMib(pid), 0);
}

interface Media {
  readonly clip: Uint8Array<ArrayBuffer>;
  readonly speech: Uint8Array<ArrayBuffer>;
}

/** Three frames of the sample, so that damaged files that still render do not take long. */
async function makeMedia(folder: string): Promise<Media> {
  const clipPath = join(folder, 'clip.mp4');
  const speechPath = join(folder, 'speech.wav');
  const ffmpeg = (...args: string[]) => promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args]);
  await ffmpeg('-i', samplePaths.videoPath, '-t', '0.12', '-vf', 'scale=160:-2', '-an', clipPath);
  await ffmpeg('-ss', '0.5', '-i', samplePaths.audioPath, '-t', '0.12', speechPath);
  return { clip: new Uint8Array(await readFile(clipPath)), speech: new Uint8Array(await readFile(speechPath)) };
}

/** Jobs and batches that the requests name, until one of them deletes them. */
async function createTargets({ url }: ScratchStack, clip: Media['clip'], signal: AbortSignal): Promise<string[]> {
  const create = async (path: string, body: FormData | string): Promise<string> => {
    const headers: Record<string, string> = typeof body === 'string' ? { 'Content-Type': 'application/json' } : {};
    const created = await fetch(`${url}${path}`, { method: 'POST', body, headers, signal });
    return z.object({ id: z.string() }).parse(await created.json()).id;
  };
  const form = new FormData();
  form.append('video', new Blob([clip]), 'clip.mp4');
  const item = { video_url: 'https://example.org/a.mp4', audio_url: 'https://example.org/a.wav' };
  const ids: string[] = [];
  for (let index = 0; index < targetCount; index += 1) {
    ids.push(await create('/quality', form));
    ids.push(await create('/lipsync', JSON.stringify(item)));
    ids.push(await create('/batches', JSON.stringify({ items: [item] })));
  }
  return ids;
}

async function sendRequests(stack: ScratchStack, clip: Media['clip'], signal: AbortSignal): Promise<boolean> {
  // `as`: tests validate the document.
  const document = (await (await fetch(`${stack.url}/openapi.json`, { signal })).json()) as ApiDocument;
  const ids = await createTargets(stack, clip, signal);
  const [apiProcess = 0] = descendantsRunning(apiCommand);
  const memory: number[] = [];
  const startedMs = performance.now();
  const report = await fuzzApi({
    url: stack.url,
    document,
    ids,
    count: requestCount,
    seed,
    file: clip,
    onAnswer: (sent) => {
      if (sent % (requestCount / 20) === 0) memory.push(heldMib(apiProcess));
    },
  });
  const seconds = (performance.now() - startedMs) / 1_000;
  const statuses = [...report.byStatus].toSorted(([first], [second]) => first - second);
  console.log(`${report.sent} generated requests in ${seconds.toFixed(0)} s (seed ${seed})`);
  console.log(
    `| status | answers |\n|---|---|\n${statuses.map(([status, count]) => `| ${status} | ${count} |`).join('\n')}`,
  );
  for (const problem of report.problems) console.log(`PROBLEM ${problem}`);
  console.log(`memory of the API in MiB: ${memory.map((mib) => mib.toFixed(0)).join(' ')}\n`);
  return report.problems.length === 0;
}

/** Creates jobs with damaged clips and speech; each must end with a documented code or complete. */
async function sendMedia(stack: ScratchStack, media: Media, signal: AbortSignal): Promise<boolean> {
  const damages = fc.sample(damage, { numRuns: mediaCount, seed }).map((change, index) => ({ change, index }));
  const outcomes = new Map<string, number>();
  const problems: string[] = [];
  const startedMs = performance.now();
  const work = async (): Promise<void> => {
    for (let next = damages.pop(); next !== undefined; next = damages.pop()) {
      const { change, index } = next;
      const isClip = index % 2 === 0;
      const body = new FormData();
      body.append('video', new Blob([isClip ? change(media.clip) : media.clip]), 'clip.mp4');
      body.append('audio', new Blob([isClip ? media.speech : change(media.speech)]), 'speech.wav');
      for (const [name, value] of [
        ['method', 'preview'],
        ['cache', 'false'],
      ] as const)
        body.append(name, value);
      const outcome = await runJob(stack, body, signal);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const isExpected =
        outcome === 'completed' || expectedCodes.some((code) => outcome === code) || /^4\d\d$/.test(outcome);
      if (!isExpected) problems.push(`damaged ${isClip ? 'clip' : 'speech'} ${index}: ${outcome}`);
    }
  };
  await Promise.all(Array.from({ length: parallelJobs }, work));
  console.log(`${mediaCount} damaged files in ${((performance.now() - startedMs) / 1_000).toFixed(0)} s`);
  console.log(
    `| outcome | jobs |\n|---|---|\n${[...outcomes].map(([name, count]) => `| ${name} | ${count} |`).join('\n')}`,
  );
  for (const problem of problems) console.log(`PROBLEM ${problem}`);
  return problems.length === 0;
}

async function runJob({ url }: ScratchStack, body: FormData, signal: AbortSignal): Promise<string> {
  const response = await fetch(`${url}/lipsync`, { method: 'POST', body, signal });
  if (response.status !== 202) return String(response.status);
  const { id } = jobSchema.parse(await response.json());
  for (;;) {
    const { status, error } = jobSchema.parse(await (await fetch(`${url}/lipsync/${id}`, { signal })).json());
    if (status === 'completed' || status === 'canceled') return status;
    if (status === 'failed') return error?.code ?? 'failed';
    await sleep(200, undefined, { signal });
  }
}

/** Changes bytes, cuts the file, repeats or removes a part of it, or overwrites a part with zeros. */
const damage: fc.Arbitrary<(file: Media['clip']) => Media['clip']> = fc
  .record({
    kind: fc.constantFrom('bytes', 'cut', 'repeat', 'remove', 'zeros'),
    places: fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
      minLength: 1,
      maxLength: 12,
    }),
  })
  .map(({ kind, places }) => (file) => {
    const at = (share: number): number => Math.floor(share * file.length);
    const [first = [0, 0], second = [0.5, 0]] = places;
    const [start, end] = [at(first[0]), at(second[0])].toSorted((one, other) => one - other);
    if (start === undefined || end === undefined) return file;
    switch (kind) {
      case 'bytes': {
        const changed = file.slice();
        for (const [share, value] of places) changed[at(share)] = value;
        return changed;
      }
      case 'cut':
        return file.slice(0, start);
      case 'repeat':
        return new Uint8Array([...file.subarray(0, end), ...file.subarray(start)]);
      case 'remove':
        return new Uint8Array([...file.subarray(0, start), ...file.subarray(end)]);
      default:
        return file.slice().fill(0, start, end);
    }
  });

/** Deletes every batch by its jobs, and every job. */
async function deleteJobs({ url }: ScratchStack, signal: AbortSignal): Promise<void> {
  for (const path of ['/lipsync', '/quality']) {
    for (;;) {
      const { jobs } = pageSchema.parse(await (await fetch(`${url}${path}?limit=100`, { signal })).json());
      if (jobs.length === 0) break;
      const statuses = await Promise.all(
        jobs.map(async ({ id }) => (await fetch(`${url}${path}/${id}`, { method: 'DELETE', signal })).status),
      );
      // Workers erase jobs that still run.
      if (statuses.every((status) => status === 202)) await sleep(1_000, undefined, { signal });
    }
  }
}

/** Files that the artifact store still has; waits for the workers that erase jobs. */
async function storedFiles({ rootDir, outputDir }: ScratchStack, signal: AbortSignal): Promise<readonly string[]> {
  for (let tries = 0; ; tries += 1) {
    const found = await Promise.all([join(rootDir, 'data', 'inputs'), outputDir].map(filesBelow));
    const files = found.flat().filter((name) => !/\.(?:store|outputs)-id$/.test(name));
    if (files.length === 0 || tries === 30) return files;
    await sleep(1_000, undefined, { signal });
  }
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
