import { openAsBlob } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobRecord } from '@lipsync/core/host';
import { createClientConnection, RedisJobStore } from '@lipsync/queue';
import { z } from 'zod';
import { shortenSample } from '../lib/short-sample.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';

const jobCount = 50_000;
/** Jobs of the key `small`, spread evenly over the others. */
const smallCount = 200;
const callCount = 200;
const limitMs = 50;
const keys = { small: 'small-key-of-the-lists', large: 'large-key-of-the-lists', admin: 'admin-key-of-the-lists' };
const apiKeys = `small:${keys.small},large:${keys.large},admin:${keys.admin}:admin`;

const queries: readonly (readonly [keyof typeof keys, string])[] = [
  ['admin', 'limit=100'],
  ['large', 'limit=100'],
  ['small', 'limit=100'],
  ['small', 'limit=100&status=completed'],
  ['large', 'limit=100&user_id=user-7'],
  ['large', 'limit=100&from=2020-01-01&method=preview'],
  ['large', 'limit=100&metadata.order=7'],
  ['small', 'limit=100&status=failed'],
];

const jobSchema = z.object({ id: z.string() });
const pageSchema = z.object({ jobs: z.array(z.unknown()) });

/**
 * Measures lists of 100 jobs out of 50 000, which are copies of a real one, while workers run: of a key with nearly all
 * of them, of one with 200, and of an admin key. Every list must be answered within 50 ms at the 95th percentile.
 */
export async function proveJobLists(): Promise<boolean> {
  const signal = AbortSignal.timeout(20 * 60_000);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-lists-'));
  const inputs = await shortenSample(folder, 1);
  const stack = await startScratchStack({ LIPSYNC_API_KEYS: apiKeys }, signal);
  try {
    await fill(stack, await runJob(stack, inputs));
    console.log('| key | query | jobs | KiB | p50, ms | p95, ms |\n|---|---|---|---|---|---|');
    let holds = true;
    for (const [key, query] of queries) {
      const { jobs, sizeBytes, times } = await measure(`${stack.url}/lipsync?${query}`, keys[key]);
      const [p50 = 0, p95 = 0] = [0.5, 0.95].map((share) => times[Math.floor(share * times.length)]);
      console.log(
        `| ${key} | \`${query}\` | ${jobs} | ${(sizeBytes / 1_024).toFixed(0)} | ${p50.toFixed(1)} | ${p95.toFixed(1)} |`,
      );
      holds &&= p95 < limitMs;
    }
    return holds;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function runJob(
  { url }: ScratchStack,
  { videoPath, audioPath }: { readonly videoPath: string; readonly audioPath: string },
): Promise<string> {
  const body = new FormData();
  body.append('video', await openAsBlob(videoPath), 'clip.mp4');
  body.append('audio', await openAsBlob(audioPath), 'speech.wav');
  body.append('method', 'preview');
  const headers = { Authorization: `Bearer ${keys.large}` };
  const accepted = await fetch(`${url}/lipsync`, { method: 'POST', headers, body });
  const { id } = jobSchema.parse(await accepted.json());
  // The stream ends with the job.
  await (await fetch(`${url}/lipsync/${id}/events`, { headers })).text();
  return id;
}

/** Stores copies of a job, each with an owner, a user and metadata of its own. */
async function fill({ redisUrl }: ScratchStack, id: string): Promise<void> {
  const connection = createClientConnection({ url: redisUrl, onError: () => undefined });
  try {
    const store = new RedisJobStore({ connection });
    const original = await store.get(id);
    if (original?.kind !== 'lipsync' || original.status !== 'completed') throw new Error('The job has not completed.');
    for (let start = 0; start < jobCount; start += 500) {
      const copies = Array.from({ length: 500 }, (_, index) => copyOf(original, start + index));
      await Promise.all(copies.map((copy) => store.create(copy)));
      // A new job counts as unfinished until it ends.
      await connection.del('lipsync:jobs-unfinished');
    }
  } finally {
    connection.disconnect();
  }
}

function copyOf(record: JobRecord<'lipsync'>, index: number): JobRecord<'lipsync'> {
  const options = { ...record.spec.options, userId: `user-${index % 50}`, metadata: { order: index } };
  return {
    ...record,
    id: `job_copy${index}`,
    owner: index % (jobCount / smallCount) === 0 ? 'small' : 'large',
    createdAtMs: record.createdAtMs - jobCount + index,
    spec: { ...record.spec, options },
  };
}

async function measure(
  url: string,
  key: string,
): Promise<{ readonly jobs: number; readonly sizeBytes: number; readonly times: readonly number[] }> {
  const times: number[] = [];
  let jobs = 0;
  let sizeBytes = 0;
  for (let call = 0; call < callCount; call += 1) {
    const startedMs = performance.now();
    const response = await fetch(url, { headers: { Authorization: `Bearer ${key}` } });
    const text = await response.text();
    times.push(performance.now() - startedMs);
    sizeBytes = text.length;
    jobs = pageSchema.parse(JSON.parse(text)).jobs.length;
  }
  return { jobs, sizeBytes, times: times.sort((one, other) => one - other) };
}
