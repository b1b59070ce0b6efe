import { failStore, LipsyncError, type ArtifactStore, type JobRecord, type JobStore } from '@lipsync/core/host';
import { outputKeyOf } from './job-keys.ts';

export interface JobOutputsOptions {
  readonly artifacts: Pick<ArtifactStore, 'delete' | 'publish' | 'stat'>;
  readonly store: Pick<JobStore, 'get'>;
}

/** Outputs of jobs in the artifact store. */
export class JobOutputs {
  readonly #options: JobOutputsOptions;

  constructor(options: JobOutputsOptions) {
    this.#options = options;
  }

  /**
   * Publishes a take and returns its artifact key. A run that was paused may do so after another run has ended the job
   * and the job was erased: what it has stored is deleted again. Throws `not_found` in that case, the reason of an
   * aborted signal, and a `StoreFailure` if the job cannot be read: the output is in place then, so that the next run of
   * the job completes it.
   */
  async publish(takePath: string, { id }: Pick<JobRecord, 'id'>, signal?: AbortSignal): Promise<string> {
    const { artifacts, store } = this.#options;
    const { key } = await artifacts.publish(takePath, outputKeyOf(id), signal);
    if (await store.get(id).catch(failStore)) return key;
    await artifacts.delete(key);
    throw new LipsyncError('not_found', `There is no job ${id}.`);
  }

  /** Returns the artifact key of an output that is in place. */
  async find({ id }: Pick<JobRecord, 'id'>): Promise<string | undefined> {
    return (await this.#options.artifacts.stat(outputKeyOf(id)))?.key;
  }
}
