import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, open, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { errnoCode, exhaustionAdvice } from '../errors/system-error.ts';
import { inputKey, parseArtifactKey } from './artifact-keys.ts';
import type { ArtifactStore, StoredArtifact } from './artifact-store.ts';
import { linkOrCopy, moveDurably, partPathFor, renameDurably, syncFile } from './durable-files.ts';

export interface LocalArtifactStoreOptions {
  /** Folder of `inputs/…`; made when missing. */
  readonly inputsDir: string;
  /** Folder of `outputs/…`; made when missing. */
  readonly outputsDir: string;
}

/** Content is read-only on disk because hard links hand the very same file to whoever materializes it. */
const storedFileMode = 0o444;

/**
 * Keeps artifacts as files of this machine: `inputs/<sha256>` in one folder, `outputs/<job>/<name>` in the other.
 * Several processes may use the same folders. Files still being written end in `.part`; `sweepAbandonedParts` removes
 * those of killed processes.
 */
export function createLocalArtifactStore(options: LocalArtifactStoreOptions): ArtifactStore {
  const pathOf = (key: string): string => localPath(options, key);
  return {
    putInput: (content, limits) => putInput(options.inputsDir, content, limits),
    publish: (sourcePath, key) => publish(sourcePath, key, pathOf(key)),
    stat: (key) => statArtifact(key, pathOf(key)),
    read: (key, range) => readArtifact(pathOf(key), range),
    materialize: (key, targetPath) => materialize(pathOf(key), targetPath),
    delete: (key) => deleteArtifact(key, pathOf(key)),
  };
}

function localPath({ inputsDir, outputsDir }: LocalArtifactStoreOptions, key: string): string {
  const location = parseArtifactKey(key);
  return location.kind === 'input' ? join(inputsDir, location.digest) : join(outputsDir, location.jobId, location.name);
}

async function putInput(
  inputsDir: string,
  content: Readable,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal?: AbortSignal },
): Promise<StoredArtifact> {
  await mkdir(inputsDir, { recursive: true });
  const partPath = partPathFor(join(inputsDir, 'input'));
  try {
    const { digest, sizeBytes } = await writeHashed(content, partPath, maxBytes, signal);
    await syncFile(partPath);
    await chmod(partPath, storedFileMode);
    const key = inputKey(digest);
    await renameDurably(partPath, join(inputsDir, digest));
    return { key, sizeBytes };
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : toStorageError(error);
  } finally {
    await rm(partPath, { force: true });
  }
}

async function writeHashed(
  content: Readable,
  path: string,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > maxBytes) return done(tooLarge(maxBytes));
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(content, meter, createWriteStream(path, { flags: 'wx' }), signal ? { signal } : {});
  return { digest: hash.digest('hex'), sizeBytes };
}

function tooLarge(maxBytes: number): LipsyncError {
  return new LipsyncError(
    'payload_too_large',
    `The file is larger than the ${maxBytes} bytes allowed. Send a smaller one.`,
    {
      details: { maxBytes },
    },
  );
}

async function publish(sourcePath: string, key: string, finalPath: string): Promise<StoredArtifact> {
  if (parseArtifactKey(key).kind !== 'output') {
    throw new LipsyncError('internal', 'Inputs are stored by their content, not published under a name. Report this.');
  }
  try {
    await mkdir(dirname(finalPath), { recursive: true });
    const { size } = await stat(sourcePath);
    await moveDurably(sourcePath, finalPath);
    return { key, sizeBytes: size };
  } catch (error) {
    throw toStorageError(error);
  }
}

async function statArtifact(key: string, path: string): Promise<StoredArtifact | undefined> {
  try {
    const { size } = await stat(path);
    return { key, sizeBytes: size };
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function readArtifact(path: string, range?: { readonly start: number; readonly end: number }): Promise<Readable> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw toReadError(error);
  });
  const { size } = await handle.stat();
  if (range && !isInside(range, size)) {
    await handle.close();
    throw new LipsyncError('request_invalid', `The range lies outside the ${size} bytes of the file.`, {
      details: { sizeBytes: size },
    });
  }
  return handle.createReadStream(range ? { start: range.start, end: range.end } : {});
}

function isInside({ start, end }: { readonly start: number; readonly end: number }, sizeBytes: number): boolean {
  return Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end < sizeBytes;
}

async function materialize(path: string, targetPath: string): Promise<void> {
  // Asked first: a missing target folder must not read as a missing artifact.
  await stat(path).catch((error: unknown) => {
    throw toReadError(error);
  });
  try {
    await linkOrCopy(path, targetPath);
  } catch (error) {
    throw toStorageError(error);
  }
}

async function deleteArtifact(key: string, path: string): Promise<void> {
  await rm(path, { force: true });
  if (parseArtifactKey(key).kind === 'input') return;
  await rmdir(dirname(path)).catch((error: unknown) => {
    // The folder goes with its last file; others in it, or another process removing it first, are both fine.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoCode(error) ?? '')) throw error;
  });
}

function toReadError(error: unknown): unknown {
  if (errnoCode(error) !== 'ENOENT') return toStorageError(error);
  return new LipsyncError('not_found', 'The file is no longer stored. Run the job again.', { cause: error });
}

/** Errors of the content's source stay what they are. */
function toStorageError(error: unknown): unknown {
  return exhaustionAdvice(error) === undefined ? error : toLipsyncError(error);
}
