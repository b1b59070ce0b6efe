import type { ProcessOwner } from '../../src/processes/process-owner.ts';
import type { StateStore } from '../../src/storage/state-store.ts';

/** Digest that earlier versions stored for the inputs of `resumable-program.ts` and default options. */
export const programWorkDigest = '72a76cd34f7d07ccd02dbb94ddeb6283da4e0f82bbb68b4ed343d28d4040e3a5';

interface StoredUnfinishedJob {
  readonly jobId: string;
  readonly outputPath: string;
  /** Null for a released job. */
  readonly owner: ProcessOwner | null;
  readonly atMs?: number;
  readonly workDigest?: string;
}

export function unfinishedJobKey(job: Pick<StoredUnfinishedJob, 'jobId' | 'workDigest'>): string {
  return `unfinished/${job.workDigest ?? programWorkDigest}/${job.jobId}`;
}

/** Stores an unfinished job as the version before in-process jobs had records did. Its operation runs. */
export async function storeUnfinishedJob(state: StateStore, job: StoredUnfinishedJob): Promise<void> {
  const { jobId, outputPath, owner, atMs = Date.now() } = job;
  const document = {
    jobId,
    options: {
      method: 'auto',
      optimize: 'quality',
      heygenMode: 'speed',
      syncMode: 'loop',
      silenceMode: 'close',
      allowPreview: false,
      priority: 5,
      metadata: {},
    },
    plan: null,
    outputPath,
    attempts: [
      {
        provider: 'heygen',
        outcome: 'running',
        code: null,
        message: null,
        startedAtMs: atMs,
        endedAtMs: null,
        costMicros: null,
        operation: { id: `${jobId}-0`, state: {} },
        operationAtMs: atMs,
        troubles: 0,
        order: { idempotencyKey: `${jobId}-0`, state: {}, unansweredSinceMs: atMs },
      },
    ],
    owner: owner && { ...owner },
    savedAtMs: atMs,
  };
  const key = unfinishedJobKey(job);
  await state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));
}
