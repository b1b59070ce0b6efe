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

/** Claims, publishes and releases an output. */
async function write(path: string, overwrite = false): Promise<void> {
  const output = await outputs.claim(path, { overwrite, jobId: 'job_1' });
  try {
    await output.publish(take);
  } finally {
    await output.release();
  }
}

describe('Names of other formats', () => {
  it.each(['out.webm', 'OUT.MOV'])('The output path "%s" is refused, because outputs are MP4 files.', async (name) => {
    const refused = { code: 'request_invalid', message: expect.stringContaining('ends in .mp4') };
    await expect(outputs.claim(join(folder, name), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject(
      refused,
    );
    await expect(outputs.requireFree(join(folder, name), true)).rejects.toMatchObject(refused);
    expect(await namesIn(folder)).toEqual(['take']);
    await write(join(folder, 'out.final'));
  });
});

describe('Partial files', () => {
  it('A partial file of a killed process is replaced when the same job is resumed.', async () => {
    await writeFile(join(folder, '.job_1.part'), 'half a take');
    await write(join(folder, 'out.mp4'));
    expect(await readFile(join(folder, 'out.mp4'), 'utf8')).toBe('the take');
    expect(await namesIn(folder)).toEqual(['out.mp4', 'take']);
  });
});

describe('Partial files after a kill', () => {
  it('A partial file beside a published output is removed when the same job is resumed.', async () => {
    await writeFile(join(folder, 'out.mp4'), 'the take');
    await writeFile(join(folder, '.job_1.part'), 'the take');
    await expect(outputs.claim(join(folder, 'out.mp4'), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'output_exists',
    });
    expect(await namesIn(folder)).toEqual(['out.mp4', 'take']);
  });

  it('The sweep removes the partial file of its job and nothing else.', async () => {
    const others = ['.job_2.part', 'job_1.part', '.job_1.part.mp4'];
    for (const name of ['.job_1.part', ...others]) await writeFile(join(folder, name), 'half a take');
    await sweepPartFile({ outputPath: join(folder, 'out.mp4'), jobId: 'job_1' });
    await sweepPartFile({ outputPath: join(folder, 'nowhere', 'out.mp4'), jobId: 'job_1' });
    expect(await namesIn(folder)).toEqual([...others, 'take'].toSorted());
  });
});

describe('Outputs that are refused before any work', () => {
  it.each([false, true])('A folder is refused (overwrite %s).', async (overwrite) => {
    await mkdir(join(folder, 'out'));
    await expect(outputs.claim(join(folder, 'out'), { overwrite, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('is a folder'),
    });
  });

  it.each(['take/x.mp4', 'take/deeper/x.mp4'])('A path below a file is refused: %s.', async (path) => {
    await expect(outputs.claim(join(folder, path), { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('is a file, not a folder'),
    });
  });

  it('A name that is too long for the file system is refused.', async () => {
    await expect(
      outputs.claim(join(folder, `${'x'.repeat(300)}.mp4`), { overwrite: false, jobId: 'job_1' }),
    ).rejects.toMatchObject({ code: 'request_invalid', message: expect.stringContaining('too long') });
  });

  it('A folder without write permission is refused.', async () => {
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

  it('A folder that is a broken or circular link is refused.', async () => {
    await symlink(join(folder, 'nowhere', 'deeper'), join(folder, 'dangling'));
    await symlink(join(folder, 'circle'), join(folder, 'circle'));
    for (const name of ['dangling', 'circle']) {
      await expect(
        outputs.claim(join(folder, name, 'x.mp4'), { overwrite: false, jobId: 'job_1' }),
      ).rejects.toMatchObject({ code: 'request_invalid' });
    }
  });

  it('A path with a character that is not allowed in paths is refused.', async () => {
    await expect(outputs.claim(`${folder}/a\0b`, { overwrite: false, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
    });
  });

  it('A device is refused even with overwrite.', async () => {
    await expect(outputs.claim('/dev/null', { overwrite: true, jobId: 'job_1' })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('not a file'),
    });
  });

  it('A path that another job writes is refused, with or without overwrite.', async () => {
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

describe('Outputs that are written', () => {
  it.each([234, 251])('An output with a name of %i characters and an extension is written.', async (length) => {
    const name = `${'x'.repeat(length)}.mp4`;
    await write(join(folder, name));
    expect(await namesIn(folder)).toEqual(['take', name]);
  });

  it('An output replaces a link and leaves its target unchanged.', async () => {
    await writeFile(join(folder, 'other.mp4'), 'mine');
    await symlink(join(folder, 'other.mp4'), join(folder, 'x.mp4'));
    await write(join(folder, 'x.mp4'), true);
    expect(await readFile(join(folder, 'x.mp4'), 'utf8')).toBe('the take');
    expect(await readFile(join(folder, 'other.mp4'), 'utf8')).toBe('mine');
  });

  it('An output is a file with a single hard link.', async () => {
    await write(join(folder, 'x.mp4'));
    expect((await stat(join(folder, 'x.mp4'))).nlink).toBe(1);
  });
});

describe('Outputs that cannot be published', () => {
  it('A file that appeared at the path fails with output_exists and stays.', async () => {
    const path = join(folder, 'x.mp4');
    const output = await outputs.claim(path, { overwrite: false, jobId: 'job_1' });
    await writeFile(path, 'mine');
    await expect(output.publish(take)).rejects.toMatchObject({ code: 'output_exists' });
    await output.release();
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect(await namesIn(folder)).toEqual(['take', 'x.mp4']);
  });

  it('A folder that appeared at the path fails with request_invalid.', async () => {
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

  it('A folder that was removed fails with request_invalid.', async () => {
    const output = await outputs.claim(join(folder, 'out', 'x.mp4'), { overwrite: false, jobId: 'job_1' });
    await rm(join(folder, 'out'), { recursive: true });
    await expect(output.publish(take)).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('does not exist'),
    });
    await output.release();
  });
});

/** Runs work as an unprivileged user if the tests run as root, for which permissions have no effect. */
async function asOrdinaryUser(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
