import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoCode } from '../errors/system-error.ts';
import { partSuffix } from './durable-files.ts';
import type { LocalArtifactStoreOptions } from './local-artifact-store.ts';

/**
 * Removes files that a killed process left half-written in the folders of a local artifact store: those ending in
 * `.part` that nobody has written to for `olderThanMs`. Returns how many it removed. Safe beside running writers as
 * long as the age is longer than any of them pauses.
 */
export async function sweepAbandonedParts(
  { inputsDir, outputsDir }: LocalArtifactStoreOptions,
  { olderThanMs, nowMs }: { readonly olderThanMs: number; readonly nowMs: number },
): Promise<number> {
  const jobDirs = (await list(outputsDir))
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(outputsDir, entry.name));
  let removed = 0;
  for (const dir of [inputsDir, ...jobDirs]) {
    const parts = (await list(dir)).filter((entry) => entry.isFile() && entry.name.endsWith(partSuffix));
    for (const part of parts) {
      if (await removeWhenOld(join(dir, part.name), nowMs - olderThanMs)) removed += 1;
    }
  }
  return removed;
}

async function list(dir: string) {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function removeWhenOld(path: string, changedBeforeMs: number): Promise<boolean> {
  try {
    if ((await stat(path)).mtimeMs > changedBeforeMs) return false;
    await rm(path);
    return true;
  } catch (error) {
    // Its writer finished, or another sweep was quicker.
    if (errnoCode(error) === 'ENOENT') return false;
    throw error;
  }
}
