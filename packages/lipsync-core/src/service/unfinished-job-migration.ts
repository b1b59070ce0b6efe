import { decodeJobRecord } from '../jobs/record-codec.ts';
import type { StateJobStore } from '../jobs/state-job-store.ts';
import { isGone, type ProcessOwner } from '../processes/process-owner.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import { localJobKey, type LocalJobEntry } from './local-job-index.ts';

/** An unfinished in-process job as versions before job records in SQLite stored it. */
interface UnfinishedJob {
  readonly jobId: string;
  readonly options: Json;
  readonly plan: Json;
  readonly outputPath: string;
  readonly attempts: Json;
  readonly owner: ProcessOwner | null;
  readonly savedAtMs: number;
}

const prefix = 'unfinished/';
const pageSize = 100;

/**
 * Turns the unfinished jobs of earlier versions into job records and index entries. Jobs of living processes stay: an
 * earlier version still runs them.
 */
export async function migrateUnfinishedJobs(state: StateStore, store: StateJobStore): Promise<void> {
  for (const { key, document } of await state.list(prefix, { limit: pageSize })) {
    // `as`: only earlier versions of this service wrote these documents.
    const job = document as unknown as UnfinishedJob;
    if (job.owner !== null && !(await isGone(job.owner))) continue;
    if (!(await store.get(job.jobId))) await store.create(decodeJobRecord({ format: '3', text: toFormat3(job) }));
    const [workDigest = ''] = key.slice(prefix.length).split('/');
    const { jobId, outputPath, owner, savedAtMs } = job;
    await moveEntry(state, key, { workDigest, jobId, outputPath, owner, claimedAtMs: savedAtMs });
  }
}

function moveEntry(state: StateStore, key: string, entry: LocalJobEntry): Promise<void> {
  const entryKey = localJobKey(entry);
  // `as`: an entry is JSON throughout.
  const json = entry as unknown as Json;
  return state.transact([key, entryKey], (documents) => {
    if (documents.get(key) === undefined) return { result: undefined };
    return {
      result: undefined,
      writes: new Map([
        [key, null],
        [entryKey, json],
      ]),
    };
  });
}

/** Completes the job to a record of the job store of that time. The paths of the inputs come with the next request. */
function toFormat3({ jobId: id, options, plan, attempts, savedAtMs }: UnfinishedJob): string {
  const input = { kind: 'file', path: '' };
  return JSON.stringify({
    id,
    revision: 0,
    status: 'processing',
    stage: 'waiting',
    progress: 0,
    message: 'Interrupted.',
    options,
    video: input,
    audio: input,
    owner: null,
    runs: 1,
    crashes: 0,
    cancelRequested: false,
    parkedUntilMs: null,
    plan,
    outputMs: null,
    needs: null,
    attempts,
    warnings: [],
    result: null,
    error: null,
    createdAtMs: savedAtMs,
    startedAtMs: savedAtMs,
    completedAtMs: null,
    deadlineAtMs: null,
  });
}
