import { openAsBlob } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClientConnection } from '@lipsync/queue';
import { z } from 'zod';
import { shortenSample } from '../lib/short-sample.ts';
import { killRunning } from './processes.ts';
import { startScratchStack, type ScratchStack } from './scratch-stack.ts';

const jobCount = 8;
const userId = 'person-9c1d@example.org';
/** What must not be found after the deletion. */
const needles = [userId, 'zebra-clip', 'zebra-speech', 'zebra-note', 'zebra-subject'];
const victims = ['apps/api/src/main.ts', 'apps/worker/src/main.ts', 'apps/worker/src/main.ts'];
const timeLimitMs = 15 * 60_000;

type Inputs = Awaited<ReturnType<typeof shortenSample>>;

/**
 * Erases a user while jobs run and API and worker are killed with SIGKILL, waits for the rewrite of the append-only file,
 * then searches Redis, every stored file and the log for file names, user id and metadata of the jobs. Only a ledger
 * entry under a pseudonym may be left.
 */
export async function proveErasure(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-erasure-'));
  const inputs = await shortenSample(folder, 1);
  // Local work has a price, so that the ledger has entries.
  const stack = await startScratchStack(
    { LIPSYNC_GPU_USD_PER_HOUR: '1', QUEUE_LOCK_MS: '5000', QUEUE_STALLED_INTERVAL_MS: '2000' },
    signal,
  );
  const redis = createClientConnection({ url: stack.redisUrl, onError: () => undefined });
  try {
    // A compressed file could not be searched.
    await redis.config('SET', 'rdbcompression', 'no');
    const ids = [];
    for (let index = 0; index < jobCount; index += 1) ids.push(await submit(stack, inputs, index));
    await stack.waitFor(ids[0] ?? '');
    const before = await search(stack, redis);
    const startedMs = performance.now();
    const { statuses, kills } = await deleteUser(stack, signal);
    const erasedMs = performance.now() - startedMs;
    await waitForRewrite(redis, signal);
    const rewrittenMs = performance.now() - startedMs;
    const after = await search(stack, redis);
    const costs = await (await fetch(`${stack.url}/costs?group_by=user`, { signal })).text();
    const jobs = await Promise.all(
      ids.map(async (id) => (await fetch(`${stack.url}/lipsync/${id}`, { signal })).status),
    );
    const figures = {
      jobs: jobCount,
      'found before, in Redis, files and log lines': before.join(', '),
      'statuses of DELETE': statuses.join(' '),
      'processes killed': kills,
      'erased after, s': (erasedMs / 1_000).toFixed(1),
      'rewritten after, s': (rewrittenMs / 1_000).toFixed(1),
      'found after, in Redis, files and log lines': after.join(', '),
      'jobs left': jobs.filter((status) => status !== 404).length,
      'files left': (await stack.outputs()).length + (await stack.leftovers()).length,
      ledger: costs,
    };
    for (const [name, value] of Object.entries(figures)) console.log(`| ${name} | ${value} |`);
    return (
      before[0] !== 0 &&
      before[1] !== 0 &&
      after.every((count) => count === 0) &&
      figures['jobs left'] === 0 &&
      figures['files left'] === 0 &&
      /"user":"erased-[\w-]{16}"/.test(costs)
    );
  } finally {
    redis.disconnect();
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function submit({ url }: ScratchStack, { videoPath, audioPath }: Inputs, index: number): Promise<string> {
  const body = new FormData();
  body.append('video', await openAsBlob(videoPath), `zebra-clip-${index}.mp4`);
  body.append('audio', await openAsBlob(audioPath), `zebra-speech-${index}.wav`);
  // Equal jobs would reuse one result.
  for (const [field, value] of Object.entries({ method: 'preview', cache: 'false', user_id: userId }))
    body.append(field, value);
  body.append('metadata', JSON.stringify({ note: `zebra-note ${index}` }));
  body.append('consent', JSON.stringify({ subject: 'zebra-subject', scope: 'this film' }));
  const response = await fetch(`${url}/lipsync`, { method: 'POST', body });
  return z.object({ id: z.string() }).parse(await response.json()).id;
}

/** Repeats the request, as a client does, and kills a process after each of the first answers. */
async function deleteUser({ url }: ScratchStack, signal: AbortSignal) {
  const statuses: (number | string)[] = [];
  let kills = 0;
  const pending = [...victims];
  for (;;) {
    const request = fetch(`${url}/users/${encodeURIComponent(userId)}`, { method: 'DELETE', signal })
      .then((response) => response.status)
      .catch(() => 'killed');
    const victim = pending.shift();
    if (victim !== undefined) {
      await sleep(40, undefined, { signal });
      kills += killRunning(victim);
    }
    const status = await request;
    if (statuses.at(-1) !== status) statuses.push(status);
    if (status === 204 && pending.length === 0) return { statuses, kills };
    await sleep(500, undefined, { signal });
  }
}

async function waitForRewrite(redis: ReturnType<typeof createClientConnection>, signal: AbortSignal): Promise<void> {
  for (;;) {
    const isDue = await redis.exists('lipsync:rewrite-due');
    const isRunning = !(await redis.info('persistence')).includes('aof_rewrite_in_progress:0');
    if (isDue === 0 && !isRunning) return;
    await sleep(200, undefined, { signal });
  }
}

/** Numbers of Redis keys, files and log lines that contain a needle. */
async function search(
  { rootDir, lines }: ScratchStack,
  redis: ReturnType<typeof createClientConnection>,
): Promise<readonly [number, number, number]> {
  const hasNeedle = (text: string): boolean => needles.some((needle) => text.includes(needle));
  let keys = 0;
  for (const key of await redis.keys('*')) {
    if (hasNeedle(key) || hasNeedle(await readKey(redis, key))) keys += 1;
  }
  const entries = await readdir(rootDir, { recursive: true, withFileTypes: true });
  let files = 0;
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const content = await readFile(path, 'latin1').catch(() => '');
    if (hasNeedle(path) || hasNeedle(content)) files += 1;
  }
  return [keys, files, lines.filter(hasNeedle).length];
}

async function readKey(redis: ReturnType<typeof createClientConnection>, key: string): Promise<string> {
  switch (await redis.type(key)) {
    case 'string':
      return (await redis.get(key)) ?? '';
    case 'hash':
      return JSON.stringify(await redis.hgetall(key));
    case 'set':
      return JSON.stringify(await redis.smembers(key));
    case 'zset':
      return JSON.stringify(await redis.zrange(key, 0, '-1'));
    case 'list':
      return JSON.stringify(await redis.lrange(key, 0, -1));
    case 'stream':
      return JSON.stringify(await redis.xrange(key, '-', '+'));
    default:
      return '';
  }
}
