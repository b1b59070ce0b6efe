import { chmod, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoCode } from '../../errors/system-error.ts';
import { createFolder } from '../../processes/workspace.ts';
import { linkOrCopy, partPathFor } from '../durable-files.ts';
import type { FileHash } from '../file-hash.ts';
import { listEntries } from '../partial-files.ts';

const readOnly = 0o444;

/**
 * Inputs of the object store as files of this machine, named by the SHA-256 of their content, for all processes that
 * share the folder. The least recently used are deleted above `maxBytes`. Files in use are hard links, so that a
 * deletion does not affect them.
 */
export class InputCache {
  readonly folder: string;
  readonly #maxBytes: number;

  constructor({ folder, maxBytes }: { readonly folder: string; readonly maxBytes: number }) {
    this.folder = folder;
    this.#maxBytes = maxBytes;
  }

  /** Makes a kept input available at `targetPath`; returns whether it was kept. */
  async provide({ sha256, sizeBytes }: FileHash, targetPath: string): Promise<boolean> {
    const path = join(this.folder, sha256);
    try {
      // A power loss may have cut it.
      if ((await stat(path)).size !== sizeBytes) return false;
      await linkOrCopy(path, targetPath);
      const now = new Date();
      await utimes(path, now, now);
      return true;
    } catch (error) {
      // Another process may delete it at any time.
      if (errnoCode(error) === 'ENOENT' && (await isGone(path))) return false;
      throw error;
    }
  }

  /** Writes an input with `write`, which throws unless the content is right, keeps it, and makes it available. */
  async add(sha256: string, targetPath: string, write: (partPath: string) => Promise<void>): Promise<void> {
    await createFolder(this.folder);
    const path = join(this.folder, sha256);
    const partPath = partPathFor(path);
    try {
      await write(partPath);
      await chmod(partPath, (await stat(partPath)).mode & readOnly);
      await linkOrCopy(partPath, targetPath);
      await rename(partPath, path);
    } finally {
      await rm(partPath, { force: true });
    }
    await this.#evict();
  }

  /** SHA-256 of the kept inputs. */
  async list(): Promise<readonly string[]> {
    return (await listEntries(this.folder)).map(({ name }) => name).filter((name) => /^[0-9a-f]{64}$/.test(name));
  }

  async delete(sha256: string): Promise<void> {
    await rm(join(this.folder, sha256), { force: true });
  }

  async #evict(): Promise<void> {
    const found = await Promise.all(
      (await this.list()).map(async (sha256) => {
        const facts = await stat(join(this.folder, sha256)).catch(() => undefined);
        return facts ? [{ sha256, sizeBytes: facts.size, usedAtMs: facts.mtimeMs }] : [];
      }),
    );
    let keptBytes = 0;
    for (const { sha256, sizeBytes } of found.flat().sort((first, second) => second.usedAtMs - first.usedAtMs)) {
      keptBytes += sizeBytes;
      if (keptBytes > this.#maxBytes) await this.delete(sha256);
    }
  }
}

async function isGone(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) === undefined;
}
