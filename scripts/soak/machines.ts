import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LipsyncClient, type JobView } from '@lipsync/client';
import { startTestRedis } from '@lipsync/queue/testing';
import { z } from 'zod';
import { startHeygenStandin, type HeygenStandin } from '../../packages/heygen-standin/src/index.ts';
import { startTestS3, type TestS3 } from '../../packages/lipsync-core/src/testing/test-s3.ts';
import { checkOut, exitOf } from '../lib/check-out.ts';
import { createJob } from '../lib/create-job.ts';
import { shortenSample } from '../lib/short-sample.ts';
import { standinEnvironment } from '../lib/standin-environment.ts';
import { freeLoopbackPort } from '../stack/private-redis.ts';
import { paceByReads } from './heygen-stack.ts';
import { canSimulateMachines, Network, type Machine } from './network-machine.ts';

const jobs = Number(process.env['MACHINES_JOBS'] ?? 50);
/** The revision from which one machine is upgraded. */
const upgradedRevision = process.env['MACHINES_REVISION'] ?? '8c403753';
const projectDir = dirname(dirname(import.meta.dirname));
/** Every fifth job is rendered; HeyGen makes the others. */
const renderEvery = 5;
const limitMs = 15 * 60_000;
const cutMs = 20_000;
const keptObject = 'kept';

/**
 * Runs jobs on three machines (API, cloud worker, render worker) in network namespaces. First with S3 and separate
 * disks: the cloud machine is cut off from the network; the render machine is killed, then downgraded to the previous
 * format of records and upgraded again. Then with shared folders: the render machine is upgraded from an earlier
 * revision. Every job must complete once, with one output and at most one paid take, and the ledger must equal the wallet
 * of the HeyGen stand-in.
 */
export async function proveMachines(): Promise<boolean> {
  if (!(await canSimulateMachines())) {
    console.log('Skipped: network namespaces need root and iproute2.');
    return true;
  }
  const folder = await mkdtemp(join(tmpdir(), 'lipsync-machines-'));
  try {
    const laterBuild = await checkOutLater(join(folder, 'later'));
    const earlierBuild = await install(await checkOut(upgradedRevision, join(folder, 'earlier')));
    console.log(
      '| store | jobs | completed | takes as expected | outputs | charges | wallet, µ$ | ledger, µ$ | reserved, µ$ | crashed jobs | seconds |',
    );
    console.log('|---|---|---|---|---|---|---|---|---|---|---|');
    const onS3 = await withS3((s3) =>
      proveScenario(join(folder, 's3'), { build: laterBuild, disturb: disturbOnS3, s3 }),
    );
    const onFolder = await proveScenario(join(folder, 'shared'), { build: earlierBuild, disturb: upgradeOne });
    return onS3 && onFolder;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A build of this revision with one more migration, which changes nothing: its records have a later format. */
async function checkOutLater(folder: string): Promise<string> {
  await checkOut('HEAD', folder);
  const path = join(folder, 'packages', 'lipsync-core', 'src', 'jobs', 'record-migrations.ts');
  const source = await readFile(path, 'utf8');
  const changed = source.replace(/(migrations: readonly Migration\[\] = \[[^\]]+)\]/, '$1, (record) => record]');
  if (changed === source) throw new Error(`${path} has no list of migrations.`);
  await writeFile(path, changed);
  return install(folder);
}

/** The first command installs the packages of a checkout. */
async function install(folder: string): Promise<string> {
  const child = spawn('npm', ['run', '--silent', 'lipsync', '--', '--help'], { cwd: folder, stdio: 'ignore' });
  await exitOf(child, 'npm run lipsync');
  return folder;
}

async function withS3(work: (s3: TestS3) => Promise<boolean>): Promise<boolean> {
  const s3 = await startTestS3();
  try {
    // s3rver ends when it deletes an empty folder into which another request writes.
    for (const folder of ['health', 'outputs']) await s3.open('machines/').put(`${folder}/${keptObject}`, Buffer.of(0));
    return await work(s3);
  } finally {
    await s3.stop();
  }
}

interface Scenario {
  /** Checkout that all machines start with. */
  readonly build: string;
  readonly disturb: (machines: Machines) => Promise<void>;
  /** Without it, the machines share folders. */
  readonly s3?: TestS3;
}

interface Machines {
  readonly cloud: Machine;
  readonly render: Machine;
  /** Starts the worker of a machine. */
  readonly startWorker: (machine: Machine, lane: 'cloud' | 'render', build: string) => Promise<void>;
  readonly build: string;
}

async function disturbOnS3({ cloud, render, startWorker, build }: Machines): Promise<void> {
  await sleep(5_000);
  const cut = cloud.cutOff(cutMs);
  await sleep(3_000);
  await render.kill();
  await startWorker(render, 'render', build);
  await cut;
  await render.stop();
  await startWorker(render, 'render', projectDir);
  await sleep(cutMs);
  await render.stop();
  await startWorker(render, 'render', build);
}

async function upgradeOne({ render, startWorker }: Machines): Promise<void> {
  await sleep(10_000);
  await render.stop();
  await startWorker(render, 'render', projectDir);
}

async function proveScenario(folder: string, scenario: Scenario): Promise<boolean> {
  const redis = await startTestRedis();
  const standin = await startHeygenStandin({ settings: { pace: paceByReads, maxConcurrent: 100, mouth: 'old' } });
  const apiPort = await freeLoopbackPort();
  const { build, disturb, s3 } = scenario;
  const network = new Network([redis.port, portOf(standin.url), ...(s3 ? [portOf(s3.proxy.url)] : [])]);
  try {
    await network.open();
    const environmentOf = (machine: string): Record<string, string> => ({
      ...standinEnvironment(standin),
      ...s3?.environment('machines'),
      REDIS_URL: redis.url,
      LIPSYNC_DATA_DIR: join(folder, s3 ? machine : 'all', 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, s3 ? machine : 'all', 'outputs'),
      // The takes have the old lips: they would be rejected.
      LIPSYNC_QUALITY: 'off',
      QUEUE_LOCK_MS: '8000',
      QUEUE_STALLED_INTERVAL_MS: '2000',
      WORKER_SHUTDOWN_GRACE_MS: '1000',
    });
    const api = await network.add('api', apiPort);
    const cloud = await network.add('cloud');
    const render = await network.add('render');
    const startWorker: Machines['startWorker'] = (machine, lane, projectFolder) =>
      machine.start('worker', {
        projectDir: projectFolder,
        folder: join(folder, lane, 'home'),
        environment: { ...environmentOf(lane), WORKER_LANES: lane },
      });
    await api.start('api', {
      projectDir: build,
      folder: join(folder, 'api', 'home'),
      environment: { ...environmentOf('api'), PORT: String(apiPort) },
    });
    await startWorker(cloud, 'cloud', build);
    await startWorker(render, 'render', build);
    const startedMs = performance.now();
    const url = `http://127.0.0.1:${apiPort}`;
    const [ended] = await Promise.all([runJobs(url, folder), disturb({ cloud, render, startWorker, build })]);
    const outputs = s3 ? await countObjects(s3) : await countFiles(join(folder, 'all', 'outputs'));
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    return await report({ name: s3 ? 'S3' : 'shared folder', ended, outputs, standin, url, seconds });
  } finally {
    await network.close();
    await standin.close();
    await redis.stop();
  }
}

async function runJobs(baseUrl: string, folder: string): Promise<readonly JobView[]> {
  const client = new LipsyncClient({ baseUrl });
  const signal = AbortSignal.timeout(limitMs);
  const sample = await shortenSample(folder, 0.8);
  const ids: string[] = [];
  for (let index = 0; index < jobs; index += 1) {
    const method = index % renderEvery === 0 ? 'preview' : 'heygen';
    ids.push((await createJob(client, sample, { method, cache: false }, signal)).id);
    await sleep(200);
  }
  return Promise.all(ids.map((id) => client.waitFor(id, { signal })));
}

async function countFiles(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.')).length;
}

/** Jobs with an output; a killed attempt may have stored an object that nothing names. */
async function countObjects(s3: TestS3): Promise<number> {
  const objects = await s3.open('machines/').list('outputs/');
  return new Set(objects.map(({ key }) => key.split('/')[1]).filter((name) => name !== keptObject)).size;
}

interface Outcome {
  readonly name: string;
  readonly ended: readonly JobView[];
  readonly outputs: number;
  readonly standin: HeygenStandin;
  readonly url: string;
  readonly seconds: number;
}

/** A local take that a stopped worker has not published yet is rendered again, at no cost. */
function succeededOnce({ method, attempts }: JobView): boolean {
  const successes = attempts.filter(({ outcome }) => outcome === 'succeeded').length;
  return method === 'heygen' ? successes === 1 : successes >= 1;
}

const costsSchema = z.object({ total: z.object({ cost_usd: z.number(), reserved_usd: z.number() }) });

async function report({ name, ended, outputs, standin, url, seconds }: Outcome): Promise<boolean> {
  const { total } = costsSchema.parse(await (await fetch(`${url}/costs`)).json());
  const ledger = Math.round(total.cost_usd * 1e6);
  const reserved = Math.round(total.reserved_usd * 1e6);
  const { spentMicros, charges } = standin.control.wallet();
  const completed = ended.filter(({ status }) => status === 'completed').length;
  const successes = ended.filter(succeededOnce).length;
  const crashed = ended.filter(({ error }) => error?.code === 'worker_crashed').length;
  const figures = [completed, successes, outputs, charges.length, spentMicros, ledger, reserved, crashed, seconds];
  console.log(`| ${name} | ${jobs} | ${figures.join(' | ')} |`);
  for (const { id, status, error } of ended)
    if (status !== 'completed') console.log(`${id} is ${status}: ${error?.code} ${error?.message}`);
  const all = [completed, successes, outputs].every((count) => count === jobs);
  return all && charges.length === jobs - Math.ceil(jobs / renderEvery) && spentMicros === ledger && reserved === 0;
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
