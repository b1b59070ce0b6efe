import type { Clock } from '../contract/ports.ts';
import type { Operation, OperationRequest } from '../contract/provider-types.ts';
import { isUnsettled } from '../billing/pending-settlements.ts';
import { listAllDocuments, type Json, type StateStore } from '../storage/state-store.ts';
import type { Provider } from './provider.ts';

/** What a vendor may keep of an attempt. */
export interface VendorCopy {
  readonly jobId: string;
  /** Index of the attempt within its job. */
  readonly index: number;
  readonly provider: string;
  readonly operation: Operation | null;
  readonly request: OperationRequest | null;
}

interface StoredCopy extends VendorCopy {
  readonly sinceMs: number;
  /** When the vendor is called next. */
  readonly dueAtMs: number;
}

const prefix = 'vendor-copies/';
const pauseMs = 10 * 60_000;
/** A vendor that refuses for so long has no copy, or needs a person. */
const maxAgeMs = 30 * 24 * 3_600_000;

export interface VendorCopiesOptions {
  readonly state: StateStore;
  readonly clock: Clock;
  /** Called after each failed call, and when the deletion is given up. */
  onFailure?(copy: Pick<VendorCopy, 'jobId' | 'provider'>, error: unknown): void;
}

/**
 * Copies of erased jobs that vendors keep: operations with their results, and uploaded inputs. A copy is stored until the
 * vendor has deleted it. Every method throws `resource_exhausted` when the state store is unavailable.
 */
export class VendorCopies {
  readonly #options: VendorCopiesOptions;

  constructor(options: VendorCopiesOptions) {
    this.#options = options;
  }

  /** Has a copy deleted. May be called twice. */
  add(copy: VendorCopy): Promise<void> {
    const { state, clock } = this.#options;
    const key = keyOf(copy);
    return state.transact([key], (documents) => {
      if (documents.get(key) !== undefined) return { result: undefined };
      const nowMs = clock.nowMs();
      return { result: undefined, writes: new Map([[key, toJson({ ...copy, sinceMs: nowMs, dueAtMs: nowMs })]]) };
    });
  }

  /** Deletes every copy that is due at its vendor, and returns their number. Any process may call it at any time. */
  async deleteDue(providers: readonly Provider[], signal: AbortSignal): Promise<number> {
    let deleted = 0;
    for await (const { key } of listAllDocuments(this.#options.state, prefix)) {
      if (signal.aborted) break;
      const copy = await this.#claim(key, providers);
      if (copy && (await this.#deleteAt(copy, providers, signal))) {
        await this.#change(key, () => ({ result: undefined, next: null }));
        deleted += 1;
      }
    }
    return deleted;
  }

  /**
   * Returns a copy that is due, which no other process gets until it is due again. An operation whose cost is unknown is
   * kept: its deletion could hide the cost. A process that lacks the provider leaves the copy to one that has it.
   */
  async #claim(key: string, providers: readonly Provider[]): Promise<StoredCopy | undefined> {
    const { state, clock } = this.#options;
    if (await isUnsettled(state, key.slice(prefix.length))) return undefined;
    return this.#change<StoredCopy | undefined>(key, (stored) => {
      const nowMs = clock.nowMs();
      const isOld = stored !== undefined && nowMs - stored.sinceMs >= maxAgeMs;
      const hasProvider = providers.some(({ facts }) => facts.id === stored?.provider);
      if (!stored || stored.dueAtMs > nowMs || !(hasProvider || isOld)) return { result: undefined };
      return { result: stored, next: { ...stored, dueAtMs: nowMs + pauseMs } };
    });
  }

  /** Whether nothing is left to do. */
  async #deleteAt(copy: StoredCopy, providers: readonly Provider[], signal: AbortSignal): Promise<boolean> {
    const { clock, onFailure } = this.#options;
    const provider = providers.find(({ facts }) => facts.id === copy.provider);
    if (provider?.kind !== 'remote' || !provider.deleteCopies) return true;
    try {
      await provider.deleteCopies(copy, { signal });
      return true;
    } catch (error) {
      onFailure?.(copy, error);
      return clock.nowMs() - copy.sinceMs >= maxAgeMs;
    }
  }

  #change<Result>(
    key: string,
    decide: (stored: StoredCopy | undefined) => { readonly result: Result; readonly next?: StoredCopy | null },
  ): Promise<Result> {
    return this.#options.state.transact<Result>([key], (documents) => {
      // `as`: only this class writes these documents.
      const { result, next } = decide(documents.get(key) as unknown as StoredCopy | undefined);
      return next === undefined ? { result } : { result, writes: new Map([[key, next && toJson(next)]]) };
    });
  }
}

/** The id of the ledger entry of the attempt, by which its pending settlement is found. */
function keyOf({ jobId, index }: VendorCopy): string {
  return `${prefix}${jobId}-${index}`;
}

function toJson(copy: StoredCopy): Json {
  // `as`: operations and requests are JSON by contract.
  return copy as unknown as Json;
}
