import { lstat, open, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { LipsyncError, toStorageError, type StorageFolder } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { createFolder } from '../processes/workspace.ts';
import { copySynced, partSuffix, placeDurably, renameDurably, writeSynced } from '../storage/durable-files.ts';
import { testBytes } from '../storage/folder-check.ts';

/** Output path claimed for one job. The caller calls `release` when the job ends. */
export interface OutputFile {
  /**
   * Copies a finished file to the output path; readers never see a partial file. Throws `output_exists` if a file
   * appeared there and may not be replaced, `request_invalid` if the path can no longer be written, a `StorageError` if
   * the disk is full.
   */
  publish(finishedPath: string): Promise<void>;
  /** Like `publish`, for content that arrives in chunks. Errors of `chunks` are thrown as they are. */
  publishChunks(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Throws a `StorageError` while nothing can be written there. */
  checkStorage(): Promise<void>;
  /** Removes the partial file and frees the path. */
  release(): Promise<void>;
}

/** Extensions of other formats. An MP4 under such a name does not open in programs that trust it. */
const otherFormats = new Set('.avi .flv .gif .mkv .mov .mp3 .mpeg .mpg .ogv .ts .wav .webm .wmv'.split(' '));

/** Claims output paths, so that two jobs of this process never write the same file. */
export class OutputFiles {
  readonly #claimed = new Set<string>();

  /**
   * Throws as `claim` does if something is at `path` that may not be replaced. Creates nothing: it is for the time before
   * inputs are downloaded.
   */
  async requireFree(path: string, overwrite: boolean): Promise<void> {
    await refuseUnusable(path, overwrite).catch((error: unknown) => {
      throw toOutputError(error, path);
    });
  }

  /**
   * Creates the folders of `path` and a partial file beside it, so that a path that cannot be written is refused before
   * any work. Throws `output_exists` if the file exists and `overwrite` is false, or if another job writes it, and
   * `request_invalid` if no file can be written there.
   */
  async claim(
    path: string,
    { overwrite, jobId }: { readonly overwrite: boolean; readonly jobId: string },
  ): Promise<OutputFile> {
    if (this.#claimed.has(path))
      throw new LipsyncError('output_exists', `Another job is writing the output "${path}". Choose another path.`);
    this.#claimed.add(path);
    const partPath = partPathOf(path, jobId);
    try {
      await createPartFile(path, partPath, overwrite);
    } catch (error) {
      this.#claimed.delete(path);
      throw toOutputError(error, path);
    }
    return {
      checkStorage: () =>
        checkWritable(partPath).catch((error: unknown) => {
          throw toStorageError(error, folderOf(path));
        }),
      publish: (finishedPath) => publish({ partPath, path, overwrite, fill: () => copySynced(finishedPath, partPath) }),
      publishChunks: (chunks) => publish({ partPath, path, overwrite, fill: () => writeSynced(chunks, partPath) }),
      release: async () => {
        this.#claimed.delete(path);
        await sweepPartFile({ outputPath: path, jobId });
      },
    };
  }
}

/** Crash recovery: removes the partial file of a job whose process was killed, if there is one. */
export async function sweepPartFile(left: { readonly outputPath: string; readonly jobId: string }): Promise<void> {
  try {
    await rm(partPathOf(left.outputPath, left.jobId), { force: true });
  } catch {
    // The folder is gone or no longer writable; no partial file of ours can be removed there.
  }
}

async function createPartFile(path: string, partPath: string, overwrite: boolean): Promise<void> {
  // A process that was killed during this job may have left it.
  await rm(partPath, { force: true });
  await refuseUnusable(path, overwrite);
  await createFolder(dirname(path));
  await (await open(partPath, 'wx')).close();
}

async function publish(output: {
  readonly partPath: string;
  readonly path: string;
  readonly overwrite: boolean;
  readonly fill: () => Promise<void>;
}): Promise<void> {
  const { partPath, path, overwrite, fill } = output;
  try {
    // The content may come from another disk; only a rename or link within one folder is atomic.
    await fill();
    await (overwrite ? renameDurably(partPath, path) : placeDurably(partPath, path));
  } catch (error) {
    throw errnoCode(error) === 'EEXIST'
      ? outputExists(path)
      : toStorageError(toOutputError(error, path), folderOf(path));
  }
}

/** Fills the partial file for a moment, which also shows a full disk. */
async function checkWritable(partPath: string): Promise<void> {
  try {
    await writeFile(partPath, testBytes);
  } finally {
    await truncate(partPath);
  }
}

function folderOf(path: string): StorageFolder {
  return { path: dirname(path), alternative: 'choose another output path' };
}

/** The name depends on the job alone: one made from the output's name could exceed the limit of the file system. */
function partPathOf(outputPath: string, jobId: string): string {
  return join(dirname(outputPath), `.${jobId}${partSuffix}`);
}

async function refuseUnusable(path: string, overwrite: boolean): Promise<void> {
  if (otherFormats.has(extname(path).toLowerCase())) throw new LipsyncError('request_invalid', isOtherFormat(path));
  const stats = await lstat(path).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!stats) return;
  if (stats.isDirectory()) throw new LipsyncError('request_invalid', isFolder(path));
  if (!overwrite) throw outputExists(path);
  // A link is replaced, not its target. A device or pipe is never an earlier output.
  if (!stats.isFile() && !stats.isSymbolicLink())
    throw new LipsyncError(
      'request_invalid',
      `The output "${path}" is not a file that can be replaced. Choose another path.`,
    );
}

const isOtherFormat = (path: string): string =>
  `The output is an MP4 file, but "${path}" has the extension of another format. Give a path that ends in .mp4.`;
const isFolder = (path: string): string => `The output "${path}" is a folder. Give the path of a file.`;
const isForbidden = (path: string): string =>
  `No permission to write the output "${path}". Choose another path or change the permissions.`;

/** Messages for the caller by system error code. */
const refusals: ReadonlyMap<string, (path: string) => string> = new Map([
  ['EISDIR', isFolder],
  ['ENOTDIR', (path) => `A parent of the output "${path}" is a file, not a folder. Choose another path.`],
  ['EACCES', isForbidden],
  ['EPERM', isForbidden],
  ['EROFS', isForbidden],
  ['ENOENT', (path) => `The folder of the output "${path}" does not exist. Choose another path.`],
  [
    'ENAMETOOLONG',
    (path) => `The name of the output is too long for the file system: "${path}". Choose a shorter name.`,
  ],
  ['ELOOP', (path) => `The path of the output "${path}" contains a loop of symbolic links. Choose another path.`],
  [
    'ERR_INVALID_ARG_VALUE',
    () => 'The path of the output contains a character that is not allowed in paths. Choose another path.',
  ],
]);

function toOutputError(error: unknown, path: string): unknown {
  if (LipsyncError.isInstance(error)) return error;
  const refusal = refusals.get(errnoCode(error) ?? '');
  return refusal ? new LipsyncError('request_invalid', refusal(path), { cause: error }) : error;
}

function outputExists(path: string): LipsyncError {
  return new LipsyncError(
    'output_exists',
    `The output "${path}" exists already. Choose another path, or replace it with overwrite: true (--overwrite on the command line).`,
  );
}
