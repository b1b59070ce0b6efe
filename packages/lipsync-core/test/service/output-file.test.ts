import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OutputFiles, sweepPartFile } from '../../src/service/output-file.ts';

let folder: string;
let take: string;
let outputs: OutputFiles;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-output-'));
  take = join(folder, 'take');
  await writeFile(take, 'the take');
  outputs = new OutputFiles();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path)).toSorted();
}

/** What becomes of a whole job's output: claimed, published, released. */
async function write(path: string, overwrite = false): Promise<void> {
  const output = await outputs.claim(path, { overwrite, jobId: 'job_1' });
  try {
    await output.publish(take);
  } finally {
    await output.release();
  }
}

describe('a part file that a killed program left', () => {
  it('is replaced when the same job goes on', async () => {
    await writeFile(join(folder, '.job_1.part'), 'half a take');
    await write(join(folder, 'out.mp4'));
    expect(await readFile(join(folder, 'out.mp4'), 'utf8')).toBe('the take');
    expect(await namesIn(folder)).toEqual(['out.mp4', 'take']);
  });
});

describe('a part file that a killed program left behind', () => {
  it('after it had published its output goes when the same job comes back and finds it there', async () => {
    await writeFile(join(folder, 'out.mp4'), 'the take');
    await writeFile(join(folder, '.job_1.part'), 'the take');
    await expect(outputs.claim(join(folder, 'out.mp4'), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'output_exists',
    });
    expect(await namesIn(folder)).toEqual(['out.mp4', 'take']);
  });

  it("is swept by its job's name alone: nothing else in the folder is touched", async () => {
    const others = ['.job_2.part', 'job_1.part', '.job_1.part.mp4'];
    for (const name of ['.job_1.part', ...others]) await writeFile(join(folder, name), 'half a take');
    await sweepPartFile({ outputPath: join(folder, 'out.mp4'), jobId: 'job_1' });
    await sweepPartFile({ outputPath: join(folder, 'nowhere', 'out.mp4'), jobId: 'job_1' });
    expect(await namesIn(folder)).toEqual([...others, 'take'].toSorted());
  });
});

describe('an output is refused before any work', () => {
  it.each([false, true])('when it is a folder (overwrite %s)', async (overwrite) => {
    await mkdir(join(folder, 'out'));
    await expect(outputs.claim(join(folder, 'out'), { overwrite, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('is a folder'),
    });
  });

  it.each(['take/x.mp4', 'take/deeper/x.mp4'])('when it lies below a file: %s', async (path) => {
    await expect(outputs.claim(join(folder, path), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('is a file, not a folder'),
    });
  });

  it('when its name is longer than the file system allows', async () => {
    await expect(
      outputs.claim(join(folder, `${'x'.repeat(300)}.mp4`), { overwrite: false, jobId: 'job_1' }),
    ).rejects.toMatchObject({ code: 'request_invalid', message: expect.stringContaining('too long') });
  });

  it('when it may not be written there', async () => {
    const locked = join(folder, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o555);
    await chmod(folder, 0o755);
    await asOrdinaryUser(async () => {
      await expect(outputs.claim(join(locked, 'x.mp4'), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
        code: 'request_invalid',
        message: expect.stringContaining('permissions'),
      });
    });
  });

  it('when its folder is a link that leads nowhere, or round in a circle', async () => {
    await symlink(join(folder, 'nowhere', 'deeper'), join(folder, 'dangling'));
    await symlink(join(folder, 'circle'), join(folder, 'circle'));
    for (const name of ['dangling', 'circle']) {
      await expect(
        outputs.claim(join(folder, name, 'x.mp4'), { overwrite: false, jobId: 'job_1' }),
      ).rejects.toMatchObject({ code: 'request_invalid' });
    }
  });

  it('when its path holds a character that no path can have', async () => {
    await expect(outputs.claim(`${folder}/a\0b`, { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
    });
  });

  it('when it may be replaced but is a device', async () => {
    await expect(outputs.claim('/dev/null', { overwrite: true, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('not a file'),
    });
  });

  it('when another job is writing it, overwriting or not', async () => {
    const path = join(folder, 'x.mp4');
    const first = await outputs.claim(path, { overwrite: false, jobId: 'job_1' });
    await expect(outputs.claim(path, { overwrite: true, jobId: 'job_2' })).rejects.toMatchObject({
      code: 'output_exists',
    });
    await first.release();
    await (await outputs.claim(path, { overwrite: true, jobId: 'job_2' })).release();
    expect(await namesIn(folder)).toEqual(['take']);
  });
});

describe('an output is written', () => {
  it.each([234, 251])('under a name of %i characters and an extension', async (length) => {
    const name = `${'x'.repeat(length)}.mp4`;
    await write(join(folder, name));
    expect(await namesIn(folder)).toEqual(['take', name]);
  });

  it('in place of a link, and what the link leads to stays', async () => {
    await writeFile(join(folder, 'other.mp4'), 'mine');
    await symlink(join(folder, 'other.mp4'), join(folder, 'x.mp4'));
    await write(join(folder, 'x.mp4'), true);
    expect(await readFile(join(folder, 'x.mp4'), 'utf8')).toBe('the take');
    expect(await readFile(join(folder, 'other.mp4'), 'utf8')).toBe('mine');
  });

  it('as a file with one name', async () => {
    await write(join(folder, 'x.mp4'));
    expect((await stat(join(folder, 'x.mp4'))).nlink).toBe(1);
  });
});

describe('an output that cannot be written after all', () => {
  it('is said to exist when something appeared there, which stays', async () => {
    const path = join(folder, 'x.mp4');
    const output = await outputs.claim(path, { overwrite: false, jobId: 'job_1' });
    await writeFile(path, 'mine');
    await expect(output.publish(take)).rejects.toMatchObject({ code: 'output_exists' });
    await output.release();
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect(await namesIn(folder)).toEqual(['take', 'x.mp4']);
  });

  it('is said to be a folder when one appeared there', async () => {
    const path = join(folder, 'x.mp4');
    const output = await outputs.claim(path, { overwrite: true, jobId: 'job_1' });
    await mkdir(path);
    await expect(output.publish(take)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('is a folder'),
    });
    await output.release();
    expect(await namesIn(folder)).toEqual(['take', 'x.mp4']);
  });

  it('is said to have lost its folder when that was removed', async () => {
    const output = await outputs.claim(join(folder, 'out', 'x.mp4'), { overwrite: false, jobId: 'job_1' });
    await rm(join(folder, 'out'), { recursive: true });
    await expect(output.publish(take)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('does not exist'),
    });
    await output.release();
  });
});

/** Permissions do not hold for root, so the work is done as somebody else where the tests run as root. */
async function asOrdinaryUser(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
