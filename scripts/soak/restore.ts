import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LipsyncClient } from '@lipsync/client';
import { createJob } from '../lib/create-job.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { startStack } from '../stack/stack.ts';

const projectDir = dirname(dirname(import.meta.dirname));
const timeLimitMs = 10 * 60_000;
/** Each sends its next job when its previous one has ended, so that jobs wait and run at any time. */
const clients = 4;
const pollIntervalMs = 100;
/** Jobs that have ended when the backup begins; others then wait or run. */
const endedBeforeBackup = 3;
const jobsAfterBackup = 3;
/** Folders of the data folder that belong to a backup. */
const dataFolders = ['inputs', 'marking'];

interface Service {
  readonly client: LipsyncClient;
  readonly url: string;
  readonly redisUrl: string;
  stop(): Promise<void>;
}

interface AcceptedJob {
  readonly id: string;
  readonly sentAtMs: number;
  readonly acceptedAtMs: number;
}

interface Backup {
  readonly startedAtMs: number;
  /** When the snapshot of Redis was complete. */
  readonly snapshotAtMs: number;
  /** Hashes of the outputs of the jobs that had ended before the backup, by job id. */
  readonly outputs: ReadonlyMap<string, string>;
}

/**
 * Follows docs/redis.md: backs up Redis, then the files, while jobs arrive, run and end; loses the machine; restores
 * into empty folders. Every job that was accepted before the backup must complete with an output, those that had
 * finished with the same bytes. The jobs that were accepted after the snapshot must be unknown.
 */
export async function proveRestore(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-restore-'));
  try {
    const backupDir = join(folder, 'backup');
    const restored = join(folder, 'restored');
    const { jobs, backup } = await loseMachine({ folder: join(folder, 'lost'), backupDir, samples: folder }, signal);
    await restoreBackup(backupDir, restored);
    return await checkRestored(restored, { jobs, backup }, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface LostMachine {
  readonly folder: string;
  readonly backupDir: string;
  readonly samples: string;
}

async function loseMachine(
  { folder, backupDir, samples }: LostMachine,
  signal: AbortSignal,
): Promise<{ readonly jobs: readonly AcceptedJob[]; readonly backup: Backup }> {
  const service = await startService(folder, signal);
  const sample = await shortenSample(samples, 1);
  const jobs: AcceptedJob[] = [];
  const ended: string[] = [];
  const isLoadOver = new AbortController();
  const loadSignal = AbortSignal.any([signal, isLoadOver.signal]);
  const send = async (): Promise<void> => {
    while (!isLoadOver.signal.aborted) {
      const sentAtMs = Date.now();
      const { id } = await createJob(service.client, sample, { method: 'preview', cache: false }, loadSignal);
      jobs.push({ id, sentAtMs, acceptedAtMs: Date.now() });
      await service.client.waitFor(id, { signal: loadSignal });
      ended.push(id);
    }
  };
  const load = Promise.allSettled(Array.from({ length: clients }, send));
  try {
    while (ended.length < endedBeforeBackup) await sleep(pollIntervalMs, undefined, { signal });
    const outputs = new Map<string, string>();
    for (const id of ended) outputs.set(id, await hashOutput(service.url, id));
    const times = await takeBackup(service, folder, backupDir);
    const isAfter = ({ sentAtMs }: AcceptedJob): boolean => sentAtMs > times.snapshotAtMs;
    while (jobs.filter(isAfter).length < jobsAfterBackup) await sleep(pollIntervalMs, undefined, { signal });
    return { jobs, backup: { ...times, outputs } };
  } finally {
    isLoadOver.abort();
    await load;
    await service.stop();
  }
}

/** Redis first: every file that its records name exists by then, because a file is stored before its record. */
async function takeBackup({ redisUrl }: Service, folder: string, backupDir: string) {
  await mkdir(backupDir, { recursive: true });
  const startedAtMs = Date.now();
  const { hostname, port, password } = new URL(redisUrl);
  // The password is in the environment, because other users can read arguments.
  const environment = { ...process.env, REDISCLI_AUTH: decodeURIComponent(password) };
  const args = ['-h', hostname, '-p', port, '--rdb', join(backupDir, 'dump.rdb')];
  await promisify(execFile)('redis-cli', args, { env: environment });
  const snapshotAtMs = Date.now();
  for (const name of dataFolders) await cp(join(folder, 'data', name), join(backupDir, name), { recursive: true });
  await cp(join(folder, 'outputs'), join(backupDir, 'outputs'), { recursive: true });
  return { startedAtMs, snapshotAtMs };
}

/** With `appendonly yes`, Redis 7 ignores a dump.rdb: the snapshot becomes the base of the append-only file. */
async function restoreBackup(backupDir: string, folder: string): Promise<void> {
  const redisDir = join(folder, 'data', 'redis', 'appendonlydir');
  await mkdir(redisDir, { recursive: true });
  await cp(join(backupDir, 'dump.rdb'), join(redisDir, 'appendonly.aof.1.base.rdb'));
  await writeFile(join(redisDir, 'appendonly.aof.manifest'), 'file appendonly.aof.1.base.rdb seq 1 type b\n');
  for (const name of dataFolders) await cp(join(backupDir, name), join(folder, 'data', name), { recursive: true });
  await cp(join(backupDir, 'outputs'), join(folder, 'outputs'), { recursive: true });
}

async function checkRestored(
  folder: string,
  { jobs, backup }: { readonly jobs: readonly AcceptedJob[]; readonly backup: Backup },
  signal: AbortSignal,
): Promise<boolean> {
  const service = await startService(folder, signal);
  try {
    const before = jobs.filter(({ acceptedAtMs }) => acceptedAtMs < backup.startedAtMs);
    const after = jobs.filter(({ sentAtMs }) => sentAtMs > backup.snapshotAtMs);
    const completed = await Promise.all(before.map(({ id }) => completes(service, id, signal)));
    const equal = await Promise.all(
      Array.from(backup.outputs, async ([id, hash]) => (await hashOutput(service.url, id)) === hash),
    );
    const statuses = await Promise.all(
      after.map(async ({ id }) => (await fetch(`${service.url}/lipsync/${id}`, { signal })).status),
    );
    const outputs = (await readdir(join(folder, 'outputs'))).filter((name) => !name.startsWith('.'));
    const rows = [
      ['accepted before the backup, completed after the restore', completed, before.length],
      ['finished before the backup, output with the same bytes', equal, backup.outputs.size],
      [
        'accepted after the snapshot, unknown after the restore',
        statuses.map((status) => status === 404),
        after.length,
      ],
    ] as const;
    console.log('| jobs | count | holds |\n|---|---|---|');
    for (const [name, results, count] of rows) {
      console.log(`| ${name} | ${count} | ${results.filter(Boolean).length} |`);
    }
    console.log(`\nThe snapshot took ${backup.snapshotAtMs - backup.startedAtMs} ms; ${outputs.length} outputs.`);
    return rows.every(([, results, count]) => count > 0 && results.length === count && results.every(Boolean));
  } finally {
    await service.stop();
  }
}

async function completes({ client }: Service, id: string, signal: AbortSignal): Promise<boolean> {
  const { status, output_url: outputUrl } = await client.waitFor(id, { signal });
  return status === 'completed' && outputUrl !== null;
}

async function hashOutput(url: string, id: string): Promise<string> {
  const response = await fetch(`${url}/lipsync/${id}/output`);
  if (!response.ok) return `status ${response.status}`;
  return createHash('sha256')
    .update(Buffer.from(await response.arrayBuffer()))
    .digest('hex');
}

async function startService(folder: string, signal: AbortSignal): Promise<Service> {
  await mkdir(folder, { recursive: true });
  const { url, redisUrl, stop } = await startStack({
    projectDir,
    dataDir: join(folder, 'data'),
    settingsDir: folder,
    workerGraceMs: 0,
    signal,
    environment: {
      HOST: '127.0.0.1',
      PORT: String(await freeLoopbackPort()),
      PUBLIC_BASE_URL: '',
      LIPSYNC_API_KEYS: '',
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
      LIPSYNC_QUALITY: 'off',
      HEYGEN_API_KEY: '',
      METRICS_PORT: '',
    },
    onLine: () => undefined,
    onEvent: () => undefined,
  });
  return { client: new LipsyncClient({ baseUrl: url }), url, redisUrl, stop };
}
