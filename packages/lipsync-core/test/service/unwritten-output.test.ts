import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { costOf } from '../../src/jobs/job-view.ts';
import { openProgram, vendorLog, type Program } from './resumable-program.ts';

const outputName = join('out', 'take.mp4');

let folder: string;
let program: Program;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-unwritten-'));
  await writeFile(join(folder, 'clip'), 'the clip');
  await writeFile(join(folder, 'speech'), 'the speech');
  program = openProgram(folder);
});
afterEach(async () => {
  await program.state.close();
  await rm(folder, { recursive: true, force: true });
});

/** A file in the place of the output folder: no file can be written below it, not even by root. */
async function blockOutput(): Promise<void> {
  await rm(join(folder, 'out'), { recursive: true });
  await writeFile(join(folder, 'out'), '');
}

const finishOperation = (): Promise<void> => writeFile(join(folder, 'done'), '');
const starts = (): number => vendorLog(folder).filter((line) => line.startsWith('start')).length;

/** Runs a job whose take is paid for when its output can no longer be written. */
async function runIntoBlockedOutput(): ReturnType<Program['run']> {
  const running = program.run({ outputName });
  await expect.poll(starts).toBe(1);
  await blockOutput();
  await finishOperation();
  return running;
}

it('A paid take that cannot be written is kept, and the error explains how to get it.', async () => {
  const { record, error } = await runIntoBlockedOutput();
  expect(error).toMatchObject({ code: 'request_invalid' });
  expect(error?.message).toMatch(/take\.mp4.*The finished take is kept: repeat the request/);
  expect(record).toMatchObject({ status: 'failed', attempts: [{ outcome: 'succeeded' }] });
  expect(costOf(record)).toBe(70);
});

it('The next request writes the kept take to another output in another process, without paying again.', async () => {
  await runIntoBlockedOutput();
  const other = openProgram(folder);
  try {
    const { record, error } = await other.run({ outputName: 'other.mp4' });
    expect(error).toBeUndefined();
    expect(record).toMatchObject({ status: 'completed', result: { methodUsed: 'heygen' } });
    expect(costOf(record)).toBe(70);
  } finally {
    await other.state.close();
  }
  expect(await readFile(join(folder, 'other.mp4'), 'utf8')).toBe('the take');
  expect([starts(), await readdir(join(folder, 'work'))]).toEqual([1, []]);
});

it('A request that cannot write its output again leaves the kept take for a later one.', async () => {
  await runIntoBlockedOutput();
  expect((await program.run({ outputName })).error).toMatchObject({ code: 'request_invalid' });
  await rm(join(folder, 'out'));
  expect((await program.run({ outputName })).error).toBeUndefined();
  expect(await readFile(join(folder, outputName), 'utf8')).toBe('the take');
  expect(starts()).toBe(1);
});

it('Nothing is ordered when the output can no longer be written before the request is sent.', async () => {
  await writeFile(join(folder, 'hold'), '');
  const running = program.run({ outputName });
  await expect.poll(() => existsSync(join(folder, 'out'))).toBe(true);
  // The job passes its first check of the output and is held before its first attempt.
  await expect.poll(() => program.interruptions.size).toBe(1);
  await blockOutput();
  await rm(join(folder, 'hold'));
  const { error } = await running;
  expect(error).toMatchObject({ code: 'storage_unwritable', folder: join(folder, 'out') });
  expect(error?.message).toContain('choose another output path');
  expect(vendorLog(folder)).toEqual([]);
  // The job is over, and with it what it reserved.
  expect(await program.state.list('local-jobs/', { limit: 10 })).toEqual([]);
});

it('A job that is canceled while its paid take is fetched leaves the take to the next request.', async () => {
  await Promise.all([finishOperation(), writeFile(join(folder, 'hold-take'), '')]);
  const stop = new AbortController();
  const running = program.run({ outputName, signal: stop.signal });
  await expect.poll(() => existsSync(join(folder, 'fetching'))).toBe(true);
  stop.abort();
  expect((await running).error).toMatchObject({ code: 'canceled' });
  await rm(join(folder, 'hold-take'));
  expect((await program.run({ outputName })).error).toBeUndefined();
  expect(await readFile(join(folder, outputName), 'utf8')).toBe('the take');
  expect(vendorLog(folder)).toHaveLength(1);
});

it('A paid take that does not fit on the disk is fetched by the next request, without paying again.', async () => {
  await Promise.all([finishOperation(), writeFile(join(folder, 'full'), '')]);
  const { record, error } = await program.run({ outputName });
  expect(error).toMatchObject({ code: 'resource_exhausted' });
  expect(error?.message).toContain('repeat the request, and it is fetched without being made or paid for again');
  expect(costOf(record)).toBe(70);
  await rm(join(folder, 'full'));
  expect((await program.run({ outputName })).error).toBeUndefined();
  expect(await readFile(join(folder, outputName), 'utf8')).toBe('the take');
  expect(starts()).toBe(1);
});
