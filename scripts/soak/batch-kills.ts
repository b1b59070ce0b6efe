import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { openPromise } from 'yauzl';
import { batchViewSchema, type BatchView } from '@lipsync/core/contract';
import { heldMib } from '../lib/watch-memory.ts';
import type { GuardedProcess } from '../stack/guarded-process.ts';
import { descendantsRunning } from './processes.ts';
import { samplePaths, startScratchStack, type ScratchStack } from './scratch-stack.ts';
import { WebhookReceiver, webhookSecret } from './webhook-receiver.ts';

/** 200 items, or fewer for a quick test. */
const itemCount = Number(process.env['SOAK_BATCH_ITEMS'] ?? 200);
const workerCount = 4;
const killEveryMs = 20_000;
const timeLimitMs = 60 * 60_000;
const pollMs = 1_000;
const webhookLimitMs = 60_000;
/** Growth from the second to the last quarter of the run; at first the heap grows to its usual size. */
const allowedGrowthMib = 20;
const workerCommand = 'apps/worker/src/main.ts';

/**
 * Runs a batch of good, missing and unreadable clips of 1 s on four workers, of which one is killed every 20 s. Every
 * item must end once and as its input demands, the totals must be exact, one webhook report the end, the zip be complete,
 * and the memory of the API flat.
 */
export async function proveBatchKills(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'batch-kills-'));
  const server = await serveFiles(folder);
  // `as`: a TCP server that listens has an address object.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const receiver = await WebhookReceiver.start();
  const stack = await startScratchStack(
    {
      LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1',
      LIPSYNC_WEBHOOK_SECRETS: webhookSecret,
      QUEUE_LOCK_MS: '2000',
      QUEUE_STALLED_INTERVAL_MS: '1000',
    },
    signal,
  );
  try {
    return await run(stack, { origin, receiver }, signal);
  } finally {
    await stack.stop();
    receiver.stop();
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Hosts {
  /** Of the server that has the clips. */
  readonly origin: string;
  readonly receiver: WebhookReceiver;
}

async function run(stack: ScratchStack, hosts: Hosts, signal: AbortSignal): Promise<boolean> {
  const ended = new AbortController();
  const kills = killWorkers(stack, AbortSignal.any([signal, ended.signal]));
  const startedMs = performance.now();
  const { id } = await submit(stack, hosts, signal);
  const memory: number[] = [];
  let batch: BatchView;
  do {
    await sleep(pollMs, undefined, { signal });
    batch = batchViewSchema.parse(await (await fetch(`${stack.url}/batches/${id}`, { signal })).json());
    memory.push(...descendantsRunning('apps/api/src/main.ts').map(heldMib));
  } while (batch.completed_at === null);
  const seconds = (performance.now() - startedMs) / 1000;
  ended.abort();
  const killed = await kills;
  const zipBytes = await download(stack, id, memory, signal);
  const webhooks = await countWebhooks(hosts.receiver, id, signal);
  const good = Array.from({ length: itemCount }, (_, item) => item).filter(isGood).length;
  const wrong = batch.results.filter(({ item, status }) => (status === 'completed') !== isGood(item));
  const crashed = batch.results.filter(({ error }) => error?.code === 'worker_crashed');
  const made = batch.results.flatMap(({ attempts }) => attempts.filter(({ outcome }) => outcome === 'succeeded'));
  const outputs = (await stack.outputs()).filter((path) => path.endsWith('.mp4')).length;
  const leftovers = (await stack.leftovers()).length;
  const quarters = [0, 1, 2, 3].map((quarter) =>
    medianOf(memory.slice((quarter * memory.length) / 4, ((quarter + 1) * memory.length) / 4)),
  );
  const growthMib = (quarters[3] ?? 0) - (quarters[1] ?? 0);
  console.log(
    '| items | kills | s | summary | wrong | crashed | takes | outputs | zip, MiB | webhooks | leftovers | API memory by quarter, MiB |',
  );
  console.log(`|${'---|'.repeat(12)}`);
  console.log(
    `| ${itemCount} | ${killed} | ${seconds.toFixed(0)} | ${JSON.stringify(batch.summary)} | ${wrong.length} | ${crashed.length} | ${made.length} | ${outputs} | ${(zipBytes / 1024 ** 2).toFixed(1)} | ${webhooks} | ${leftovers} | ${quarters.map((mib) => mib.toFixed(0)).join(', ')} |`,
  );
  const { total, success, failed, canceled } = batch.summary;
  return (
    [total, success, failed, canceled].join() === [itemCount, good, itemCount - good, 0].join() &&
    new Set(batch.results.map(({ item }) => item)).size === itemCount &&
    [wrong.length, crashed.length, leftovers].every((count) => count === 0) &&
    made.length === good &&
    outputs === good &&
    zipBytes > 0 &&
    webhooks === 1 &&
    hosts.receiver.wrongSignatures === 0 &&
    growthMib <= allowedGrowthMib
  );
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

const isGood = (item: number): boolean => item % 5 < 3;

async function submit(stack: ScratchStack, { origin, receiver }: Hosts, signal: AbortSignal): Promise<BatchView> {
  const clips = ['clip.mp4', 'clip.mp4', 'clip.mp4', 'missing.mp4', 'text.mp4'];
  const items = Array.from({ length: itemCount }, (_, item) => ({
    video_url: `${origin}/${clips[item % clips.length]}`,
    audio_url: `${origin}/speech.wav`,
  }));
  const response = await fetch(`${stack.url}/batches`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    // An equal item would reuse the output of the first one.
    body: JSON.stringify({ method: 'preview', cache: false, webhook_url: receiver.url, items }),
    signal,
  });
  return batchViewSchema.parse(await response.json());
}

/** Keeps four workers running and kills one of them every 20 s; returns the number of kills. */
async function killWorkers(stack: ScratchStack, signal: AbortSignal): Promise<number> {
  let killed = 0;
  const started: GuardedProcess[] = [];
  while (!signal.aborted) {
    for (let count = descendantsRunning(workerCommand).length; count < workerCount; count += 1)
      started.push(await stack.startWorker({}));
    await sleep(killEveryMs, undefined, { signal }).catch(() => undefined);
    const [victim] = signal.aborted ? [] : descendantsRunning(workerCommand);
    if (victim !== undefined && process.kill(victim, 'SIGKILL')) killed += 1;
  }
  await Promise.all(started.map((worker) => worker.stop()));
  return killed;
}

/** Downloads the zip and returns its bytes; throws if it is damaged or has another number of videos. */
async function download(stack: ScratchStack, id: string, memory: number[], signal: AbortSignal): Promise<number> {
  const response = await fetch(`${stack.url}/batches/${id}/output`, { signal });
  const path = join(stack.rootDir, 'batch.zip');
  await writeFile(path, Buffer.from(await response.arrayBuffer()));
  memory.push(...descendantsRunning('apps/api/src/main.ts').map(heldMib));
  const zip = await openPromise(path);
  const videos = new Set<string>();
  for await (const entry of zip.eachEntry()) {
    const content = await buffer(await zip.openReadStreamPromise(entry));
    if (crc32(content) !== entry.crc32) throw new Error(`${entry.fileName} is damaged in the zip.`);
    if (entry.fileName.endsWith('.mp4')) videos.add(entry.fileName);
  }
  const good = Array.from({ length: itemCount }, (_, item) => item).filter(isGood).length;
  if (videos.size !== good) throw new Error(`The zip has ${videos.size} videos instead of ${good}.`);
  return Number(response.headers.get('Content-Length'));
}

/** Waits for the message about the end of the batch, then a little longer for one that arrives twice. */
async function countWebhooks(receiver: WebhookReceiver, id: string, signal: AbortSignal): Promise<number> {
  const count = (): number => receiver.accepted.get(id)?.length ?? 0;
  for (let waitedMs = 0; count() === 0 && waitedMs < webhookLimitMs; waitedMs += pollMs)
    await sleep(pollMs, undefined, { signal });
  await sleep(2 * pollMs, undefined, { signal });
  return count();
}

async function serveFiles(folder: string): Promise<Server> {
  const cut = ['-nostdin', '-v', 'error', '-t', '1', '-i', samplePaths.videoPath, '-vf', 'scale=480:-2'];
  await promisify(execFile)('ffmpeg', [...cut, join(folder, 'clip.mp4'), '-vn', join(folder, 'speech.wav')]);
  await writeFile(join(folder, 'text.mp4'), 'This is not a video.');
  const server = createServer(({ url = '' }, response) => {
    createReadStream(join(folder, basename(url)))
      .on('error', () => response.writeHead(404).end())
      .pipe(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
