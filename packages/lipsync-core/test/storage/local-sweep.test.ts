import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import type * as fileSystem from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { currentProcess } from '../../src/processes/process-owner.ts';
import { processFolderName } from '../../src/processes/workspace.ts';
import { LocalArtifactStore } from '../../src/storage/local-artifact-store.ts';

// The calls count; the files are real.
vi.mock('node:fs/promises', { spy: true });

const age = { olderThanMs: 3_600_000, nowMs: Date.now() };
const outputKey = 'outputs/job_1/output.mp4';

let root: string;
let outputsDir: string;
let store: LocalArtifactStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'local-sweep-'));
  outputsDir = join(root, 'out');
  store = new LocalArtifactStore({ inputsDir: join(root, 'in'), outputsDir });
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Leaves a partial file of a killed process where earlier versions wrote it. */
async function leavePart(jobId: string): Promise<string> {
  const owner = { ...currentProcess(), pid: spawnSync('true').pid };
  await mkdir(join(outputsDir, jobId), { recursive: true });
  const path = join(outputsDir, jobId, `.output.mp4.${processFolderName(owner)}.part`);
  await writeFile(path, 'half');
  return path;
}

it('Sweeps read the folders of jobs once, a limited number at a time, and then only those of inputs and outputs.', async () => {
  await leavePart('job_1');
  for (let job = 2; job <= 1_200; job++) await mkdir(join(outputsDir, `job_${job}`));
  let swept = 0;
  const calls: number[] = [];
  for (let pass = 0; pass < 4; pass++) {
    vi.mocked(readdir).mockClear();
    swept += await store.sweep(age);
    calls.push(vi.mocked(readdir).mock.calls.length);
  }
  expect(calls).toEqual([1_003, 202, 2, 2]);
  expect(swept).toBe(1);
});

it('A folder that cannot be read is left out, and the others are swept.', async () => {
  for (const job of ['job_1', 'job_2', 'job_3']) await leavePart(job);
  const real = await vi.importActual<typeof fileSystem>('node:fs/promises');
  vi.mocked(readdir).mockImplementation((...given) =>
    String(given[0]).endsWith('job_2') ? Promise.reject(new Error('EIO')) : real.readdir(...given),
  );
  await expect(store.sweep(age)).rejects.toThrow('EIO');
  vi.mocked(readdir).mockReset();
  expect(await store.sweep(age)).toBe(0);
  const left = await readdir(outputsDir, { recursive: true });
  expect(left.filter((name) => name.endsWith('.part'))).toEqual([expect.stringMatching(/^job_2/)]);
});

it('The deletion of an output removes the folder of its job with the partial file of a killed process.', async () => {
  await leavePart('job_1');
  await writeFile(join(outputsDir, 'job_1', 'output.mp4'), 'a take');
  await store.delete(outputKey);
  expect(await readdir(outputsDir)).toEqual([]);
});

it('An output from another file system is written beside the folders of jobs first.', async ({ skip }) => {
  const elsewhere = await mkdtemp('/dev/shm/local-sweep-').catch(() => undefined);
  if (elsewhere === undefined || (await stat(elsewhere)).dev === (await stat(root)).dev)
    return skip('This machine has no second writable file system.');
  try {
    await writeFile(join(elsewhere, 'take.mp4'), 'a take');
    // Another output of the job is deleted during the copy.
    vi.mocked(copyFile).mockImplementationOnce(async (source, target) => {
      await rm(join(outputsDir, 'job_1'), { recursive: true });
      await writeFile(String(target), String(source));
    });
    await store.publish(join(elsewhere, 'take.mp4'), outputKey);
    expect(vi.mocked(copyFile).mock.calls.map(([, target]) => dirname(String(target)))).toEqual([
      outputsDir,
      outputsDir,
    ]);
    expect(await readdir(outputsDir, { recursive: true })).toEqual(['job_1', 'job_1/output.mp4']);
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
});
