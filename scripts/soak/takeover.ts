import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LipsyncClient, type JobView } from '@lipsync/client';
import { Ledger, systemClock } from '@lipsync/core/host';
import { createClientConnection, RedisConcurrencySlots, RedisStateStore } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { z } from 'zod';
import { startHeygenStandin, type HeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { SqliteStateStore } from '../../packages/lipsync-core/src/storage/sqlite-state-store.ts';
import { checkOut, exitOf } from '../lib/check-out.ts';
import { createJob, type InputPaths, type JobFields } from '../lib/create-job.ts';
import { lengthenSample } from '../lib/lengthen-sample.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { paceByReads } from './heygen-stack.ts';
import { RevisionStack } from './revision-stack.ts';

const revision = process.env['TAKEOVER_REVISION'] ?? 'c5ad8fc8705af41e62ad2c8ea2e322e519229ff8';
const projectDir = join(import.meta.dirname, '..', '..');
const cliPath = join('packages', 'lipsync-core', 'src', 'cli', 'main.ts');
const limitMs = 15 * 60_000;
/** Jobs that waited for a slot in the old revision poll again after up to 80 s. */
const finishLimitMs = 5 * 60_000;
const maxConcurrent = 2;
const longClipSeconds = 40;

interface Bench {
  readonly folder: string;
  readonly oldProjectDir: string;
  readonly short: InputPaths;
  readonly long: InputPaths;
}

/**
 * Starts an older revision (`TAKEOVER_REVISION`), kills it with SIGKILL while it has jobs in every state, and starts
 * the current one with the same data folder and Redis. Every job must be listed, end as expected and be charged once.
 * Repeats this for a job of the command line, whose state is in SQLite.
 */
export async function proveTakeover(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-takeover-'));
  try {
    const oldProjectDir = await checkOut(revision, join(folder, 'checkout'));
    await runOldCli(oldProjectDir, ['--help']);
    await mkdir(join(folder, 'long'));
    const { clipPath, speechPath } = await lengthenSample(
      join(folder, 'long'),
      longClipSeconds,
      AbortSignal.timeout(limitMs),
    );
    const long = { videoPath: clipPath, audioPath: speechPath };
    const bench: Bench = { folder, oldProjectDir, short: await shortenSample(folder, 1), long };
    const queueHolds = await proveQueueTakeover(bench);
    return (await proveLocalTakeover(bench)) && queueHolds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first call installs the packages of the checkout. */
async function runOldCli(oldProjectDir: string, args: readonly string[]): Promise<void> {
  const child = spawn('npm', ['run', '--silent', 'lipsync', '--', ...args], { cwd: oldProjectDir, stdio: 'ignore' });
  await exitOf(child, `npm run lipsync at ${revision}`);
}

/** A job that the old revision left behind. */
interface LeftJob {
  readonly id: string;
  /** State at the time of the kill. */
  readonly state: string;
  readonly expected: { readonly status: JobView['status']; readonly method: string | null };
}

async function proveQueueTakeover(bench: Bench): Promise<boolean> {
  const redis = await startTestRedis();
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, maxConcurrent: 100, mouth: 'old' } });
  const port = await freeLoopbackPort();
  const environment = {
    ...standinEnvironment(standin),
    // The takes have the old lips: they would be rejected.
    LIPSYNC_QUALITY: 'off',
    REDIS_URL: redis.url,
    LIPSYNC_DATA_DIR: join(bench.folder, 'data'),
    LIPSYNC_OUTPUT_DIR: join(bench.folder, 'outputs'),
    WAV2LIP_MODEL_PATH: '',
    HEYGEN_POLL_INTERVAL_MS: '100',
    HEYGEN_MAX_CONCURRENT: String(maxConcurrent),
    // Shorter locks are lost on a busy machine, which counts as a crash.
    QUEUE_LOCK_MS: '15000',
    QUEUE_STALLED_INTERVAL_MS: '1000',
  };
  const old = new RevisionStack({ projectDir: bench.oldProjectDir, port, environment });
  let current: RevisionStack | undefined;
  try {
    await old.ready();
    const left = await leaveJobs(bench, standin, old.url);
    await old.kill();
    await redis.kill();
    await redis.restart();
    standin.control.clearFaults();
    standin.control.release();
    current = new RevisionStack({ projectDir, port, environment });
    await current.ready();
    return await checkQueue({ standin, redisUrl: redis.url, url: current.url, left });
  } finally {
    await old.stop();
    await current?.stop();
    await standin.close();
    await redis.stop();
  }
}

/** Submits jobs until the old revision has one in every state. */
async function leaveJobs({ short, long }: Bench, standin: HeygenStandin, url: string): Promise<LeftJob[]> {
  const client = new LipsyncClient({ baseUrl: url });
  const signal = AbortSignal.timeout(limitMs);
  const submit = (inputs: InputPaths, method: string, fields: JobFields = {}): Promise<JobView> =>
    createJob(client, inputs, { method, ...fields }, signal);
  const left: LeftJob[] = [];
  const note = ({ id }: JobView, state: string, status: JobView['status'], method: string | null): void =>
    void left.push({ id, state, expected: { status, method } });

  const untilEnded = async ({ id }: JobView, expected: JobView['status']): Promise<void> => {
    const { status, error } = await client.waitFor(id, { signal });
    if (status !== expected) throw new Error(`Job ${id} of the old revision is ${status}: ${error?.message}`);
  };

  const done = await submit(short, 'heygen');
  await untilEnded(done, 'completed');
  note(done, 'completed', 'completed', 'heygen');
  const tooExpensive = await submit(short, 'heygen', { max_cost_usd: 0.000001 });
  await untilEnded(tooExpensive, 'failed');
  note(tooExpensive, 'failed', 'failed', null);

  standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' }, times: 'always' });
  for (let index = 0; index < maxConcurrent; index += 1)
    note(await submit(short, 'heygen'), 'operation at the vendor', 'completed', 'heygen');
  await waitUntil(() => standin.control.operations().runningNow === maxConcurrent);
  for (const priority of [5, 1, 5])
    note(await submit(short, 'heygen', { priority }), 'waiting for a slot', 'completed', 'heygen');

  const running = await submit(long, 'preview');
  note(running, 'rendering', 'completed', 'preview');
  note(await submit(short, 'preview'), 'queued', 'completed', 'preview');
  const canceled = await submit(short, 'preview');
  await client.cancel(canceled.id, { signal });
  note(canceled, 'canceled', 'canceled', null);

  for (const { id, state } of left.filter(
    (job) => job.state === 'waiting for a slot' || job.state.startsWith('operation'),
  ))
    await waitUntil(async () => (await client.get(id, { signal })).stage === 'waiting', `${id}: ${state}`);
  await waitUntil(async () => {
    const { status, progress } = await client.get(running.id, { signal });
    return status === 'processing' && progress > 10;
  }, 'rendering');
  return left;
}

async function waitUntil(
  isReached: () => boolean | Promise<boolean>,
  what = 'operations at the vendor',
): Promise<void> {
  const deadlineMs = performance.now() + 120_000;
  while (!(await isReached())) {
    if (performance.now() > deadlineMs) throw new Error(`The old revision did not reach the state: ${what}.`);
    await sleep(100);
  }
}

const pageSchema = z.object({ jobs: z.array(z.object({ id: z.string() })) });
const costsSchema = z.object({ total: z.object({ cost_usd: z.number(), reserved_usd: z.number() }) });

interface QueueVerdict {
  readonly standin: HeygenStandin;
  readonly redisUrl: string;
  readonly url: string;
  readonly left: readonly LeftJob[];
}

async function checkQueue({ standin, redisUrl, url, left }: QueueVerdict): Promise<boolean> {
  const client = new LipsyncClient({ baseUrl: url });
  const signal = AbortSignal.timeout(finishLimitMs);
  const page = pageSchema.parse(await (await fetch(`${url}/lipsync?limit=100`)).json());
  const listed = new Set(page.jobs.map(({ id }) => id));
  console.log(
    `Taken over from ${revision}, queue and Redis:\n\n| state at the kill | listed | end | output |\n|---|---|---|---|`,
  );
  let holds = listed.size === left.length;
  for (const { id, state, expected } of left) {
    const job = await client.waitFor(id, { signal }).catch(() => client.get(id));
    const hasOutput = job.output_url !== null && (await fetch(new URL(job.output_url, url))).ok;
    console.log(
      `| ${state} | ${listed.has(id)} | ${job.status}${job.error ? ` (${job.error.code})` : ''} | ${hasOutput} |`,
    );
    holds &&=
      listed.has(id) &&
      job.status === expected.status &&
      (expected.status !== 'completed' || (hasOutput && job.method_used === expected.method));
  }
  const paid = left.filter(({ expected }) => expected.method === 'heygen').length;
  return (await checkBalances({ standin, redisUrl, url }, paid)) && holds;
}

async function checkBalances({ standin, redisUrl, url }: Omit<QueueVerdict, 'left'>, paid: number): Promise<boolean> {
  const connection = createClientConnection({ url: redisUrl, onError: () => undefined });
  try {
    const { total } = costsSchema.parse(await (await fetch(`${url}/costs`)).json());
    const { spentMicros, charges } = standin.control.wallet();
    const held = await new RedisConcurrencySlots({ connection, clock: systemClock }).holders('heygen');
    const pending = await new RedisStateStore({ connection }).list('open-bills/', { limit: 100 });
    const ledgerMicros = Math.round(total.cost_usd * 1e6);
    const operations = standin.control.operations().operations.length;
    console.log(
      '\n| vendor jobs | operations | charges | wallet, µ$ | ledger, µ$ | reserved, $ | slots held | pending settlements |',
    );
    console.log('|---|---|---|---|---|---|---|---|');
    console.log(
      `| ${[paid, operations, charges.length, spentMicros, ledgerMicros, total.reserved_usd, held.length, pending.length].join(' | ')} |`,
    );
    return (
      operations === paid &&
      charges.length === paid &&
      ledgerMicros === spentMicros &&
      total.reserved_usd === 0 &&
      held.length === 0 &&
      pending.length === 0
    );
  } finally {
    connection.disconnect();
  }
}

/** A job of the command line that is killed while its operation runs, and repeated by the current revision. */
async function proveLocalTakeover({ folder, oldProjectDir, short }: Bench): Promise<boolean> {
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, mouth: 'old' } });
  const dataDir = join(folder, 'local-data');
  const outputPath = join(folder, 'local-output.mp4');
  const generate = (root: string) =>
    spawn(
      process.execPath,
      [
        join(root, cliPath),
        'generate',
        short.videoPath,
        short.audioPath,
        '-o',
        outputPath,
        '--method',
        'heygen',
        '--json',
      ],
      {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'inherit'],
        timeout: finishLimitMs,
        killSignal: 'SIGKILL',
        env: {
          ...process.env,
          ...standinEnvironment(standin),
          // The takes have the old lips: they would be rejected.
          LIPSYNC_QUALITY: 'off',
          HEYGEN_POLL_INTERVAL_MS: '100',
          LIPSYNC_DATA_DIR: dataDir,
        },
      },
    );
  try {
    standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' }, times: 'always' });
    const old = generate(oldProjectDir);
    const killed = once(old, 'exit');
    await waitUntil(() => standin.control.operations().runningNow === 1);
    old.kill('SIGKILL');
    await killed;
    standin.control.clearFaults();
    standin.control.release();
    await exitOf(generate(projectDir), 'the current command line');
    return await checkLocal({ standin, dataDir, outputPath });
  } finally {
    await standin.close();
  }
}

interface LocalVerdict {
  readonly standin: HeygenStandin;
  readonly dataDir: string;
  readonly outputPath: string;
}

async function checkLocal({ standin, dataDir, outputPath }: LocalVerdict): Promise<boolean> {
  const state = new SqliteStateStore({ path: join(dataDir, 'state.sqlite') });
  try {
    const caps = { dailyMicros: null, monthlyMicros: null, userDailyMicros: null };
    const ledger = new Ledger({ state, clock: systemClock, caps });
    const rows = await ledger.sum({ fromMs: 0, toMs: Date.now() + 86_400_000, groupBy: 'day' });
    const ledgerMicros = rows.reduce((sum, { spentMicros }) => sum + spentMicros, 0);
    const reservedMicros = rows.reduce((sum, { reservedMicros: micros }) => sum + micros, 0);
    const { spentMicros, charges } = standin.control.wallet();
    const operations = standin.control.operations().operations.length;
    const hasOutput = await access(outputPath).then(
      () => true,
      () => false,
    );
    const leftovers = await readdir(join(dataDir, 'work'), { recursive: true }).catch(() => []);
    console.log(`\nTaken over from ${revision}, command line and SQLite:\n`);
    console.log(
      '| output | operations | charges | wallet, µ$ | ledger, µ$ | reserved, µ$ | leftovers |\n|---|---|---|---|---|---|---|',
    );
    console.log(
      `| ${[hasOutput, operations, charges.length, spentMicros, ledgerMicros, reservedMicros, leftovers.length].join(' | ')} |`,
    );
    return (
      hasOutput &&
      operations === 1 &&
      charges.length === 1 &&
      ledgerMicros === spentMicros &&
      reservedMicros === 0 &&
      leftovers.length === 0
    );
  } finally {
    await state.close();
  }
}
