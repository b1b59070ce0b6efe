import { chmod, open, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { abortError, toLipsyncError, toStorageError, type StorageFolder } from '../errors/index.ts';
import { errnoCode, exhaustionAdvice } from '../errors/system-error.ts';
import {
  parseArtifactKey,
  requireOutputKey,
  type ArtifactStore,
  type ArtifactStoreHealth,
  type ByteRange,
  type PutInputOptions,
  type StoredArtifact,
} from './artifact-store.ts';
import { linkOrCopy, moveDurably, partPathFor } from './durable-files.ts';
import { createFolder, workStorage } from '../processes/workspace.ts';
import { checkFolder } from './folder-check.ts';
import { listEntries, sweepFolder, sweepPartialFiles, type SweepAge } from './partial-files.ts';
import { notStored, requireInside, writeHashed } from './stored-content.ts';
import { hasOtherOutputs, registerOutputs, storeIdOf } from './store-id.ts';

export interface LocalArtifactStoreOptions {
  /** Folder of `inputs/…`; created when missing. */
  readonly inputsDir: string;
  /** Folder of `outputs/…`; created when missing. */
  readonly outputsDir: string;
}

/** Folders of jobs that one sweep reads, beside the folders of inputs and outputs. */
const maxSweptFolders = 1_000;
/** Far longer than a copy pauses between two writes. */
const partMaxAgeMs = 30 * 60_000;

/** Stored files are read-only, because `materialize` gives out hard links to the stored file itself. */
const readPermissions = 0o444;

/**
 * Stores artifacts as local files: `inputs/<sha256>` in one folder, `outputs/<job>/<name>` in the other. Several
 * processes may share the folders. The names of partial files end in `.part`; they are directly in the two folders, so
 * that a sweep reads no folder of a job.
 */
export class LocalArtifactStore implements ArtifactStore {
  readonly #inputs: StorageFolder;
  readonly #outputs: StorageFolder;
  /** Folders of jobs where an earlier version may have left partial files; undefined until the first sweep. */
  #unswept: string[] | undefined;

  constructor({ inputsDir, outputsDir }: LocalArtifactStoreOptions) {
    this.#inputs = { path: inputsDir, alternative: 'set LIPSYNC_DATA_DIR to another folder' };
    this.#outputs = { path: outputsDir, alternative: 'set LIPSYNC_OUTPUT_DIR to another folder' };
  }

  async id(): Promise<string> {
    try {
      const id = await storeIdOf(this.#inputs.path);
      return (await hasOtherOutputs(this.#inputs.path, this.#outputs.path)) ? `${id}, other outputs` : id;
    } catch (error) {
      throw toStorageError(error, this.#inputs);
    }
  }

  async register(): Promise<string> {
    try {
      await registerOutputs(this.#inputs.path, this.#outputs.path);
    } catch (error) {
      throw toStorageError(error, this.#outputs);
    }
    return this.id();
  }

  async putInput(
    content: Readable,
    { maxBytes, signal, partPath = partPathFor(join(this.#inputs.path, 'input')) }: PutInputOptions,
  ): Promise<StoredArtifact> {
    try {
      await createFolder(this.#inputs.path);
      const { sha256, sizeBytes } = await writeHashed(content, partPath, { maxBytes, signal });
      await chmod(partPath, (await stat(partPath)).mode & readPermissions);
      await moveDurably(partPath, join(this.#inputs.path, sha256));
      return { key: `inputs/${sha256}`, sizeBytes, sha256 };
    } catch (error) {
      throw signal?.aborted ? abortError(signal) : toStorageError(error, this.#inputs);
    } finally {
      await rm(partPath, { force: true }).catch(() => undefined);
    }
  }

  async publish(sourcePath: string, key: string, signal?: AbortSignal): Promise<StoredArtifact> {
    requireOutputKey(key);
    if (signal?.aborted) throw abortError(signal);
    const finalPath = this.#pathOf(key);
    const { size } = await stat(sourcePath);
    const partPath = partPathFor(join(this.#outputs.path, basename(finalPath)));
    const move = async (): Promise<void> => {
      await createFolder(dirname(finalPath));
      await moveDurably(sourcePath, finalPath, partPath);
    };
    try {
      // The deletion of the last other output of the job removes the folder.
      await move().catch((error: unknown) => (errnoCode(error) === 'ENOENT' ? move() : Promise.reject(error)));
    } catch (error) {
      throw toStorageError(error, this.#outputs);
    }
    return { key, sizeBytes: size, sha256: null };
  }

  async stat(key: string): Promise<StoredArtifact | undefined> {
    const location = parseArtifactKey(key);
    try {
      const { size } = await stat(this.#pathOf(key));
      return { key, sizeBytes: size, sha256: location.kind === 'input' ? location.sha256 : null };
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async read(key: string, range?: ByteRange): Promise<Readable> {
    const handle = await open(this.#pathOf(key), 'r').catch((error: unknown) => {
      throw toReadError(error);
    });
    try {
      requireInside(range, (await handle.stat()).size);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle.createReadStream(range ? { start: range.start, end: range.end } : {});
  }

  async materialize(key: string, targetPath: string, signal?: AbortSignal): Promise<void> {
    const path = this.#pathOf(key);
    if (signal?.aborted) throw abortError(signal);
    // Checked first, so that a missing target folder is not reported as a missing artifact.
    await stat(path).catch((error: unknown) => {
      throw toReadError(error);
    });
    try {
      await linkOrCopy(path, targetPath);
    } catch (error) {
      throw toStorageError(error, workStorage(dirname(targetPath)));
    }
  }

  async signedUrl(): Promise<undefined> {
    return undefined;
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw abortError(signal);
    const path = this.#pathOf(key);
    const isInput = parseArtifactKey(key).kind === 'input';
    const folder = dirname(path);
    try {
      await rm(path, { force: true });
      if (isInput || (await removeIfEmpty(folder))) return;
      // An earlier version has left partial files in the folders of jobs.
      if ((await sweepFolder(folder, { olderThanMs: partMaxAgeMs, nowMs: Date.now() })).deleted > 0)
        await removeIfEmpty(folder);
    } catch (error) {
      throw toStorageError(error, isInput ? this.#inputs : this.#outputs);
    }
  }

  async sweep(age: SweepAge): Promise<number> {
    const deleted = await sweepPartialFiles([this.#inputs.path, this.#outputs.path], age);
    return deleted + (await this.#sweepJobFolders(age));
  }

  /**
   * Reads each folder once in a process, and again while it has partial files. One that cannot be read is left out, and
   * its error is thrown at the end.
   */
  async #sweepJobFolders(age: SweepAge): Promise<number> {
    this.#unswept ??= await this.#listJobFolders();
    const failures: unknown[] = [];
    const kept: string[] = [];
    let deleted = 0;
    for (let count = 0; count < maxSweptFolders; count += 1) {
      const folder = this.#unswept.pop();
      if (folder === undefined) break;
      const swept = await sweepFolder(folder, age).catch((error: unknown) => void failures.push(error));
      deleted += swept?.deleted ?? 0;
      if (swept && swept.kept > 0) kept.push(folder);
    }
    this.#unswept.unshift(...kept);
    if (failures.length > 0) throw failures[0];
    return deleted;
  }

  async #listJobFolders(): Promise<string[]> {
    const entries = await listEntries(this.#outputs.path);
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(this.#outputs.path, name));
  }

  async health(): Promise<ArtifactStoreHealth> {
    const [inputs, outputs] = await Promise.all([checkFolder(this.#inputs), checkFolder(this.#outputs)]);
    return { inputs, outputs };
  }

  #pathOf(key: string): string {
    const location = parseArtifactKey(key);
    return location.kind === 'input'
      ? join(this.#inputs.path, location.sha256)
      : join(this.#outputs.path, location.jobId, location.name);
  }
}

/** Returns whether the folder is gone. */
async function removeIfEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    const code = errnoCode(error) ?? '';
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(code)) throw error;
    return code === 'ENOENT';
  }
}

function toReadError(error: unknown): unknown {
  if (errnoCode(error) === 'ENOENT') return notStored(error);
  return exhaustionAdvice(error) === undefined ? error : toLipsyncError(error);
}
