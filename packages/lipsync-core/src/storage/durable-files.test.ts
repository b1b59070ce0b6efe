import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { placeDurably, reserveAndRename } from './durable-files.ts';

let folder: string;
let partPath: string;
let finalPath: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-durable-'));
  [partPath, finalPath] = [join(folder, '.take.part'), join(folder, 'take.mp4')];
  await writeFile(partPath, 'the take');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe.each([
  ['with hard links', placeDurably],
  ['without hard links', reserveAndRename],
])('a name is taken %s', (_how, place) => {
  it('where it is free', async () => {
    await place(partPath, finalPath);
    expect(await readFile(finalPath, 'utf8')).toBe('the take');
  });

  it('never where something is there', async () => {
    await writeFile(finalPath, 'mine');
    await expect(place(partPath, finalPath)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(finalPath, 'utf8')).toBe('mine');
  });

  it('and left free where the part is gone', async () => {
    await rm(partPath);
    await expect(place(partPath, finalPath)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(folder)).toEqual([]);
  });
});
