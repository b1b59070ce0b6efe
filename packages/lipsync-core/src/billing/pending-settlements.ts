import type { Clock } from '../contract/ports.ts';
import { migrateRequest, type Operation, type OperationStop, type StoredRequest } from '../contract/provider-types.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import type { EntryReference } from './ledger-entry.ts';

/**
 * An attempt whose cost was unknown when it ended: an operation, or an unacknowledged request that may have started
 * one.
 */
export interface PendingSettlement {
  readonly provider: string;
  /** Null until an operation is found. */
  readonly operation: Operation | null;
  /** The unacknowledged request; null when the vendor had answered it. */
  readonly request: StoredRequest | null;
  readonly stop: OperationStop;
  readonly entry: EntryReference;
  readonly jobId: string;
  /** Index of the attempt within its job. */
  readonly index: number;
  readonly sinceMs: number;
}

export interface StoredSettlement extends PendingSettlement {
  /** When the vendor is queried next. */
  readonly dueAtMs: number;
  /** Whether an irreversible step has begun: canceling the operation, or booking its cost. */
  readonly isCommitted: boolean;
}

// The stored key predates the term "pending settlement".
const keyPrefix = 'open-bills/';
const pageSize = 100;
const shortestPauseMs = 30_000;
const longestPauseMs = 30 * 60_000;

/**
 * Stores pending settlements for all processes. Every method throws `resource_exhausted` when the state store is
 * unavailable.
 */
export class PendingSettlementStore {
  readonly #state: StateStore;
  readonly #clock: Clock;

  constructor({ state, clock }: { readonly state: StateStore; readonly clock: Clock }) {
    this.#state = state;
    this.#clock = clock;
  }

  /** Adds a settlement, or merges it into the stored one of the same ledger entry. */
  add(settlement: PendingSettlement): Promise<void> {
    return this.#change(keyOf(settlement.entry), (stored) => ({
      result: undefined,
      next: stored ? merge(stored, settlement) : { ...settlement, dueAtMs: this.#clock.nowMs(), isCommitted: false },
    }));
  }

  /**
   * Removes the settlement of an attempt that is resumed. False when it is committed: the attempt cannot be resumed.
   */
  withdraw(entry: EntryReference): Promise<boolean> {
    return this.#change<boolean>(keyOf(entry), (stored) =>
      stored && !stored.isCommitted ? { result: true, next: null } : { result: !stored },
    );
  }

  /** Must be called before an irreversible step. False when the settlement was withdrawn in the meantime. */
  commit(key: string, learned: Partial<Pick<PendingSettlement, 'operation' | 'stop'>> = {}): Promise<boolean> {
    return this.#change<boolean>(key, (stored) =>
      stored ? { result: true, next: { ...stored, ...learned, isCommitted: true } } : { result: false },
    );
  }

  /** Returns the settlement if it is due and `canQuery` accepts it. No other process gets it until it is due again. */
  claim(key: string, canQuery: (settlement: PendingSettlement) => boolean): Promise<StoredSettlement | undefined> {
    return this.#change<StoredSettlement | undefined>(key, (stored) => {
      const nowMs = this.#clock.nowMs();
      if (!stored || stored.dueAtMs > nowMs || !canQuery(stored)) return { result: undefined };
      const claimed = { ...stored, dueAtMs: nowMs + pauseMs(nowMs - stored.sinceMs) };
      return { result: claimed, next: claimed };
    });
  }

  remove(key: string): Promise<void> {
    return this.#change(key, () => ({ result: undefined, next: null }));
  }

  async *listKeys(): AsyncGenerator<string> {
    let after: string | undefined;
    do {
      const page = await this.#state.list(keyPrefix, { limit: pageSize, ...(after === undefined ? {} : { after }) });
      yield* page.map(({ key }) => key);
      after = page.length < pageSize ? undefined : page.at(-1)?.key;
    } while (after !== undefined);
  }

  /** Stores `next` unless it is undefined; null removes the document. */
  #change<Result>(
    key: string,
    decide: (stored: StoredSettlement | undefined) => {
      readonly result: Result;
      readonly next?: StoredSettlement | null;
    },
  ): Promise<Result> {
    return this.#state.transact<Result>([key], (documents) => {
      // `as`: only this class writes these documents.
      const document = documents.get(key) as unknown as StoredSettlement | LegacySettlement | undefined;
      const { result, next } = decide(document && migrateSettlement(document));
      return next === undefined ? { result } : { result, writes: new Map([[key, next && toJson(next)]]) };
    });
  }
}

/** A settlement as earlier formats stored it. */
type LegacySettlement = Omit<StoredSettlement, 'request' | 'isCommitted'> & {
  readonly order: Parameters<typeof migrateRequest>[0] | null;
  readonly isTaken: boolean;
};

function migrateSettlement(stored: StoredSettlement | LegacySettlement): StoredSettlement {
  if ('request' in stored) return stored;
  const { order, isTaken, ...settlement } = stored;
  return { ...settlement, request: order ? migrateRequest(order) : null, isCommitted: isTaken };
}

/** Keeps everything that is already known. */
function merge(stored: StoredSettlement, added: PendingSettlement): StoredSettlement {
  return {
    ...stored,
    operation: stored.operation ?? added.operation,
    stop: stored.stop === 'none' ? added.stop : stored.stop,
  };
}

/** Returns whether the cost of the attempt with this ledger entry is still unknown. */
export function isUnsettled(state: Pick<StateStore, 'transact'>, entryId: string): Promise<boolean> {
  const key = keyOf({ id: entryId });
  return state.transact([key], (documents) => ({ result: documents.get(key) !== undefined }));
}

function keyOf({ id }: Pick<EntryReference, 'id'>): string {
  return `${keyPrefix}${id}`;
}

/** Half the age, within limits: the vendor is queried less and less often. */
function pauseMs(ageMs: number): number {
  return Math.min(longestPauseMs, Math.max(shortestPauseMs, Math.floor(ageMs / 2)));
}

function toJson({ operation, request, entry, ...settlement }: StoredSettlement): Json {
  // `as`: operations and requests are JSON by contract.
  return {
    ...settlement,
    operation: operation as unknown as Json,
    request: request as unknown as Json,
    entry: { id: entry.id, atMs: entry.atMs },
  };
}
