import { createWriteStream, type Dirent } from 'node:fs';
import { chmod, open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError, toLipsyncError, toStorageError, type StorageFolder } from '../errors/index.ts';
import { errnoCode, exhaustionAdvice } from '../errors/system-error.ts';
import {
  parseArtifactKey,
  type ArtifactStore,
  type ArtifactStoreHealth,
  type ByteRange,
  type PutInputOptions,
  type StoredArtifact,
} from './artifact-store.ts';
import { isAbandonedPart, linkOrCopy, moveDurably, partPathFor, partSuffix } from './durable-files.ts';
import { createFolder, workStorage } from '../processes/workspace.ts';
import { ContentHash, type FileHash } from './file-hash.ts';
import { checkFolder } from './folder-check.ts';
import { storeIdOf } from './store-id.ts';

export interface LocalArtifactStoreOptions {
  /** Folder of `inputs/…`; created when missing. */
  readonly inputsDir: string;
  /** Folder of `outputs/…`; created when missing. */
  readonly outputsDir: string;
}

/** Stored files are read-only, because `materialize` gives out hard links to the stored file itself. */
const readPermissions = 0o444;

/** Opens the artifact store that all processes of an installation share. */
export function createArtifactStore(folders: { readonly dataDir: string; readonly outputDir: string }): ArtifactStore {
  return new LocalArtifactStore({ inputsDir: join(folders.dataDir, 'inputs'), outputsDir: folders.outputDir });
}

/**
 * Stores artifacts as local files: `inputs/<sha256>` in one folder, `outputs/<job>/<name>` in the other. Several
 * processes may share the folders. The names of partial files end in `.part`.
 */
export class LocalArtifactStore implements ArtifactStore {
  readonly #inputs: StorageFolder;
  readonly #outputs: StorageFolder;

  constructor({ inputsDir, outputsDir }: LocalArtifactStoreOptions) {
    this.#inputs = { path: inputsDir, alternative: 'set LIPSYNC_DATA_DIR to another folder' };
    this.#outputs = { path: outputsDir, alternative: 'set LIPSYNC_OUTPUT_DIR to another folder' };
  }

  async id(): Promise<string> {
    try {
      return await storeIdOf(this.#inputs.path);
    } catch (error) {
      throw toStorageError(error, this.#inputs);
    }
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

  async publish(sourcePath: string, key: string): Promise<StoredArtifact> {
    const finalPath = this.#pathOf(key);
    if (parseArtifactKey(key).kind !== 'output') {
      throw new LipsyncError('internal', 'An input cannot be published under an output name. Report this error.');
    }
    const { size } = await stat(sourcePath);
    try {
      await createFolder(dirname(finalPath));
      await moveDurably(sourcePath, finalPath);
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
    const { size } = await handle.stat();
    if (range && !isInside(range, size)) {
      await handle.close();
      throw new LipsyncError('request_invalid', `The range is not within the ${size} bytes of the file.`, {
        details: { sizeBytes: size },
      });
    }
    return handle.createReadStream(range ? { start: range.start, end: range.end } : {});
  }

  async materialize(key: string, targetPath: string): Promise<void> {
    const path = this.#pathOf(key);
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

  async delete(key: string): Promise<void> {
    const path = this.#pathOf(key);
    await rm(path, { force: true });
    if (parseArtifactKey(key).kind === 'input') return;
    await rmdir(dirname(path)).catch((error: unknown) => {
      // The folder still holds other outputs, or another process has deleted it.
      if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoCode(error) ?? '')) throw error;
    });
  }

  async sweep({ olderThanMs, nowMs }: { readonly olderThanMs: number; readonly nowMs: number }): Promise<number> {
    const jobDirs = (await listEntries(this.#outputs.path))
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(this.#outputs.path, entry.name));
    let deleted = 0;
    // Test writes of `health` are directly in the output folder.
    for (const dir of [this.#inputs.path, this.#outputs.path, ...jobDirs]) {
      const parts = (await listEntries(dir)).filter((entry) => entry.isFile() && isPart(entry.name));
      for (const part of parts) {
        const changedBeforeMs = (await isAbandonedPart(part.name)) ? Infinity : nowMs - olderThanMs;
        if (await deleteIfOlder(join(dir, part.name), changedBeforeMs)) deleted += 1;
      }
    }
    return deleted;
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

async function writeHashed(
  content: Readable,
  path: string,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal | undefined },
): Promise<FileHash> {
  const hash = new ContentHash();
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      if (hash.sizeBytes > maxBytes) done(tooLarge(maxBytes));
      else done(null, chunk);
    },
  });
  await pipeline(content, meter, createWriteStream(path, { flags: 'wx' }), signal ? { signal } : {});
  return hash.finish();
}

function tooLarge(maxBytes: number): LipsyncError {
  return new LipsyncError(
    'payload_too_large',
    `The file exceeds the limit of ${maxBytes} bytes. Send a smaller file.`,
    { details: { maxBytes } },
  );
}

function isInside({ start, end }: ByteRange, sizeBytes: number): boolean {
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end < sizeBytes;
}

async function listEntries(dir: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function deleteIfOlder(path: string, changedBeforeMs: number): Promise<boolean> {
  try {
    if ((await stat(path)).mtimeMs > changedBeforeMs) return false;
    await rm(path);
    return true;
  } catch (error) {
    // The writer has renamed the file, or another sweep has deleted it.
    if (errnoCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Partial files of writers, and nothing that a person has put there. */
function isPart(name: string): boolean {
  return name.startsWith('.') && name.endsWith(partSuffix);
}

function toReadError(error: unknown): unknown {
  if (errnoCode(error) === 'ENOENT')
    return new LipsyncError('not_found', 'The file is no longer stored. Run the job again.', { cause: error });
  return exhaustionAdvice(error) === undefined ? error : toLipsyncError(error);
}
