import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jobViewSchema, type JobView } from '@lipsync/core/contract';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';

const slowJobs = 16;
const samples = 3;
/** At a byte per second, more than any limit allows. */
const drippedBytes = 40_000;
const maxSlowdown = 1.5;
const timeLimitMs = 10 * 60_000;
/** Response time limit, two windows of the minimum rate, and the time that a worker may need for the rest. */
const slowJobLimitSeconds = 120;

/**
 * Queues sources that drip or never answer: an upload behind them must take about as long as alone, a job whose source
 * is fast must not wait for them, and each must fail after one request. A cancel must stop a fetch within a second.
 */
export async function proveSlowUrls(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const requests = new Map<string, number>();
  const server = await startSource(requests);
  // `as`: a TCP server that listens has an address object.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const allowed = { LIPSYNC_ALLOWED_PRIVATE_HOSTS: new URL(origin).host };
  const stack = await startScratchStack(allowed, signal);
  const upload = async (): Promise<number> => completionSeconds(stack, await stack.submit(samplePaths));
  const submitUrl = (path: string): Promise<JobView> => submitUrls(stack, `${origin}${path}`, `${origin}/speech.wav`);
  try {
    await upload();
    const alone = await repeat(upload);
    const slow = await Promise.all(
      Array.from({ length: slowJobs }, (_, index) => submitUrl(`/${index % 2 === 0 ? 'drip' : 'hang'}/${index}`)),
    );
    const behind = await repeat(upload);
    const fastUrl = await completionSeconds(stack, await submitUrl('/presenter.mp4'));
    const cancelSeconds = await timeCancel(stack, await submitUrl('/drip/canceled'));
    const ended = await Promise.all(slow.map(({ id }) => stack.waitFor(id)));
    const slowest = Math.max(...ended.map(durationSeconds));
    const leftovers = await stack.leftovers();
    const codes = new Set(ended.map(({ status, error }) => error?.code ?? status));
    const slowRequests = [...requests].filter(([path]) => path !== '/drip/canceled' && /^\/(drip|hang)/.test(path));
    const mostRequests = Math.max(...slowRequests.map(([, count]) => count));
    console.log(
      '| upload alone, s | behind 16 slow URLs, s | fast URL behind them, s | cancel, s | slowest of the 16, s | as | requests each | leftovers |\n|---|---|---|---|---|---|---|---|',
    );
    const figures = [alone, behind, fastUrl, cancelSeconds, slowest].map((value) => value.toFixed(2));
    console.log(`| ${[...figures, [...codes].join(', '), mostRequests, leftovers.length].join(' | ')} |`);
    return (
      behind <= maxSlowdown * alone &&
      fastUrl <= 2 * alone &&
      cancelSeconds < 1 &&
      slowest < slowJobLimitSeconds &&
      [...codes].join() === 'fetch_timeout' &&
      mostRequests === 1 &&
      leftovers.length === 0
    );
  } finally {
    await stack.stop();
    server.closeAllConnections();
    server.close();
  }
}

/** Serves the samples, a byte per second under `/drip`, and nothing under `/hang`. */
async function startSource(requests: Map<string, number>): Promise<Server> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? '/';
    requests.set(path, (requests.get(path) ?? 0) + 1);
    const sample = Object.values(samplePaths).find((file) => basename(file) === basename(path));
    if (sample !== undefined) createReadStream(sample).pipe(response);
    else if (path.startsWith('/drip')) {
      response.writeHead(200, { 'content-length': drippedBytes });
      const timer = setInterval(() => response.write('.'), 1_000);
      response.on('close', () => clearInterval(timer));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function submitUrls(stack: ScratchStack, videoUrl: string, audioUrl: string): Promise<JobView> {
  const response = await fetch(`${stack.url}/lipsync`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ video_url: videoUrl, audio_url: audioUrl }),
  });
  return jobViewSchema.parse(await response.json());
}

async function completionSeconds(stack: ScratchStack, { id }: JobView): Promise<number> {
  const job = await stack.waitFor(id);
  if (job.status !== 'completed') throw new Error(`Job ${id} ended as ${job.status}: ${job.error?.message ?? ''}`);
  return durationSeconds(job);
}

/** Seconds from acceptance to the end, as the service recorded them. */
function durationSeconds({ created_at, completed_at }: JobView): number {
  return (Date.parse(completed_at ?? '') - Date.parse(created_at)) / 1000;
}

async function timeCancel(stack: ScratchStack, job: JobView): Promise<number> {
  while ((await readJob(stack, job.id)).stage !== 'fetching') await sleep(50);
  const startMs = performance.now();
  await fetch(`${stack.url}/lipsync/${job.id}/cancel`, { method: 'POST' });
  while ((await readJob(stack, job.id)).status !== 'canceled') await sleep(20);
  return (performance.now() - startMs) / 1000;
}

async function readJob(stack: ScratchStack, id: string): Promise<JobView> {
  return jobViewSchema.parse(await (await fetch(`${stack.url}/lipsync/${id}`)).json());
}

/** The median of several samples, because other processes share the machine. */
async function repeat(measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let index = 0; index < samples; index += 1) values.push(await measure());
  return values.toSorted((one, other) => one - other)[Math.floor(samples / 2)] ?? Number.NaN;
}
