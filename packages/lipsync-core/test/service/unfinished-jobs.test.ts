import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { createLedger } from '../../src/billing/ledger.ts';
import { configFromEnvironment } from '../../src/config.ts';
import { systemClock } from '../../src/contract/system-ports.ts';
import { createConcurrencySlots } from '../../src/scheduling/concurrency-slots.ts';
import { createLocalHost } from '../../src/service/get-lipsync-service.ts';
import { createUnfinishedJobs } from '../../src/service/unfinished-jobs.ts';
import { openProgram, vendorLog, type Program } from './remembering-program.ts';

let folder: string;
let program: Program;
let child: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-unfinished-'));
  await writeFile(join(folder, 'clip'), 'the clip');
  await writeFile(join(folder, 'speech'), 'the speech');
  program = openProgram(folder);
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await program.state.close();
  await rm(folder, { recursive: true, force: true });
});

/** Has a program of its own begin the job, and kills it when its operation runs. */
function beginAndKill(): Promise<void> {
  return beginAndKillOnce(async () => vendorLog(folder).length === 1);
}

async function beginAndKillOnce(isThere: () => Promise<boolean>): Promise<void> {
  child = fork(new URL('./remembering-program.ts', import.meta.url), [folder], { stdio: 'inherit' });
  const gone = once(child, 'exit');
  await expect.poll(isThere, { timeout: 30_000 }).toBe(true);
  child.kill('SIGKILL');
  await gone;
}

const partFiles = async (): Promise<readonly string[]> =>
  (await readdir(folder)).filter((name) => name.endsWith('.part'));

/** A program that shares the data folder; what it is asked for cannot be done. */
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

async function spent(): Promise<unknown> {
  const ledger = createLedger({
    state: program.state,
    clock: systemClock,
    caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
  });
  return (await ledger.sum({ fromMs: 0, toMs: Date.now() + 1, groupBy: 'day' })).map(
    ({ spentMicros, reservedMicros }) => ({ spentMicros, reservedMicros }),
  );
}

const paidOnce = [{ spentMicros: 70, reservedMicros: 0 }];

describe('the job of a program that was killed', () => {
  it('is gone on with by the next program that asks for the same, and is paid for once', async () => {
    await beginAndKill();
    await finishOperation();
    const { record, error } = await program.run();
    expect(error).toBeUndefined();
    expect(record).toMatchObject({ status: 'completed', attempts: [{ outcome: 'succeeded', costMicros: 70 }] });
    expect([...program.interruptions]).toEqual([true]);
    expect(await readFile(join(folder, 'out.mp4'), 'utf8')).toBe('the take');
    expect([starts(), await spent(), await holders()]).toEqual([1, paidOnce, 0]);
  });

  it('is not mistaken for one that asks for something else', async () => {
    await beginAndKill();
    await finishOperation();
    await writeFile(join(folder, 'speech'), 'another speech');
    await createConcurrencySlots({ state: program.state, clock: systemClock }).sweep(async () => true);
    await program.run();
    expect(starts()).toBe(2);
  });

  it('keeps its place while its operation may run, and no longer', async () => {
    await beginAndKill();
    const [key] = vendorLog(folder);
    const jobId = key?.replace('start ', '').replace(/-0$/, '') ?? '';
    expect([await holders(), await program.unfinished.isOver(jobId)]).toEqual([1, false]);
    await expect.poll(() => program.unfinished.isOver(jobId)).toBe(true);
    expect(await program.unfinished.isOver('job_unknown')).toBe(true);
  });

  it('is ended for good when nobody comes back for a day, once', async () => {
    await beginAndKill();
    const ended: string[] = [];
    const dayLater = { nowMs: () => Date.now() + 24 * 3_600_000 };
    const later = createUnfinishedJobs({ state: program.state, clock: dayLater, operationMs: 1_000 });
    const end = async ({
      jobId,
      attempts,
    }: {
      readonly jobId: string;
      readonly attempts: readonly unknown[];
    }): Promise<void> => void ended.push(`${jobId} ${attempts.length}`);
    await program.unfinished.endForgotten(end);
    expect(ended).toEqual([]);
    await Promise.all([later.endForgotten(end), later.endForgotten(end)]);
    await later.endForgotten(end);
    expect(ended).toHaveLength(1);
    expect(ended[0]).toMatch(/ 1$/);
  });
});

describe('the part file of a program that was killed', () => {
  it('before it had begun an attempt is swept by the next program that does anything', async () => {
    await writeFile(join(folder, 'hold'), '');
    await beginAndKillOnce(async () => (await partFiles()).length === 1);
    expect(await partFiles()).toEqual([expect.stringMatching(/^\.job_.+\.part$/)]);
    await writeFile(join(folder, '.job_somebody.part'), 'of a program with a data folder of its own');
    await runAnotherProgram();
    expect(await partFiles()).toEqual(['.job_somebody.part']);
  });

  it('is swept when its job is gone on with for another output', async () => {
    await beginAndKill();
    expect(await partFiles()).toHaveLength(1);
    await finishOperation();
    await mkdir(join(folder, 'elsewhere'));
    expect((await program.run({ outputName: 'elsewhere/out.mp4' })).error).toBeUndefined();
    expect([await partFiles(), starts()]).toEqual([[], 1]);
  });

  it('of a living program is left alone', async () => {
    const running = program.run();
    await expect.poll(starts).toBe(1);
    await runAnotherProgram();
    expect(await partFiles()).toHaveLength(1);
    await finishOperation();
    expect((await running).error).toBeUndefined();
    expect([...program.interruptions]).toEqual([false]);
  });
});

describe('the job of a living program', () => {
  it('is not taken from it by another that asks for the same', async () => {
    const first = program.run();
    await expect.poll(starts).toBe(1);
    const second = program.run({ outputName: 'other.mp4' });
    await delay(200);
    await finishOperation();
    expect([(await first).error, (await second).error]).toEqual([undefined, undefined]);
    expect([starts(), await holders()]).toEqual([2, 0]);
  });

  it('that is canceled while it waits stops its operation, costs nothing and is not gone on with', async () => {
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

  it('whose output stands in the way is not paid for again when it is asked for under another name', async () => {
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
