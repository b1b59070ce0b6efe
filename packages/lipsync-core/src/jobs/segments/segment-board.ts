import { randomUUID } from 'node:crypto';
import type { Clock } from '../../contract/ports.ts';
import type { ArtifactStore } from '../../storage/artifact-store.ts';
import type { Json, StateStore } from '../../storage/state-store.ts';
import {
  frameCountOf,
  isOwnedLater,
  keysOf,
  parseSegmentList,
  segmentKeyOf,
  sharedFiles,
  sharedKeyOf,
  type FinishedSegment,
  type SegmentLease,
  type SegmentList,
  type SegmentRole,
  type StoredSegment,
} from './segment-list.ts';

/** A worker that does not renew its lease for so long counts as dead. */
const leaseMs = 20_000;

export interface SegmentBoardOptions {
  readonly state: Pick<StateStore, 'transact'>;
  readonly artifacts: Pick<ArtifactStore, 'delete'>;
  readonly clock: Clock;
}

/** A list as a run knows it that has owned it. */
type OwnedList = Pick<SegmentList, 'jobId' | 'id' | 'run'>;

/** A segment that a worker may render now. */
export interface LeasedSegment {
  readonly list: SegmentList;
  readonly index: number;
  readonly segment: StoredSegment;
  readonly leaseId: string;
  /** Artifact key for its file. */
  readonly key: string;
}

/**
 * The lists of segments of all jobs, in documents that the workers share. Every call throws `resource_exhausted` when
 * the state store is unavailable.
 */
export class SegmentBoard {
  readonly #options: SegmentBoardOptions;

  constructor(options: SegmentBoardOptions) {
    this.#options = options;
  }

  read(jobId: string): Promise<SegmentList | undefined> {
    return this.#change(jobId, (list) => ({ result: list }));
  }

  /** Makes a run the owner of the list of its job, and returns the list. A later run stays its owner. */
  takeOver(jobId: string, run = 0): Promise<SegmentList | undefined> {
    return this.#change(jobId, (stored) => {
      if (!stored || isOwnedLater(stored, run) || stored.run === run) return { result: stored };
      const taken = { ...stored, run };
      return { result: taken, next: taken };
    });
  }

  /**
   * Stores the list of a job without files or leases and returns it. Returns the stored list if another run has
   * stored one with the same binding, or if a later run owns the stored list, whatever its binding.
   */
  create(list: Omit<SegmentList, 'id' | 'keys'>): Promise<SegmentList> {
    const names = { jobId: list.jobId, id: randomUUID().slice(0, 8) };
    return this.#change(list.jobId, (stored) => {
      if (stored && isOwnedLater(stored, list.run)) return { result: stored };
      if (stored?.binding === list.binding && stored.segments.length > 0) {
        const taken = { ...stored, run: list.run ?? 0 };
        return { result: taken, next: taken };
      }
      // The files of a list that another process is removing stay named.
      const keys = [...(stored?.keys ?? []), ...sharedFiles.map((file) => sharedKeyOf(names, file))];
      const created = { ...list, ...names, keys };
      return { result: created, next: created };
    });
  }

  /**
   * Leases the longest segment that no living worker has; undefined when there is none, or the list is another one or,
   * for a helper, paused. A lease of the owner ends the pause.
   */
  lease({ jobId, id }: Pick<SegmentList, 'jobId' | 'id'>, role: SegmentRole): Promise<LeasedSegment | undefined> {
    const { clock } = this.#options;
    const leaseId = randomUUID().slice(0, 8);
    return this.#change<LeasedSegment | undefined>(jobId, (stored) => {
      const nowMs = clock.nowMs();
      if (stored?.id !== id || (stored.isPaused && role === 'helper')) return { result: undefined };
      const index = findLongestFree(stored.segments, nowMs);
      const free = stored.segments[index];
      if (!free) return { result: undefined };
      const segment = { ...free, lease: { id: leaseId, untilMs: nowMs + leaseMs, fraction: 0 } };
      const key = segmentKeyOf(stored, leaseId);
      const segments = stored.segments.with(index, segment);
      const list = { ...stored, segments, keys: [...stored.keys, key], isPaused: false };
      return { result: { list, index, segment, leaseId, key }, next: list };
    });
  }

  /** Extends a lease. Returns the list; undefined when the lease was lost. */
  renew(leased: LeasedSegment, fraction: number): Promise<SegmentList | undefined> {
    const untilMs = this.#options.clock.nowMs() + leaseMs;
    return this.#changeLeased(leased, (segment, lease) => ({ ...segment, lease: { ...lease, untilMs, fraction } }));
  }

  /** Records the file of a segment. Returns the list; undefined when the lease was lost. */
  finish(leased: LeasedSegment, made: Omit<FinishedSegment, 'key' | 'leaseId'>): Promise<SegmentList | undefined> {
    const finished = { ...made, key: leased.key, leaseId: leased.leaseId };
    return this.#changeLeased(leased, (segment) => ({ ...segment, lease: null, finished }));
  }

  /** Records that the work of some leases has been charged, unless a later run owns the list. */
  async clearWork(list: OwnedList, leaseIds: ReadonlySet<string>): Promise<void> {
    await this.#changeOwned(list, (stored) => withoutWork(stored, leaseIds));
  }

  /** As `clearWork`, after a failed attempt: no other worker begins a segment before the next one. */
  async pause(list: OwnedList, leaseIds: ReadonlySet<string>): Promise<void> {
    await this.#changeOwned(list, (stored) => ({ ...withoutWork(stored, leaseIds), isPaused: true }));
  }

  /** Returns a segment that its worker could not finish. */
  async release(leased: LeasedSegment): Promise<void> {
    await this.#changeLeased(leased, (segment) => ({ ...segment, lease: null }));
  }

  /**
   * Removes the list of a job and all of its files. When a run is given, a list that a later run owns is left alone.
   * Workers that render its segments stop.
   */
  async remove(jobId: string, { run = Infinity }: { readonly run?: number | undefined } = {}): Promise<void> {
    const { artifacts, state } = this.#options;
    const key = documentKeyOf(jobId);
    // Leases end first, so that no worker adds a file, and the document is removed last, so that a killed process
    // leaves no file without a name.
    const document = await state.transact([key], (documents) => {
      const stored = documents.get(key);
      const list = parseSegmentList(stored);
      if (list && isOwnedLater(list, run)) return { result: undefined };
      return { result: stored, ...(list && { writes: new Map([[key, toJson({ ...list, segments: [] })]]) }) };
    });
    if (document === undefined) return;
    await Promise.all(keysOf(document).map((name) => artifacts.delete(name)));
    const id = parseSegmentList(document)?.id;
    await state.transact([key], (documents) => {
      const isReplaced = parseSegmentList(documents.get(key))?.id !== id;
      return { result: undefined, ...(!isReplaced && { writes: new Map([[key, null]]) }) };
    });
  }

  async #changeOwned({ jobId, id, run }: OwnedList, change: (stored: SegmentList) => SegmentList): Promise<void> {
    await this.#change(jobId, (stored) =>
      stored?.id === id && !isOwnedLater(stored, run)
        ? { result: undefined, next: change(stored) }
        : { result: undefined },
    );
  }

  #changeLeased(
    { list: { jobId, id }, index, leaseId }: LeasedSegment,
    change: (segment: StoredSegment, lease: SegmentLease) => StoredSegment,
  ): Promise<SegmentList | undefined> {
    return this.#change<SegmentList | undefined>(jobId, (stored) => {
      const segment = stored?.id === id ? stored.segments[index] : undefined;
      if (!stored || segment?.lease?.id !== leaseId) return { result: undefined };
      const list = { ...stored, segments: stored.segments.with(index, change(segment, segment.lease)) };
      return { result: list, next: list };
    });
  }

  #change<Result>(
    jobId: string,
    decide: (stored: SegmentList | undefined) => { readonly result: Result; readonly next?: SegmentList },
  ): Promise<Result> {
    const key = documentKeyOf(jobId);
    return this.#options.state.transact<Result>([key], (documents) => {
      const { result, next } = decide(parseSegmentList(documents.get(key)));
      return next === undefined ? { result } : { result, writes: new Map([[key, toJson(next)]]) };
    });
  }
}

function documentKeyOf(jobId: string): string {
  return `segments/${jobId}`;
}

function toJson(list: SegmentList): Json {
  // `as`: a list is plain data.
  return list as unknown as Json;
}

function withoutWork(list: SegmentList, leaseIds: ReadonlySet<string>): SegmentList {
  const segments = list.segments.map((segment) =>
    segment.finished && leaseIds.has(segment.finished.leaseId)
      ? { ...segment, finished: { ...segment.finished, workMs: 0 } }
      : segment,
  );
  return { ...list, segments };
}

/** Index of the longest segment that is neither finished nor leased; −1 without one. */
function findLongestFree(segments: readonly StoredSegment[], nowMs: number): number {
  let longest = -1;
  for (const [index, segment] of segments.entries()) {
    if (segment.finished || (segment.lease && segment.lease.untilMs > nowMs)) continue;
    const other = segments[longest];
    if (!other || frameCountOf(segment) > frameCountOf(other)) longest = index;
  }
  return longest;
}
