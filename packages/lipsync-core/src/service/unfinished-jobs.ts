import { createHash } from 'node:crypto';
import type { LipsyncOptions } from '../contract/index.ts';
import type { Attempt } from '../jobs/job-record.ts';
import { isGone, thisProcess, type ProcessOwner } from '../jobs/process-owner.ts';
import type { Json, StateStore } from '../state/state-store.ts';

/** A job as a program that was killed left it. */
export interface UnfinishedJob {
  readonly jobId: string;
  readonly attempts: readonly Attempt[];
}

/**
 * Jobs of programs that end with them, remembered by what goes in: whoever asks for the same again after a kill goes on
 * with what was begun, and pays for no operation twice.
 */
export interface UnfinishedJobs {
  /** The job that a process which is gone left unfinished under `key`, taken over; else `fresh`. */
  takeUp(key: string, fresh: UnfinishedJob): Promise<UnfinishedJob>;
  /** Remembers how far the job is. A job whose key another living process holds is not remembered. */
  save(key: string, job: UnfinishedJob): Promise<void>;
  forget(key: string, jobId: string): Promise<void>;
}

interface Memory extends UnfinishedJob {
  readonly owner: ProcessOwner;
}

export function createUnfinishedJobs({ state }: { readonly state: StateStore }): UnfinishedJobs {
  // `as`: only this file writes these documents.
  const read = (key: string): Promise<Memory | undefined> => state.transact([key], (documents) => ({ result: documents.get(key) as unknown as Memory | undefined }));
  const write = (key: string, jobId: string, memory: Memory | null): Promise<void> => state.transact([key], (documents) => {
    const holder = documents.get(key) as unknown as Memory | undefined;
    if (holder && holder.jobId !== jobId) return { result: undefined };
    // `as`: memories are JSON throughout, as stored records are.
    return { result: undefined, writes: new Map([[key, memory as unknown as Json]]) };
  });

  return {
    async takeUp(key, fresh) {
      const left = await read(key);
      if (!left || !(await isGone(left.owner))) return fresh;
      const { jobId, attempts } = left;
      await write(key, jobId, { jobId, attempts, owner: await thisProcess() });
      return { jobId, attempts };
    },
    save: async (key, { jobId, attempts }) => write(key, jobId, { jobId, attempts, owner: await thisProcess() }),
    forget: (key, jobId) => write(key, jobId, null),
  };
}

/** What a job's memory is kept under: the same inputs and the same wishes. */
export function unfinishedJobKey(inputs: { readonly clipDigest: string; readonly speechDigest: string }, options: LipsyncOptions): string {
  const wishes = JSON.stringify(Object.entries(options).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  return `unfinished/${createHash('sha256').update(`${inputs.clipDigest} ${inputs.speechDigest} ${wishes}`).digest('hex')}`;
}
