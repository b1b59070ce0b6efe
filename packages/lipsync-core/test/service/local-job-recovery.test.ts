import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { Ledger } from '../../src/billing/ledger.ts';
import { configFromEnvironment } from '../../src/config.ts';
import { systemClock } from '../../src/contract/system-ports.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import { createLocalHost } from '../../src/service/get-lipsync-service.ts';
import { thisProcess, type ProcessOwner } from '../../src/processes/process-owner.ts';
import { openProgram, vendorLog, type Program } from './resumable-program.ts';
import { storeUnfinishedJob as storeUnfinishedDocument, unfinishedJobKey } from './unfinished-jobs.ts';
import { toMicros } from '../../src/billing/micros.ts';

let folder: string;
let program: Program;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-recovery-'));
  await writeFile(join(folder, 'clip'), 'the clip');
  await writeFile(join(folder, 'speech'), 'the speech');
  program = openProgram(folder);
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await program.state.close();
  await rm(folder, { recursive: true, force: true });
});

/** Starts the job in another process and kills that process while the operation runs. */
function startAndKill(): Promise<void> {
  return startAndKillWhen(async () => vendorLog(folder).length === 1);
}

async function startAndKillWhen(isReached: () => Promise<boolean>): Promise<void> {
  child = fork(new URL('./resumable-program.ts', import.meta.url), [folder], { stdio: 'inherit' });
  const gone = once(child, 'exit');
  await expect.poll(isReached, { timeout: 30_000 }).toBe(true);
  child.kill('SIGKILL');
  await gone;
}

const never = new AbortController().signal;
const partFiles = async (): Promise<readonly string[]> =>
  (await readdir(folder)).filter((name) => name.endsWith('.part'));

/** Runs a job that fails at once in another program that shares the data folder, so that it sweeps. */
async function runAnotherProgram(): Promise<void> {
  const host = createLocalHost({ ...configFromEnvironment(), dataDir: folder });
  const nothing = join(folder, 'nothing');
  await host.localJobs.run(
    {
      videoPath: nothing,
      audioPath: nothing,
      outputPath: nothing,
      overwrite: false,
      options: lipsyncOptionsSchema.parse({}),
    },
    {},
  );
  await host.close();
}

const finishOperation = (): Promise<void> => writeFile(join(folder, 'done'), '');
const starts = (): number => vendorLog(folder).filter((line) => line.startsWith('start')).length;
const holders = async (): Promise<number> =>
  (await createConcurrencySlots({ state: program.state, clock: systemClock }).holders('heygen')).length;

function openLedger(): Ledger {
  const caps = { dailyMicros: null, monthlyMicros: null, userDailyMicros: null };
  return new Ledger({ state: program.state, clock: systemClock, caps });
}

async function spent(): Promise<unknown> {
  return (await openLedger().sum({ fromMs: 0, toMs: Date.now() + 1, groupBy: 'day' })).map(
    ({ spentMicros, reservedMicros }) => ({ spentMicros, reservedMicros }),
  );
}

const paidOnce = [{ spentMicros: 70, reservedMicros: 0 }];

async function deadProcess(): Promise<ProcessOwner> {
  return { ...(await thisProcess()), pid: spawnSync('true').pid };
}

/** Keys of the job records and index entries that are stored. */
async function storedJobs(): Promise<readonly string[]> {
  const documents = await program.state.list('', { limit: 1_000 });
  return documents.map(({ key }) => key).filter((key) => /^(?:local-jobs|jobs|unfinished)\//.test(key));
}

const pendingSettlements = async (): Promise<number> => (await program.state.list('open-bills/', { limit: 10 })).length;

async function isOperationStored(): Promise<boolean> {
  const [job] = await program.state.list('jobs/', { limit: 1 });
  return JSON.stringify(job ?? null).includes('operationAtMs\\":1');
}

describe('Recovery after a process was killed', () => {
  it('The next program with the same work resumes the operation, which is paid for once.', async () => {
    await startAndKill();
    await finishOperation();
    const { record, error } = await program.run();
    expect(error).toBeUndefined();
    expect(record).toMatchObject({ status: 'completed', attempts: [{ outcome: 'succeeded', costMicros: 70 }] });
    expect([...program.interruptions]).toEqual([true]);
    expect(await readFile(join(folder, 'out.mp4'), 'utf8')).toBe('the take');
    expect([starts(), await spent(), await holders(), await storedJobs()]).toEqual([1, paidOnce, 0, []]);
  });

  it('Six kills in a row are resumed: a new request does not inherit the crashes of the earlier ones.', async () => {
    for (let kill = 0; kill < 6; kill += 1) await startAndKill();
    await finishOperation();
    expect((await program.run()).error).toBeUndefined();
    expect([starts(), await spent()]).toEqual([1, paidOnce]);
  });

  it('Different work is not resumed.', async () => {
    await startAndKill();
    await finishOperation();
    await writeFile(join(folder, 'speech'), 'another speech');
    await createConcurrencySlots({ state: program.state, clock: systemClock }).sweep(async () => true);
    await program.run();
    expect(starts()).toBe(2);
  });

  it('A killed job keeps its slot while its operation may run, and no longer.', async () => {
    await startAndKill();
    const [key] = vendorLog(folder);
    const jobId = key?.replace('start ', '').replace(/-0$/, '') ?? '';
    expect([await holders(), await program.jobs.isOver(jobId)]).toEqual([1, false]);
    await expect.poll(() => program.jobs.isOver(jobId)).toBe(true);
    expect(await program.jobs.isOver('job_unknown')).toBe(true);
  });

  it('A job that no request resumes within a day is abandoned once, and its operation becomes a pending settlement.', async () => {
    await startAndKillWhen(isOperationStored);
    await program.jobs.sweep(never);
    expect([vendorLog(folder).length, (await storedJobs()).length]).toEqual([1, 2]);
    const later = openProgram(folder, { nowMs: () => Date.now() + 24 * 3_600_000 });
    await Promise.all([later.jobs.sweep(never), later.jobs.sweep(never)]);
    await later.jobs.sweep(never);
    await later.state.close();
    expect(await pendingSettlements()).toBe(1);
    expect([vendorLog(folder).length, await spent()]).toEqual([1, [{ spentMicros: 0, reservedMicros: 100 }]]);
    expect([await storedJobs(), await partFiles()]).toEqual([[], []]);
  });

  it('The outbox does not grow: the sweep empties it.', async () => {
    await finishOperation();
    await program.run();
    const outbox = () => program.state.list('job-outbox/', { limit: 10 });
    expect(await outbox()).toHaveLength(1);
    await program.jobs.sweep(never);
    expect(await outbox()).toEqual([]);
  });

  it('A sweep empties an outbox of several pages.', async () => {
    const keys = Array.from({ length: 250 }, (_, index) => `job-outbox/${`${index}`.padStart(16, '0')}/job_${index}`);
    for (const key of keys)
      await program.state.transact([key], () => ({ result: undefined, writes: new Map([[key, { jobId: 'job_1' }]]) }));
    await program.jobs.sweep(never);
    expect(await program.state.list('job-outbox/', { limit: 1 })).toEqual([]);
  });
});

describe('Unfinished jobs of earlier versions', () => {
  const jobId = 'job_0mx0s8qig950a86fda72cc3b7a2e5';

  async function storeUnfinishedJob(owner: ProcessOwner): Promise<void> {
    const atMs = Date.now() - 1_000;
    await storeUnfinishedDocument(program.state, { jobId, outputPath: join(folder, 'earlier.mp4'), owner, atMs });
    await openLedger().reserve({
      id: `${jobId}-0`,
      jobId,
      user: null,
      provider: 'heygen',
      micros: toMicros(100),
      atMs,
    });
    await writeFile(join(folder, 'vendor.log'), `start ${jobId}-0\n`);
    await writeFile(join(folder, `.${jobId}.part`), '');
  }

  it('An operation that an earlier version left is resumed, and nothing of its job remains.', async () => {
    await storeUnfinishedJob(await deadProcess());
    await finishOperation();
    const { record, error } = await program.run();
    expect([error, record.id, starts()]).toEqual([undefined, jobId, 1]);
    expect(record).toMatchObject({ status: 'completed', attempts: [{ outcome: 'succeeded', costMicros: 70 }] });
    expect([await storedJobs(), await partFiles()]).toEqual([[], []]);
  });

  it('A job that a process of an earlier version still runs is left alone.', async () => {
    await storeUnfinishedJob(await thisProcess());
    await program.jobs.sweep(never);
    expect([await storedJobs(), await partFiles()]).toEqual([[unfinishedJobKey({ jobId })], [`.${jobId}.part`]]);
  });

  it('A job that a process of an earlier version still runs keeps its slot, however old its last change is.', async () => {
    await storeUnfinishedJob(await thisProcess());
    const later = openProgram(folder, { nowMs: () => Date.now() + 24 * 3_600_000 });
    expect(await later.jobs.isOver(jobId)).toBe(false);
    await later.state.close();
  });

  it('A request and the sweep that migrate the same job at once resume it once.', async () => {
    await storeUnfinishedJob(await deadProcess());
    await finishOperation();
    const [, { record, error }] = await Promise.all([program.jobs.sweep(never), program.run()]);
    expect([error, record.id, starts(), await storedJobs()]).toEqual([undefined, jobId, 1, []]);
  });

  it('Of two programs that request the same work at once, one resumes the job and the other starts its own.', async () => {
    await storeUnfinishedJob(await deadProcess());
    await finishOperation();
    const other = openProgram(folder);
    const outcomes = await Promise.all([program.run(), other.run({ outputName: 'other.mp4' })]);
    await other.state.close();
    expect(outcomes.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(new Set(outcomes.map(({ record }) => record.id)).size).toBe(2);
    expect([starts(), await storedJobs()]).toEqual([2, []]);
  });

  it('A request migrates the jobs of its own work and leaves those of other work to the sweep.', async () => {
    const owner = await deadProcess();
    const workDigests = Array.from({ length: 120 }, (_, index) => `${index}`.padStart(64, '0'));
    const outputPath = join(folder, 'earlier.mp4');
    for (const workDigest of workDigests)
      await storeUnfinishedDocument(program.state, { jobId: `job_${workDigest}`, outputPath, owner, workDigest });
    await storeUnfinishedJob(owner);
    await finishOperation();
    expect((await program.run()).record.id).toBe(jobId);
    expect(await storedJobs()).toHaveLength(workDigests.length);
    await program.jobs.sweep(never);
    expect((await storedJobs()).filter((key) => key.startsWith('unfinished/'))).toEqual([]);
    expect(await storedJobs()).toHaveLength(2 * workDigests.length);
  });
});

describe('Partial files of killed processes', () => {
  it('The partial file of a job without an attempt is deleted by the next program.', async () => {
    await writeFile(join(folder, 'hold'), '');
    await startAndKillWhen(async () => (await partFiles()).length === 1);
    expect(await partFiles()).toEqual([expect.stringMatching(/^\.job_.+\.part$/)]);
    await writeFile(join(folder, '.job_somebody.part'), 'of a program with another data folder');
    await runAnotherProgram();
    expect(await partFiles()).toEqual(['.job_somebody.part']);
  });

  it('The partial file is deleted if the job is resumed for another output.', async () => {
    await startAndKill();
    expect(await partFiles()).toHaveLength(1);
    await finishOperation();
    await mkdir(join(folder, 'elsewhere'));
    expect((await program.run({ outputName: 'elsewhere/out.mp4' })).error).toBeUndefined();
    expect([await partFiles(), starts()]).toEqual([[], 1]);
  });

  it('The partial file of a living program is kept.', async () => {
    const running = program.run();
    await expect.poll(starts).toBe(1);
    await runAnotherProgram();
    expect(await partFiles()).toHaveLength(1);
    await finishOperation();
    expect((await running).error).toBeUndefined();
    expect([...program.interruptions]).toEqual([false]);
  });
});

describe('Jobs of a living program', () => {
  it('A second request for the same work does not take over a running job.', async () => {
    const first = program.run();
    await expect.poll(starts).toBe(1);
    const second = program.run({ outputName: 'other.mp4' });
    await delay(200);
    await finishOperation();
    expect([(await first).error, (await second).error]).toEqual([undefined, undefined]);
    expect([starts(), await holders()]).toEqual([2, 0]);
  });

  it('A job that is canceled while it waits cancels its operation, costs nothing and is not resumed.', async () => {
    const controller = new AbortController();
    const running = program.run({ signal: controller.signal });
    await expect.poll(starts).toBe(1);
    controller.abort();
    expect(await running).toMatchObject({
      record: { status: 'canceled', attempts: [{ outcome: 'canceled', costMicros: 0 }] },
      error: { code: 'canceled' },
    });
    expect([vendorLog(folder).length, await spent(), await holders()]).toEqual([2, [], 0]);
    await finishOperation();
    await program.run();
    expect(starts()).toBe(2);
  });

  it('A take whose output exists already is not paid for again when it is requested under another name.', async () => {
    const first = program.run();
    await expect.poll(starts).toBe(1);
    await writeFile(join(folder, 'out.mp4'), 'mine');
    await finishOperation();
    expect((await first).error).toMatchObject({ code: 'output_exists' });
    expect((await program.run({ outputName: 'other.mp4' })).error).toBeUndefined();
    expect(await readFile(join(folder, 'other.mp4'), 'utf8')).toBe('the take');
    expect([starts(), await spent()]).toEqual([1, paidOnce]);
  });
});
