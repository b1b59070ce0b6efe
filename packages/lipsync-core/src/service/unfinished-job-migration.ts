import { decodeJobRecord } from '../jobs/record-codec.ts';
import { storedJobRecord } from '../jobs/state-job-store.ts';
import { isGone, type ProcessOwner } from '../processes/process-owner.ts';
import { listAllDocuments, type Json, type StateStore, type StoredDocument } from '../storage/state-store.ts';
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

const unfinishedPrefix = 'unfinished/';

/**
 * Turns the unfinished jobs of earlier versions into job records and index entries: those of one piece of work, or all.
 * Jobs of living processes stay: an earlier version still runs them. Any number of processes may migrate at once.
 */
export async function migrateUnfinishedJobs(state: StateStore, workDigest?: string): Promise<void> {
  const prefix = workDigest === undefined ? unfinishedPrefix : `${unfinishedPrefix}${workDigest}/`;
  for await (const { key, document } of listAllDocuments(state, prefix)) {
    const job = toUnfinishedJob(document);
    if (job.owner === null || (await isGone(job.owner))) await migrate(state, key, job);
  }
}

/** Returns whether an earlier version stored this job and it has not been migrated; a process may still run it. */
export async function hasUnmigratedJob(state: StateStore, jobId: string): Promise<boolean> {
  for await (const { key } of listAllDocuments(state, unfinishedPrefix)) if (key.endsWith(`/${jobId}`)) return true;
  return false;
}

/** One transaction, so that no process sees half of it. Does nothing if the job was migrated or claimed since `seen`. */
function migrate(state: StateStore, key: string, seen: UnfinishedJob): Promise<void> {
  const [workDigest = ''] = key.slice(unfinishedPrefix.length).split('/');
  const record = toStoredRecord(seen);
  const entryKey = localJobKey({ workDigest, jobId: seen.jobId });
  return state.transact([key, record.key, entryKey], (documents) => {
    const document = documents.get(key);
    if (document === undefined) return { result: undefined };
    const job = toUnfinishedJob(document);
    if (JSON.stringify(job.owner) !== JSON.stringify(seen.owner)) return { result: undefined };
    const { jobId, outputPath, owner, savedAtMs } = job;
    const entry: LocalJobEntry = { workDigest, jobId, outputPath, owner, claimedAtMs: savedAtMs };
    return {
      result: undefined,
      writes: new Map<string, Json | null>([
        [key, null],
        [record.key, toStoredRecord(job).document],
        // `as`: an entry is JSON throughout.
        [entryKey, entry as unknown as Json],
      ]),
    };
  });
}

function toUnfinishedJob(document: Json): UnfinishedJob {
  // `as`: only earlier versions of this service wrote these documents.
  return document as unknown as UnfinishedJob;
}

function toStoredRecord(job: UnfinishedJob): StoredDocument {
  return storedJobRecord(decodeJobRecord({ format: '3', text: toFormat3(job) }), job.savedAtMs);
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
