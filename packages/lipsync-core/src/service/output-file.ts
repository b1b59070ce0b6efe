import { copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LipsyncError } from '../errors/index.ts';

/** A place for a finished video: nothing is seen under its name until all of it is there. */
export interface OutputFile {
  /** Moves a finished file there. Throws `output_exists` when something appeared there meanwhile and may not be replaced. */
  publish(finishedPath: string): Promise<void>;
  /** Gives the name free again; call it in the end, whatever happened. */
  release(): Promise<void>;
}

/** Claims output paths, so that two jobs of one program cannot write the same file. */
export interface OutputFiles {
  /** Throws `output_exists` when the file is there already (unless it may be replaced) or another job is writing it. */
  claim(path: string, options: { readonly overwrite: boolean; readonly jobId: string }): Promise<OutputFile>;
}

export function createOutputFiles(): OutputFiles {
  const claimed = new Set<string>();
  return {
    async claim(path, { overwrite, jobId }) {
      if (claimed.has(path)) throw new LipsyncError('output_exists', 'Another job is writing this output; choose another path.');
      claimed.add(path);
      try {
        if (!overwrite && (await exists(path))) throw outputExists();
        await mkdir(dirname(path), { recursive: true });
      } catch (error) {
        claimed.delete(path);
        throw error;
      }
      const asidePath = `${path}.${jobId}.part`;
      return {
        async publish(finishedPath) {
          // The work folder may be on another disk; only a rename or link beside the target is atomic.
          await copyFile(finishedPath, asidePath);
          await (overwrite ? rename(asidePath, path) : linkExclusively(asidePath, path));
        },
        async release() {
          claimed.delete(path);
          await rm(asidePath, { force: true });
        },
      };
    },
  };
}

async function linkExclusively(from: string, to: string): Promise<void> {
  await link(from, to).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? outputExists() : error;
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}

function outputExists(): LipsyncError {
  return new LipsyncError('output_exists', 'The output exists already; choose another path, or allow it to be overwritten.');
}
