import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { placeDurably, requireRoom, reserveAndRename } from './durable-files.ts';

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
  ['placeDurably', placeDurably],
  ['reserveAndRename', reserveAndRename],
])('%s', (_name, place) => {
  it('A file gets a free name.', async () => {
    await place(partPath, finalPath);
    expect(await readFile(finalPath, 'utf8')).toBe('the take');
  });

  it('A file never replaces an existing file.', async () => {
    await writeFile(finalPath, 'existing');
    await expect(place(partPath, finalPath)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(finalPath, 'utf8')).toBe('existing');
  });

  it('The name stays free when the partial file is missing.', async () => {
    await rm(partPath);
    await expect(place(partPath, finalPath)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(folder)).toEqual([]);
  });
});

it('A file that cannot fit into a folder is refused before anything is written.', async () => {
  await expect(requireRoom(folder, 2 ** 60)).rejects.toMatchObject({ code: 'ENOSPC' });
  await requireRoom(folder, 1);
});
