import {
  attemptEntry,
  batchItemId,
  candidateKeyOf,
  countRetries,
  isOfKind,
  isTerminal,
  LipsyncError,
  SegmentBoard,
  UnreadableRecordError,
  type LedgerPseudonyms,
  type VendorCopies,
  type FingerprintStore,
  listPages,
  webhookIdOf,
  type ArtifactStore,
  type JobRecord,
  type JobStore,
} from '@lipsync/core/host';
import { jobStatuses } from '@lipsync/core/contract';
import type { Redis } from 'ioredis';
import { rewriteDueKey } from './append-only-file.ts';
import type { Batches } from './batches.ts';
import { collectFailure, inChunks } from './collect-failures.ts';
import { guardRedis, scanSet } from './connection.ts';
import { beginErasureScript, countInputsScript, endErasureScript } from './erasure-scripts.ts';
import {
  allJobsKey,
  countedInputsKey,
  erasingJobsKey,
  indexMember,
  inputJobsPrefix,
  inputsNamedIn,
  jobKey,
  lastingIndexes,
  outcomesKey,
  outputKeyOf,
  statusKey,
  storedInputs,
  unfinishedJobsKey,
} from './job-keys.ts';
import { cancelJob, type CancelOptions } from './queued-jobs.ts';
import { listStoredJobs } from './stored-jobs.ts';
import { RedisStateStore } from './redis-state-store.ts';
import { UploadedInputs } from './uploaded-inputs.ts';

/** `pending`: the job is still running; `resumeAll` erases it once it has ended. */
export type ErasureState = 'erased' | 'pending';

export interface JobErasureOptions extends CancelOptions {
  /** Made by `createClientConnection`; the caller closes it. */
  readonly connection: Redis;
  readonly store: Pick<JobStore, 'append' | 'get' | 'list'>;
  readonly artifacts: Pick<ArtifactStore, 'delete' | 'stat'>;
  readonly batches: Pick<Batches, 'cancel'>;
  readonly ledger: Pick<LedgerPseudonyms, 'replaceInAttempts'>;
  readonly vendorCopies: Pick<VendorCopies, 'add'>;
  readonly fingerprints: Pick<FingerprintStore, 'delete' | 'move'>;
}

/** Takes the place of a job id while uploads without a job are deleted. */
const noJob = 'uploads';

/** No new job uses an input for this long after its deletion began. */
const inputMarkerMs = 30_000;
/** Deletions end after this time, long before the markers: a job that is accepted afterwards keeps its inputs. */
const deletionLimitMs = 15_000;

/**
 * Erases jobs: record, indexes, queue entries, idempotency entry, and files that no other job uses. The ledger keeps
 * its sums, with a pseudonym for the user, and pending settlements stay. The erasure is marked first and the record is
 * deleted last, so that each step may run twice and `resumeAll` finishes what a killed process began. Every call throws
 * `resource_exhausted` without Redis and `storage_unwritable` when a file cannot be deleted.
 */
export class JobErasure {
  readonly #options: JobErasureOptions;
  /** Segments that a killed worker has left. */
  readonly #segments: SegmentBoard;

  constructor(options: JobErasureOptions) {
    this.#options = options;
    this.#segments = new SegmentBoard({ ...options, state: new RedisStateStore(options) });
  }

  /**
   * Erases a job, or a batch with all of its jobs; one that has not ended is canceled first. The totals of a batch keep
   * the outcome of an erased job. Does nothing for a job that no longer exists.
   */
  async erase(jobId: string): Promise<ErasureState> {
    const { connection, store, producer } = this.#options;
    await guardRedis(() => connection.sadd(erasingJobsKey, jobId));
    const found = await store.get(jobId);
    if (!found) {
      await guardRedis(() => connection.srem(erasingJobsKey, jobId));
      return 'erased';
    }
    if (isOfKind(found, 'batch')) return this.#eraseBatch(found);
    const record = isTerminal(found.status) ? found : await cancelJob(this.#options, jobId);
    // The worker that runs the job ends it, with its operation and its costs.
    if (!isTerminal(record.status) || !(await producer.remove(jobId))) return 'pending';
    if (!(await this.#eraseDeliveries(record))) return 'pending';
    await this.#replaceUser(record);
    await this.#deleteVendorCopies(record);
    await this.#countInputs();
    await this.#segments.remove(record.id);
    await this.#deleteFiles(record.id, filesOf(record, 'all'));
    await this.#deleteFingerprint(record);
    await this.#deleteRecord(record);
    return 'erased';
  }

  /** Another job that shares the output keeps its fingerprint. */
  async #deleteFingerprint({ kind, id, result }: JobRecord): Promise<void> {
    if (kind !== 'lipsync') return;
    const { connection, fingerprints, store } = this.#options;
    const outputKey = result && 'outputKey' in result ? result.outputKey : outputKeyOf(id);
    const heir = await guardRedis(() => connection.srandmember(`${inputJobsPrefix}${outputKey}`));
    if (heir === null) return fingerprints.delete(id);
    await fingerprints.move(id, heir);
    // It may have been erased in the meantime.
    if (!(await store.get(heir))) await fingerprints.delete(heir);
  }

  /** Erases the messages about a job, which repeat its metadata. False while one is being sent. */
  async #eraseDeliveries(record: JobRecord): Promise<boolean> {
    if (record.kind === 'webhook') return true;
    const ids = Array.from({ length: countRetries(record) + 1 }, (_, retries) =>
      webhookIdOf({ jobId: record.id, retries }),
    );
    const all = [...ids, ...(await this.#listProgressMessages(record))];
    const states = await inChunks(all.length, (index) => this.erase(all[index] ?? ''));
    return !states.includes('pending');
  }

  /** Ids of the messages about the progress of a job. */
  async #listProgressMessages(record: JobRecord): Promise<readonly string[]> {
    if (record.kind !== 'lipsync' || !record.spec.options.webhookProgress) return [];
    const ids: string[] = [];
    for await (const page of listPages(this.#options.store, { kind: 'webhook', subjectId: record.id, limit: 100 }))
      ids.push(...page.records.map(({ id }) => id));
    return ids;
  }

  /**
   * Continues the erasures that have begun until the signal aborts; returns the number of erased jobs. One that fails does
   * not keep the others from being finished; its error is thrown at the end.
   */
  async resumeAll(signal: AbortSignal): Promise<number> {
    let erased = 0;
    const failures: unknown[] = [];
    for await (const id of scanSet(this.#options.connection, erasingJobsKey)) {
      if (signal.aborted) break;
      const state = await this.erase(id).catch((error: unknown) => collectFailure(failures, error));
      if (state === 'erased') erased += 1;
    }
    if (failures.length > 0) throw failures[0];
    return erased;
  }

  async #eraseBatch(found: JobRecord<'batch'>): Promise<ErasureState> {
    const { batches, connection } = this.#options;
    const failures: unknown[] = [];
    const cancel = () => batches.cancel(found.id).catch((error: unknown) => void failures.push(error));
    const batch = isTerminal(found.status) ? found : await cancel();
    if (batch && !isTerminal(batch.status)) return 'pending';
    // Also where an item cannot be canceled, which the erasure of each item repeats.
    const states = await inChunks(found.spec.itemCount, (item) => this.erase(batchItemId(found.id, item)));
    if (!batch) throw failures[0];
    if (states.includes('pending') || !(await this.#eraseDeliveries(batch))) return 'pending';
    await guardRedis(() => connection.del(outcomesKey(batch.id)));
    await this.#deleteRecord(batch);
    return 'erased';
  }

  /**
   * Deletes the stored inputs or the output of an ended job that no other job uses, and notes that in its record, which
   * stays. Does nothing for a job that has not ended.
   */
  async deleteFiles(jobId: string, files: 'inputs' | 'output', atMs: number): Promise<void> {
    const { store } = this.#options;
    const found = await store.get(jobId);
    if (!found || !isTerminal(found.status)) return;
    await this.#countInputs();
    // First: from now on, the job cannot be retried and its output is not reused.
    const record = await store.append(jobId, { type: 'files_deleted', files, atMs });
    if (!isTerminal(record.status)) return;
    await this.#segments.remove(jobId);
    await this.#deleteFiles(jobId, filesOf(record, files));
  }

  /**
   * Deletes uploads whose requests have created no job, because their process was killed. Returns their number. One that
   * fails does not stop the others; its error is thrown at the end.
   */
  async deleteUnusedUploads(signal: AbortSignal): Promise<number> {
    const { connection, clock, artifacts } = this.#options;
    const uploads = new UploadedInputs({ connection, clock });
    let deleted = 0;
    const failures: unknown[] = [];
    const erase = async (key: string): Promise<void> => {
      const isStored = (await artifacts.stat(key)) !== undefined;
      // A job may use an equal file.
      if ((await this.#deleteFiles(noJob, { names: [key], withShared: false })) > 0 && isStored) deleted += 1;
      await uploads.forget([key]);
    };
    while (!signal.aborted) {
      const keys = await uploads.listUnused(failures.length);
      if (keys.length === 0) break;
      await this.#countInputs();
      for (const key of keys) {
        if (signal.aborted) break;
        await erase(key).catch((error: unknown) => failures.push(error));
      }
    }
    if (failures.length > 0) throw failures[0];
    return deleted;
  }

  /** A worker deletes them, once the costs of the attempts are known. */
  async #deleteVendorCopies(record: JobRecord): Promise<void> {
    if (record.kind !== 'lipsync') return;
    for (const [index, { provider, operation, request = null }] of record.attempts.entries()) {
      if (!operation && !request) continue;
      await this.#options.vendorCopies.add({ jobId: record.id, index, provider, operation, request });
    }
  }

  async #replaceUser(record: JobRecord): Promise<void> {
    if (record.kind !== 'lipsync') return;
    const attempts = record.attempts.map(({ startedAtMs }, index) => attemptEntry(record.id, index, startedAtMs));
    await this.#options.ledger.replaceInAttempts(record.owner, attempts);
  }

  /** Returns the number of files that no other job uses. */
  async #deleteFiles(jobId: string, { names, withShared }: FilesOfJob): Promise<number> {
    const { connection, artifacts } = this.#options;
    const startedAtMs = performance.now();
    const limit = AbortSignal.timeout(deletionLimitMs);
    const unused = await guardRedis(
      // `as`: the script returns a list of artifact keys.
      async () =>
        (await connection.eval(
          beginErasureScript,
          1,
          jobKey(jobId),
          jobId,
          names.join(' '),
          inputMarkerMs,
          withShared ? '1' : '0',
        )) as string[],
    );
    const failures: unknown[] = [];
    for (const key of unused) {
      // The timer does not fire before a process that was paused continues.
      if (limit.aborted || performance.now() - startedAtMs > deletionLimitMs) throw failures[0] ?? tooSlow();
      await artifacts.delete(key, limit).catch((error: unknown) => failures.push(limit.aborted ? tooSlow() : error));
    }
    if (failures.length > 0) throw failures[0];
    return unused.length;
  }

  async #deleteRecord(record: JobRecord): Promise<void> {
    const { connection } = this.#options;
    const indexes = [
      allJobsKey(record.kind),
      unfinishedJobsKey,
      ...jobStatuses.map((status) => statusKey(record.kind, status)),
      ...lastingIndexes(record),
    ];
    const keys = [jobKey(record.id), erasingJobsKey, rewriteDueKey, ...indexes];
    // Also what was counted while the record was unreadable.
    const names = [outputKeyOf(record.id), ...inputsNamedIn(JSON.stringify(record))].join(' ');
    await guardRedis(() =>
      connection.eval(endErasureScript, keys.length, ...keys, record.id, indexMember(record), names),
    );
  }

  /** Counts, once per installation, the inputs of records that versions without a count have stored. */
  async #countInputs(): Promise<void> {
    const { connection } = this.#options;
    if (await guardRedis(() => connection.exists(countedInputsKey))) return;
    for await (const ids of listStoredJobs(connection)) {
      for (const id of ids) await this.#countInputsOf(id);
    }
    await guardRedis(() => connection.set(countedInputsKey, '1'));
  }

  async #countInputsOf(id: string): Promise<void> {
    const { connection } = this.#options;
    const names = await this.#inputsOf(id);
    if (names.length === 0) return;
    await guardRedis(() => connection.eval(countInputsScript, 2, jobKey(id), erasingJobsKey, id, names.join(' ')));
  }

  /** An unreadable record keeps every file that its JSON names. */
  async #inputsOf(id: string): Promise<readonly string[]> {
    const { connection, store } = this.#options;
    try {
      const record = await store.get(id);
      return record ? storedInputs(record) : [];
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
      return inputsNamedIn((await guardRedis(() => connection.hget(jobKey(id), 'record'))) ?? '');
    }
  }
}

interface FilesOfJob {
  /** Artifact keys. */
  readonly names: readonly string[];
  /** Whether an output that the job shares with another one is included. */
  readonly withShared: boolean;
}

function filesOf(record: JobRecord, files: 'inputs' | 'output' | 'all'): FilesOfJob {
  return {
    names: [
      ...(files === 'inputs' ? [] : [outputKeyOf(record.id), ...candidatesOf(record)]),
      ...(files === 'output' ? [] : storedInputs(record)),
    ],
    withShared: files !== 'inputs',
  };
}

/** Rejected takes that a killed process has left in the store. */
function candidatesOf(record: JobRecord): readonly string[] {
  return record.kind === 'lipsync' ? record.attempts.map((_, index) => candidateKeyOf(record.id, index)) : [];
}

function tooSlow(): LipsyncError {
  return new LipsyncError('resource_exhausted', 'Files could not be deleted in time. The deletion continues shortly.');
}
