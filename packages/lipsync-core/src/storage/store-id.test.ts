import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { storeIdOf } from './store-id.ts';

async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'store-id-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'inputs');
}

it('Processes that open a new folder at once get one id, which later ones keep.', async () => {
  const folder = await emptyFolder();
  const ids = await Promise.all(Array.from({ length: 20 }, () => storeIdOf(folder)));
  expect(new Set(ids).size).toBe(1);
  expect(await storeIdOf(folder)).toBe(ids[0]);
  expect(await readdir(folder)).toEqual(['.store-id']);
});

it('Two folders have different ids.', async () => {
  expect(await storeIdOf(await emptyFolder())).not.toBe(await storeIdOf(await emptyFolder()));
});

it('A damaged id is refused with its path, and an empty one, which may be in the making, is tried again.', async () => {
  const folder = await emptyFolder();
  await storeIdOf(folder);
  const path = join(folder, '.store-id');
  await writeFile(path, 'not an id');
  await expect(storeIdOf(folder)).rejects.toMatchObject({
    code: 'request_invalid',
    message: expect.stringContaining(path),
  });
  await writeFile(path, '');
  await expect(storeIdOf(folder)).rejects.toThrow('is empty');
});
