import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { jobViewSchema, type JobView } from '@lipsync/core/contract';
import { shortenSample } from '../lib/short-sample.ts';
import { startHeygenStack, type HeygenStack } from './heygen-stack.ts';
import { killRunning } from './processes.ts';

const timeLimitMs = 6 * 60_000;
const mountSizeBytes = 8 * 1024 ** 2;
/** Two tries of each waiting job. */
const waitMs = 25_000;
const run = promisify(execFile);

/** How the output folder, which is in `folder`, fails and works again. */
interface Failure {
  readonly name: string;
  prepare(folder: string): Promise<void>;
  begin(folder: string): Promise<void>;
  end(folder: string): Promise<void>;
  cleanUp(folder: string): Promise<void>;
}

const onMount = {
  prepare: async (folder: string) =>
    void (await run('mount', ['-t', 'tmpfs', '-o', `size=${mountSizeBytes}`, 'tmpfs', folder])),
  cleanUp: async (folder: string) => void (await run('umount', [folder])),
};

const failures: readonly Failure[] = [
  {
    ...onMount,
    name: 'full',
    begin: (folder) => fill(join(folder, 'fill')),
    end: (folder) => rm(join(folder, 'fill')),
  },
  {
    ...onMount,
    name: 'read-only',
    begin: async (folder) => void (await run('mount', ['-o', 'remount,ro', folder])),
    end: async (folder) => void (await run('mount', ['-o', 'remount,rw', folder])),
  },
  {
    name: 'a file in its place',
    prepare: async () => undefined,
    begin: async (folder) => {
      await rm(join(folder, 'out'), { recursive: true, force: true });
      await writeFile(join(folder, 'out'), '');
    },
    end: (folder) => rm(join(folder, 'out')),
    cleanUp: async () => undefined,
  },
];

/**
 * Makes the output folder fail while HeyGen works on a job, sends more jobs, and kills worker and API with SIGKILL.
 * While it fails, no other operation may start; afterwards every job must complete and be charged once. A full and a
 * read-only folder need the right to mount.
 */
export async function proveFullOutputs(): Promise<boolean> {
  const mayMount = process.platform === 'linux' && process.getuid?.() === 0;
  console.log(
    '| output folder | ready | operations started while it fails | waiting jobs after SIGKILL | completed | published after, s | charges | wallet, µ$ | ledger, µ$ | leftovers |\n|---|---|---|---|---|---|---|---|---|---|',
  );
  let holds = true;
  for (const failure of failures.filter(({ name }) => mayMount || name === failures.at(-1)?.name))
    holds = (await proveFailure(failure)) && holds;
  return holds;
}

async function proveFailure(failure: Failure): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-outputs-'));
  await failure.prepare(folder);
  const stack = await startHeygenStack(
    {
      standin: { settings: { pace: { by: 'clock', pendingMs: 2_000, runningMs: 6_000 } } },
      environment: { WORKER_LANES: 'cloud,render', QUEUE_LOCK_MS: '8000', LIPSYNC_OUTPUT_DIR: join(folder, 'out') },
    },
    signal,
  );
  try {
    await mkdir(join(folder, 'out'), { recursive: true });
    return await runJobs(failure, folder, stack);
  } finally {
    await stack.stop();
    await failure.cleanUp(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function runJobs(failure: Failure, folder: string, stack: HeygenStack): Promise<boolean> {
  const { standin } = stack;
  const countOperations = (): number => standin.control.operations().operations.length;
  const paid = await stack.submit(await shortenSample(stack.folder, 1), { method: 'heygen' });
  while (countOperations() === 0) await sleep(100);
  await failure.begin(folder);
  const parked = await waitFor(stack, paid.id, ({ message }) => message.includes('waits to be published'));
  const others = [];
  for (const method of ['heygen', 'heygen', 'preview'])
    others.push(await stack.submit(await shortenSample(stack.folder, 1.2), { method }));
  await sleep(waitMs);
  const { status: ready } = await fetch(`${stack.url}/ready`);
  for (const part of ['worker', 'api']) killRunning(`apps/${part}/src/main.ts`);
  await sleep(waitMs);
  const ids = [paid.id, ...others.map(({ id }) => id)];
  const waiting = (await Promise.all(ids.map((id) => waitFor(stack, id, () => true)))).filter(
    ({ stage, message }) => stage === 'waiting' && message.includes(join(folder, 'out')),
  ).length;
  const startedWhileFailing = countOperations() - 1;
  await failure.end(folder);
  const startedMs = performance.now();
  const ended = [await stack.waitFor(paid.id)];
  const publishedS = (performance.now() - startedMs) / 1000;
  for (const { id } of others) ended.push(await stack.waitFor(id));
  for (const job of ended) if (job.output_url) await stack.download(job.id, join(stack.folder, `${job.id}.mp4`));
  const completed = ended.filter(({ status, output_url: output }) => status === 'completed' && output).length;
  const { charges, walletMicros, spentMicros } = await stack.readBalances();
  const leftovers = (await stack.leftovers()).length;
  const figures = [failure.name, ready, startedWhileFailing, `${waiting} of ${ids.length}`, completed];
  console.log(`| ${[...figures, publishedS.toFixed(1), charges, walletMicros, spentMicros, leftovers].join(' | ')} |`);
  console.error(parked.message);
  return (
    ready === 503 &&
    startedWhileFailing === 0 &&
    waiting === ids.length &&
    completed === ids.length &&
    publishedS <= 15 &&
    charges === 3 &&
    walletMicros === spentMicros &&
    leftovers === 0
  );
}

/** Writes until the file system is full. */
async function fill(path: string): Promise<void> {
  const blocks = Readable.from(Array.from({ length: 1_000 }, () => Buffer.alloc(64 * 1024)));
  await pipeline(blocks, createWriteStream(path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOSPC') throw error;
  });
}

/** Polls until the job meets the condition. Repeats requests while the API is down. */
async function waitFor(stack: HeygenStack, id: string, isReached: (job: JobView) => boolean): Promise<JobView> {
  for (const untilMs = performance.now() + 2 * 60_000; ;) {
    const response = await fetch(`${stack.url}/lipsync/${id}`).catch(() => undefined);
    const job = response?.ok ? jobViewSchema.parse(await response.json()) : undefined;
    if (job && isReached(job)) return job;
    if (performance.now() > untilMs) {
      console.log(
        stack.lines
          .filter((line) => line.includes(id))
          .slice(-40)
          .join('\n'),
      );
      throw new Error(`Job ${id} is ${job?.stage}: ${job?.message}`);
    }
    await sleep(200);
  }
}
