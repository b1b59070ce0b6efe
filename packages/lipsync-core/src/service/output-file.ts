import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LipsyncError } from '../errors/index.ts';
import { errnoCode } from '../errors/system-error.ts';
import { copySynced, partSuffix, placeDurably, renameDurably } from '../storage/durable-files.ts';

/** A place for a finished video: nothing is seen under its name until all of it is there. */
export interface OutputFile {
  /**
   * Copies a finished file there. Throws `output_exists` when something appeared there meanwhile and may not be
   * replaced, `request_invalid` when the place cannot be written any more.
   */
  publish(finishedPath: string): Promise<void>;
  /** Gives the name free again; call it in the end, whatever happened. */
  release(): Promise<void>;
}

/** Claims output paths, so that two jobs of one program cannot write the same file. */
export interface OutputFiles {
  /**
   * Makes the folders of `path` and a part file beside it, so that a place that cannot be written is known before any
   * work. Throws `output_exists` when the file is there already (unless it may be replaced) or another job is writing
   * it, `request_invalid` when no file can be written there.
   */
  claim(path: string, options: { readonly overwrite: boolean; readonly jobId: string }): Promise<OutputFile>;
  /** Removes the part file that a program left which was killed while it worked on the job. Nothing there is fine. */
  sweep(left: { readonly outputPath: string; readonly jobId: string }): Promise<void>;
}

export function createOutputFiles(): OutputFiles {
  const claimed = new Set<string>();
  return {
    async claim(path, { overwrite, jobId }) {
      if (claimed.has(path))
        throw new LipsyncError('output_exists', 'Another job is writing this output; choose another path.');
      claimed.add(path);
      const partPath = partPathOf(path, jobId);
      try {
        // Left by a program that was killed while it worked on this very job, maybe after it had published it.
        await rm(partPath, { force: true });
        await refuseWhatIsThere(path, overwrite);
        await mkdir(dirname(path), { recursive: true });
        await (await open(partPath, 'wx')).close();
      } catch (error) {
        claimed.delete(path);
        throw toOutputError(error, path);
      }
      return {
        async publish(finishedPath) {
          try {
            // The work folder may be on another disk; only a rename or link beside the target is atomic.
            await copySynced(finishedPath, partPath);
            await (overwrite ? renameDurably(partPath, path) : placeDurably(partPath, path));
          } catch (error) {
            throw errnoCode(error) === 'EEXIST' ? outputExists() : toOutputError(error, path);
          }
        },
        async release() {
          claimed.delete(path);
          await rm(partPath, { force: true });
        },
      };
    },
    async sweep({ outputPath, jobId }) {
      try {
        await rm(partPathOf(outputPath, jobId), { force: true });
      } catch {
        // Its folder is gone, or another's by now: nothing to mend.
      }
    },
  };
}

/** Named after the job alone: a name made of the output's could be longer than file systems allow. */
function partPathOf(outputPath: string, jobId: string): string {
  return join(dirname(outputPath), `.${jobId}${partSuffix}`);
}

async function refuseWhatIsThere(path: string, overwrite: boolean): Promise<void> {
  const there = await lstat(path).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!there) return;
  if (there.isDirectory()) throw new LipsyncError('request_invalid', isFolder(path));
  if (!overwrite) throw outputExists();
  // A link is replaced itself, not what it leads to; a device or pipe is nobody's earlier output.
  if (!there.isFile() && !there.isSymbolicLink())
    throw new LipsyncError(
      'request_invalid',
      `The output "${path}" is not a file that can be replaced. Choose another path.`,
    );
}

const isFolder = (path: string): string => `The output "${path}" is a folder. Name a file in it.`;
const isForbidden = (path: string): string =>
  `The output "${path}" may not be written there. Choose another path, or see to its permissions.`;

/** What the caller did wrong, by the system's error code. */
const refusals: ReadonlyMap<string, (path: string) => string> = new Map([
  ['EISDIR', isFolder],
  ['ENOTDIR', (path) => `The output "${path}" lies below something that is a file, not a folder. Choose another path.`],
  ['EACCES', isForbidden],
  ['EPERM', isForbidden],
  ['EROFS', isForbidden],
  ['ENOENT', (path) => `The folder of the output "${path}" is not there, or not any more. Choose another path.`],
  [
    'ENAMETOOLONG',
    (path) => `The name of the output is too long for the file system: "${path}". Choose a shorter one.`,
  ],
  ['ELOOP', (path) => `The output "${path}" leads through links that go round in a circle. Choose another path.`],
  [
    'ERR_INVALID_ARG_VALUE',
    () => 'The path of the output holds a character that no path can have. Choose another path.',
  ],
]);

function toOutputError(error: unknown, path: string): unknown {
  if (LipsyncError.isInstance(error)) return error;
  const refusal = refusals.get(errnoCode(error) ?? '');
  return refusal ? new LipsyncError('request_invalid', refusal(path), { cause: error }) : error;
}

function outputExists(): LipsyncError {
  return new LipsyncError(
    'output_exists',
    'The output exists already; choose another path, or allow it to be overwritten.',
  );
}
