import { toError } from '../errors/carried-failure.ts';
import { abortError, LipsyncError } from '../errors/index.ts';
import type { MediaLimits } from '../media/index.ts';
import { watchChild } from '../processes/child-limits.ts';
import { resolveEntry } from '../processes/entry.ts';
import { describeExit, ManagedChild } from '../processes/managed-child.ts';
import { WorkSlots } from '../processes/work-slots.ts';
import { Candidates } from './candidates.ts';
import type { Similarity } from './compare.ts';
import type { FingerprintStore, StoredKey } from './fingerprint-store.ts';
import type { CompareRequest, LookupMessage } from './lookup-process.ts';
import { chooseOutput, judgeSimilarity, type FoundOutput, type MayAccess } from './verdict.ts';
import type { QueryKeys } from './video-query.ts';

export interface SearchResult {
  /** Null if the video has nothing in common with any output. */
  readonly found: FoundOutput | null;
  /** Number of outputs that were searched. */
  readonly searched: number;
  /** Why nothing, or not every output, was searched; null if every one was. */
  readonly reason: string | null;
}

/** The caller of a look-up. */
export interface CallerScope {
  readonly signal: AbortSignal;
  /** Among equal matches, an output that the caller may see is found: others are not named. */
  readonly mayAccess: MayAccess;
}

export interface FingerprintSearchOptions {
  readonly store: Pick<FingerprintStore, 'find' | 'listKeys'>;
  readonly limits: MediaLimits;
  /** Memory of the process that decodes, without ffmpeg; 1 GiB by default. */
  readonly maxMemoryBytes?: number;
  /** Time for decoding and comparing one file; three minutes by default. */
  readonly limitMs?: number;
}

interface StoredOutput {
  readonly key: StoredKey;
  readonly packed: string;
}

/** Decoding uses all cores. */
const maxRunning = 1;
/** Each waiting file takes room on the disk. */
const maxWaiting = 16;
const refusal = 'Too many files wait to be looked up. Try again later.';
/** Then the search ends with what it has found, and states how many outputs it has searched. */
const searchLimitMs = 30_000;

/**
 * Finds the output of this installation that a file shows. The file is untrusted: it is decoded in a process of its own
 * with limits of memory and time.
 */
export class FingerprintSearch {
  readonly #options: FingerprintSearchOptions;
  readonly #slots = new WorkSlots({ maxRunning, maxWaiting, refusal });

  constructor(options: FingerprintSearchOptions) {
    this.#options = options;
  }

  /**
   * A file that cannot be decoded and compared within the limits resembles no output, with the reason. Throws the abort
   * error, and `resource_exhausted` while too many files wait or the store is unavailable.
   */
  async find(path: string, caller: CallerScope): Promise<SearchResult> {
    for await (const page of this.#options.store.listKeys()) {
      if (page.length > 0) return this.#slots.run(() => this.#findApart(path, caller), caller.signal);
    }
    return { found: null, searched: 0, reason: null };
  }

  async #findApart(path: string, caller: CallerScope): Promise<SearchResult> {
    const { signal } = caller;
    const lookup = new LookupProcess(path, this.#options, signal);
    try {
      return await this.#search(lookup, caller);
    } catch (error) {
      return { found: null, searched: 0, reason: reasonOf(error, signal) };
    } finally {
      await lookup.end();
    }
  }

  async #search(lookup: LookupProcess, { signal, mayAccess }: CallerScope): Promise<SearchResult> {
    const { store } = this.#options;
    const candidates = new Candidates(await lookup.readKeys(), mayAccess);
    const untilMs = performance.now() + searchLimitMs;
    let searched = 0;
    let reason: string | null = null;
    for await (const page of store.listKeys()) {
      signal.throwIfAborted();
      candidates.add(page);
      searched += page.length;
      if (performance.now() > untilMs) {
        reason = `Only ${searched} outputs could be searched in ${searchLimitMs / 1000} s.`;
        break;
      }
    }
    const stored = await this.#readStored(candidates.list());
    if (stored.length === 0) return { found: null, searched, reason };
    try {
      const similarities = await lookup.compare(stored.map(({ packed }) => packed));
      const found = chooseOutput(toFound(stored, similarities), mayAccess);
      const unreadable = similarities.filter((similarity) => similarity === null).length;
      if (unreadable > 0) reason ??= `The fingerprints of ${unreadable} similar outputs are unreadable.`;
      return { found, searched, reason };
    } catch (error) {
      return { found: null, searched, reason: reasonOf(error, signal) };
    }
  }

  async #readStored(keys: readonly StoredKey[]): Promise<readonly StoredOutput[]> {
    const outputs: StoredOutput[] = [];
    for (const key of keys) {
      const packed = await this.#options.store.find(key.jobId);
      // It may have been erased in the meantime.
      if (packed !== undefined) outputs.push({ key, packed });
    }
    return outputs;
  }
}

function toFound(
  outputs: readonly StoredOutput[],
  similarities: readonly (Similarity | null)[],
): readonly FoundOutput[] {
  return outputs.flatMap(({ key: { jobId, owner } }, index): FoundOutput[] => {
    const similarity = similarities[index];
    const match = similarity && judgeSimilarity(similarity);
    return match ? [{ ...similarity, match, jobId, owner }] : [];
  });
}

/** Why a file could not be looked up. Throws the abort error, and every error that is no fault of the file. */
function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) throw abortError(signal);
  if (LipsyncError.isInstance(error) && (error.code === 'clip_unusable' || error.code === 'media_failed'))
    return error.message;
  throw error;
}

/** The process that decodes one video. Every call throws `media_failed` when it exceeds its limits or ends early. */
class LookupProcess {
  readonly #child: ManagedChild;
  readonly #stopWatching: () => void;
  readonly #keys = Promise.withResolvers<QueryKeys>();
  #isDecoded = false;
  readonly #compared = Promise.withResolvers<readonly (Similarity | null)[]>();

  constructor(
    path: string,
    { limits, limitMs = 3 * 60_000, maxMemoryBytes = 1024 ** 3 }: FingerprintSearchOptions,
    signal: AbortSignal,
  ) {
    const entry = resolveEntry('./lookup-process', import.meta.url);
    this.#child = ManagedChild.startModule({ entry, arguments: [path, JSON.stringify(limits)], signal });
    // Each may fail while nothing waits for it.
    for (const { promise } of [this.#keys, this.#compared]) promise.catch(() => undefined);
    this.#child.onMessage((message: LookupMessage) => this.#accept(message));
    this.#child.onExit((exit) => {
      const what = this.#isDecoded ? 'compared' : 'decoded';
      this.#fail(new LipsyncError('media_failed', `The file could not be ${what}: ${describeExit(exit)}.`));
    });
    this.#stopWatching = watchChild(this.#child, {
      limitMs,
      maxMemoryBytes,
      onExceeded: (what) => {
        const work = this.#isDecoded ? 'Comparing' : 'Decoding';
        this.#fail(new LipsyncError('media_failed', `${work} the file exceeds the ${what} limit.`));
      },
    });
  }

  readKeys(): Promise<QueryKeys> {
    return this.#keys.promise;
  }

  compare(outputs: readonly string[]): Promise<readonly (Similarity | null)[]> {
    this.#child.send({ outputs } satisfies CompareRequest);
    return this.#compared.promise;
  }

  async end(): Promise<void> {
    this.#stopWatching();
    await this.#child.kill();
  }

  #accept(message: LookupMessage): void {
    if (message.type === 'keys') {
      this.#isDecoded = true;
      this.#keys.resolve({ sound: new Set(message.sound), pictures: message.pictures });
    } else if (message.type === 'compared') this.#compared.resolve(message.similarities);
    else this.#fail(toError(message));
  }

  #fail(error: Error): void {
    this.#keys.reject(error);
    this.#compared.reject(error);
  }
}
