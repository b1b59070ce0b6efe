import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { createFolder } from '../processes/workspace.ts';
import { partPathFor, placeDurably, syncFile } from './durable-files.ts';

const fileName = '.store-id';
/** In the folder of the inputs: the id of the output folder. */
const outputsFileName = '.outputs-id';

/**
 * Returns the id of the store in `folder`, the same for every process and machine that shares the folder. The first call
 * creates it. Throws the error of the file system when there is no id and none can be written.
 */
export async function storeIdOf(folder: string): Promise<string> {
  const path = join(folder, fileName);
  const existing = await readId(path);
  if (existing !== undefined) return existing;
  await createFolder(folder);
  const partPath = partPathFor(path);
  try {
    await writeFile(partPath, `${randomUUID()}\n`, { flag: 'wx' });
    await syncFile(partPath);
    await placeDurably(partPath, path);
  } catch (error) {
    // Another process was first: its id counts.
    if (errnoCode(error) !== 'EEXIST') throw error;
  } finally {
    await rm(partPath, { force: true }).catch(() => undefined);
  }
  const created = await readId(path);
  if (created === undefined) throw new Error(`${path} disappeared.`);
  return created;
}

/**
 * Makes `outputsDir` the output folder of the store in `inputsDir`, in place of an earlier one. Throws the error of the
 * file system.
 */
export async function registerOutputs(inputsDir: string, outputsDir: string): Promise<void> {
  const id = await storeIdOf(outputsDir);
  const path = join(inputsDir, outputsFileName);
  if ((await readId(path)) === id) return;
  await createFolder(inputsDir);
  const partPath = partPathFor(path);
  try {
    await writeFile(partPath, `${id}\n`, { flag: 'wx' });
    await syncFile(partPath);
    await rename(partPath, path);
  } finally {
    await rm(partPath, { force: true }).catch(() => undefined);
  }
}

/** Whether another folder is registered as the output folder of the store in `inputsDir`. */
export async function hasOtherOutputs(inputsDir: string, outputsDir: string): Promise<boolean> {
  const registered = await readId(join(inputsDir, outputsFileName));
  return registered !== undefined && registered !== (await readId(join(outputsDir, fileName)));
}

async function readId(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  // Another process creates it on a file system without hard links.
  if (text === '') throw new Error(`${path} is empty. Delete it if it stays so.`);
  if (text === undefined || /^[0-9a-f-]{36}\n$/.test(text)) return text?.trim();
  // Without the key in Redis, which has the id of this store, the next id would be refused.
  throw new LipsyncError(
    'request_invalid',
    `LIPSYNC_DATA_DIR, LIPSYNC_OUTPUT_DIR: ${path} is damaged. Delete it and the key lipsync:store in Redis, then start again.`,
  );
}
