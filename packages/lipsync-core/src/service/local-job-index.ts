import { createHash } from 'node:crypto';
import type { LipsyncOptions } from '../contract/index.ts';
import type { Clock } from '../contract/ports.ts';
import { UnreadableRecordError } from '../errors/index.ts';
import { hasKeptTake, requireKind, type JobRecord } from '../jobs/job-record.ts';
import { toKeyedOptions } from '../jobs/record-migrations.ts';
import type { StateJobStore } from '../jobs/state-job-store.ts';
import { isGone, thisProcess, type ProcessOwner } from '../processes/process-owner.ts';
import { listAllDocuments, type Json, type StateStore } from '../storage/state-store.ts';
import type { LocalInputs } from './local-inputs.ts';
import { sweepPartFile } from './output-file.ts';

/** An in-process job under the digest of its work, with the lease of the process that runs it. */
export interface LocalJobEntry {
  readonly workDigest: string;
  readonly jobId: string;
  /** Absolute path. A partial file may exist in the same folder. */
  readonly outputPath: string;
  /**
   * Process that runs the job; null if it was released. A job is claimed only if it was released or its owner is dead.
   */
  readonly owner: ProcessOwner | null;
  /** When a request last claimed the job. */
  readonly claimedAtMs: number;
}

export interface LocalJob {
  readonly entry: LocalJobEntry;
  readonly record: JobRecord<'lipsync'>;
}

export interface LocalJobIndexOptions {
  readonly state: StateStore;
  readonly store: StateJobStore;
  readonly clock: Clock;
  /** How long an operation may run after the last stored change of its job. */
  readonly operationMs: number;
}

const entryPrefix = 'local-jobs/';

/** Vendors recognize the idempotency key of a request for a day. */
const resumableMs = 24 * 3_600_000;
/** A finished take that could not be written to its output is kept longer. */
const keptTakeMs = 30 * resumableMs;

/**
 * Finds the unfinished job for the same work, so that a request after a crash resumes it instead of paying for a second
 * operation. Throws `resource_exhausted` when the state store is unavailable.
 */
export class LocalJobIndex {
  readonly #options: LocalJobIndexOptions;

  constructor(options: LocalJobIndexOptions) {
    this.#options = options;
  }

  /**
   * Claims the resumable job for this work, or else creates `fresh`. This process then owns the job. Deletes the partial
   * file that the previous owner left in another folder.
   */
  async claim(workDigest: string, fresh: JobRecord<'lipsync'>, outputPath: string): Promise<LocalJob> {
    const { store, clock } = this.#options;
    for await (const seen of this.#entries(`${entryPrefix}${workDigest}/`)) {
      const found = await this.#read(seen.jobId);
      if (!found || !(await this.#isResumable(seen, found))) continue;
      const claimed = await this.#claimEntry(seen);
      if (!claimed) continue;
      // The entry keeps the previous path until its partial file is gone: after a kill in between, a sweep finds it.
      if (claimed.outputPath !== outputPath) await sweepPartFile(claimed);
      const entry = { ...claimed, outputPath, claimedAtMs: clock.nowMs() };
      await this.#write(entry);
      const { spec, deadlineAtMs, batch } = fresh;
      const resumed = await store.append(entry.jobId, { type: 'resumed', spec, deadlineAtMs, batch });
      return { entry, record: requireKind(resumed, 'lipsync') };
    }
    const entry = { workDigest, jobId: fresh.id, outputPath, owner: await thisProcess(), claimedAtMs: clock.nowMs() };
    await this.#write(entry);
    await store.create(fresh);
    return { entry, record: fresh };
  }

  /** Ends the lease: a job that can be resumed stays for the next request, any other is deleted. */
  async release(entry: LocalJobEntry): Promise<void> {
    const record = await this.#read(entry.jobId);
    const isKept = record === null || (record && record.status !== 'completed' && isWorthResuming(record));
    await (isKept ? this.#write({ ...entry, owner: null }) : this.#delete(entry));
  }

  /**
   * Passes each job that no request will resume to `end` and deletes it afterwards: jobs of dead processes without a
   * resumable attempt, and jobs that were not resumed within a day, or within a month if they have a finished take.
   */
  async endAbandoned(end: (job: LocalJob) => Promise<void>): Promise<void> {
    for await (const seen of this.#entries(entryPrefix)) {
      const record = await this.#read(seen.jobId);
      if (record === null || (record && (await this.#isResumable(seen, record)))) continue;
      // A batch whose process was killed takes the result from the record.
      if (record?.status === 'completed' && (await this.#unchangedMs(seen)) < resumableMs) continue;
      const entry = await this.#claimEntry(seen);
      if (!entry) continue;
      if (record) await end({ entry, record });
      await this.#delete(entry);
    }
  }

  /** Returns whether no operation of the job can be running: its process is dead and its last change is long ago. */
  async isOver(jobId: string): Promise<boolean> {
    for await (const entry of this.#entries(entryPrefix)) {
      if (entry.jobId !== jobId) continue;
      return (await this.#unchangedMs(entry)) >= this.#options.operationMs && (await isClaimable(entry));
    }
    return true;
  }

  async #isResumable(entry: LocalJobEntry, record: JobRecord<'lipsync'>): Promise<boolean> {
    const limitMs = hasKeptTake(record) ? keptTakeMs : resumableMs;
    return isWorthResuming(record) && (await this.#unchangedMs(entry)) < limitMs;
  }

  /** Returns the time since the last stored change. The start of an attempt is no bound: its operation may start late. */
  async #unchangedMs({ jobId, claimedAtMs }: LocalJobEntry): Promise<number> {
    const changedAtMs = (await this.#options.store.getChangedAtMs(jobId)) ?? 0;
    return this.#options.clock.nowMs() - Math.max(claimedAtMs, changedAtMs);
  }

  /** Undefined for a record that is not stored, null for one that this version cannot read: that one is left alone. */
  async #read(jobId: string): Promise<JobRecord<'lipsync'> | undefined | null> {
    try {
      const record = await this.#options.store.get(jobId);
      return record && requireKind(record, 'lipsync');
    } catch (error) {
      if (error instanceof UnreadableRecordError) return null;
      throw error;
    }
  }

  /** Makes this process the owner, unless the owner lives or another process has claimed the job since `seen`. */
  async #claimEntry(seen: LocalJobEntry): Promise<LocalJobEntry | undefined> {
    if (!(await isClaimable(seen))) return undefined;
    const key = localJobKey(seen);
    const owner = await thisProcess();
    return this.#options.state.transact([key], (documents) => {
      const current = toEntry(documents.get(key));
      if (!current || JSON.stringify(current.owner) !== JSON.stringify(seen.owner)) return { result: undefined };
      const entry = { ...current, owner };
      return { result: entry, writes: new Map([[key, toJson(entry)]]) };
    });
  }

  #write(entry: LocalJobEntry): Promise<void> {
    const writes = new Map([[localJobKey(entry), toJson(entry)]]);
    return this.#options.state.transact([...writes.keys()], () => ({ result: undefined, writes }));
  }

  /** The record first: an entry without a record is deleted by `endAbandoned`, a record without an entry is not. */
  async #delete(entry: LocalJobEntry): Promise<void> {
    const key = localJobKey(entry);
    await this.#options.store.delete(entry.jobId);
    await this.#options.state.transact([key], () => ({ result: undefined, writes: new Map([[key, null]]) }));
  }

  async *#entries(prefix: string): AsyncGenerator<LocalJobEntry> {
    for await (const { document } of listAllDocuments(this.#options.state, prefix)) {
      const entry = toEntry(document);
      if (entry) yield entry;
    }
  }
}

/**
 * Returns the digest of a piece of work: the same inputs and the same options. Stored jobs are found by it, also those
 * of earlier versions, so that it must not change for options that stay the same.
 */
export function workDigestOf({ video, audio }: LocalInputs, options: LipsyncOptions): string {
  const sorted = JSON.stringify(
    Object.entries(toKeyedOptions(options)).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
  return createHash('sha256').update(`${video.digest} ${audio.digest} ${sorted}`).digest('hex');
}

/** Returns the key under which the index stores an entry. */
export function localJobKey({ workDigest, jobId }: Pick<LocalJobEntry, 'workDigest' | 'jobId'>): string {
  return `${entryPrefix}${workDigest}/${jobId}`;
}

/** An operation may run for the last attempt, its take can be fetched, or a finished take is kept. */
function isWorthResuming(record: JobRecord<'lipsync'>): boolean {
  const outcome = record.attempts.at(-1)?.outcome;
  return hasKeptTake(record) || outcome === 'running' || outcome === 'succeeded';
}

async function isClaimable({ owner }: LocalJobEntry): Promise<boolean> {
  return owner === null || isGone(owner);
}

// `as` in both: only this module and the migration write these documents, and entries are JSON throughout.
function toJson(entry: LocalJobEntry): Json {
  return entry as unknown as Json;
}

function toEntry(document: Json | undefined): LocalJobEntry | undefined {
  return document as unknown as LocalJobEntry | undefined;
}
