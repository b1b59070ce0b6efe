import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../contract/ports.ts';
import { LipsyncError, toStorageError } from '../errors/index.ts';
import { createFolder, workStorage } from '../processes/workspace.ts';
import { candidateKeyOf, type ArtifactStore } from '../storage/artifact-store.ts';

interface SharedTake {
  readonly jobId: string;
  readonly attemptIndex: number;
}

/** A file of this machine, and what ends its transfer. */
interface Transfer {
  readonly path: string;
  readonly signal: AbortSignal;
}

export interface SharedTakesOptions {
  /** Where the machines that run a job have different folders; without it, nothing is shared. */
  readonly artifacts: Pick<ArtifactStore, 'delete' | 'materialize' | 'publish'> | undefined;
  /** Folder of the files, for messages. */
  readonly folder: string;
  readonly logger: Logger;
}

/** Rejected takes of jobs that have not ended, in the artifact store, so that other machines find them. */
export class SharedTakes {
  readonly #options: SharedTakesOptions;

  constructor(options: SharedTakesOptions) {
    this.#options = options;
  }

  /** Moves a take to where other machines find it. */
  async share({ jobId, attemptIndex }: SharedTake, { path, signal }: Transfer): Promise<void> {
    // Without the file, an earlier run has already shared it.
    if (await exists(path)) await this.#options.artifacts?.publish(path, candidateKeyOf(jobId, attemptIndex), signal);
  }

  /** Best effort: what remains is deleted with the output of the job. */
  async remove({ jobId, attemptIndex }: SharedTake): Promise<void> {
    const { artifacts, logger } = this.#options;
    await artifacts?.delete(candidateKeyOf(jobId, attemptIndex)).catch((error: unknown) => {
      logger.warn({ jobId, error }, 'a rejected take remains in the object store');
    });
  }

  /** Copies a take to this machine; returns whether it is stored. Throws a `StorageError`, or the reason of the signal. */
  async fetch({ jobId, attemptIndex }: SharedTake, { path, signal }: Transfer): Promise<boolean> {
    const { artifacts, folder } = this.#options;
    if (!artifacts) return false;
    try {
      await createFolder(dirname(path));
      await artifacts.materialize(candidateKeyOf(jobId, attemptIndex), path, signal);
      return true;
    } catch (error) {
      if (LipsyncError.isInstance(error) && error.code === 'not_found') return false;
      throw toStorageError(error, workStorage(folder));
    }
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
