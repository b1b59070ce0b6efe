import type { LedgerEntry } from '../billing/ledger-entry.ts';
import type { Ledger } from '../billing/ledger.ts';
import { toMicros, type Micros } from '../billing/micros.ts';
import type { PendingSettlement, PendingSettlementStore, StoredSettlement } from '../billing/pending-settlements.ts';
import type { Clock } from '../contract/ports.ts';
import type { Operation } from '../contract/provider-types.ts';
import { cancelOperation } from './cancel-operation.ts';
import type { Provider, RemoteProvider } from './provider.ts';

/** The cost of an attempt that became known after the attempt had ended. */
export interface LateCost extends Pick<PendingSettlement, 'jobId' | 'index'> {
  readonly costMicros: number;
}

type SettlementKey = Pick<PendingSettlement, 'jobId' | 'provider'>;

export interface SettlementReconcilerOptions {
  readonly store: PendingSettlementStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Called, at least once, after a late cost was booked. Returns false to be called again later. */
  onLateCost?(cost: LateCost): Promise<boolean>;
  /** Called, at least once, before a resolved settlement is removed. */
  onSettled?(settlement: SettlementKey): Promise<void>;
  /** Called after each failed vendor call. */
  onVendorError?(settlement: SettlementKey, error: unknown): void;
}

/** Null micros when the cost can no longer be found out. */
interface Resolution {
  readonly micros: Micros | null;
  readonly note: string;
}

/** After this time, the vendor no longer has the operation. */
export const settlementMaxAgeMs = 24 * 3_600_000;
/** Five times the slowest response: an operation that an unacknowledged request started is visible by then. */
const operationVisibleAfterMs = 10 * 60_000;

/**
 * Resolves pending settlements with the vendor: finds operations of unacknowledged requests, cancels operations of
 * canceled jobs, and books or releases their money in the ledger.
 */
export class SettlementReconciler {
  readonly #store: PendingSettlementStore;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #onLateCost: (cost: LateCost) => Promise<boolean>;
  readonly #onSettled: (settlement: SettlementKey) => Promise<void>;
  readonly #onVendorError: (settlement: SettlementKey, error: unknown) => void;

  constructor(options: SettlementReconcilerOptions) {
    this.#store = options.store;
    this.#ledger = options.ledger;
    this.#clock = options.clock;
    this.#onLateCost = options.onLateCost ?? (async () => true);
    this.#onSettled = options.onSettled ?? (async () => undefined);
    this.#onVendorError = options.onVendorError ?? (() => undefined);
  }

  /**
   * Processes every settlement that is due, at growing intervals for a day, and returns how many were resolved. Any
   * process may call it at any time. Throws `resource_exhausted` when the state store is unavailable.
   */
  async reconcile(providers: readonly Provider[], signal: AbortSignal): Promise<number> {
    let resolved = 0;
    for await (const key of this.#store.listKeys()) {
      if (signal.aborted) break;
      const settlement = await this.#store.claim(key, (due) => this.#canQuery(due, providers));
      if (settlement && (await this.#resolve(key, settlement, providers, signal))) resolved += 1;
    }
    return resolved;
  }

  /** A process that lacks the provider leaves the settlement to one that has it. */
  #canQuery({ provider, sinceMs }: PendingSettlement, providers: readonly Provider[]): boolean {
    return providers.some(({ facts }) => facts.id === provider) || this.#ageMs({ sinceMs }) >= settlementMaxAgeMs;
  }

  async #resolve(
    key: string,
    settlement: StoredSettlement,
    providers: readonly Provider[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const provider = providers.find(({ facts }) => facts.id === settlement.provider);
    const found = provider?.kind === 'remote' ? await this.#query(provider, key, settlement, signal) : null;
    const isTooOld = this.#ageMs(settlement) >= settlementMaxAgeMs;
    const resolution = found ?? (isTooOld ? { micros: null, note: 'the vendor never reported a charge' } : null);
    if (!resolution || !(await this.#store.commit(key)) || !(await this.#settle(settlement, resolution))) return false;
    await this.#store.remove(key);
    return true;
  }

  /** Null while the cost is unknown. */
  async #query(
    provider: RemoteProvider,
    key: string,
    settlement: StoredSettlement,
    signal: AbortSignal,
  ): Promise<Resolution | null> {
    const search = await this.#findOperation(provider, settlement, signal);
    switch (search.type) {
      case 'no_answer':
        return null;
      case 'none':
        return this.#ageMs(settlement) < operationVisibleAfterMs
          ? null
          : { micros: toMicros(0), note: 'the request started no operation' };
      case 'found':
        return settlement.stop === 'none'
          ? this.#checkCost(provider, search.operation, settlement, signal)
          : this.#cancel(provider, { key, settlement, operation: search.operation }, signal);
    }
  }

  async #findOperation(
    provider: RemoteProvider,
    settlement: StoredSettlement,
    signal: AbortSignal,
  ): Promise<
    | { readonly type: 'found'; readonly operation: Operation }
    | { readonly type: 'none' }
    | { readonly type: 'no_answer' }
  > {
    const { operation, request, sinceMs } = settlement;
    if (operation) return { type: 'found', operation };
    if (!request) return { type: 'none' };
    try {
      const found = await provider.find(request, { signal, sinceMs: request.unacknowledgedSinceMs ?? sinceMs });
      return found ? { type: 'found', operation: found } : { type: 'none' };
    } catch (error) {
      this.#onVendorError(settlement, error);
      return { type: 'no_answer' };
    }
  }

  async #checkCost(
    provider: RemoteProvider,
    operation: Operation,
    settlement: PendingSettlement,
    signal: AbortSignal,
  ): Promise<Resolution | null> {
    try {
      const status = await provider.check(operation, { signal, onProgress: () => undefined });
      const micros = status.status === 'pending' ? status.billedMicros : status.costMicros;
      return micros === undefined ? null : toResolution(micros);
    } catch (error) {
      this.#onVendorError(settlement, error);
      return null;
    }
  }

  async #cancel(
    provider: RemoteProvider,
    canceled: { readonly key: string; readonly settlement: StoredSettlement; readonly operation: Operation },
    signal: AbortSignal,
  ): Promise<Resolution | null> {
    const { key, settlement, operation } = canceled;
    // Stored before it is canceled, after which the vendor may no longer find it.
    if (!(await this.#store.commit(key, { operation }))) return null;
    let resolution: Resolution | null = null;
    await cancelOperation(provider, operation, {
      knownMicros: null,
      wasSent: settlement.stop === 'sent',
      signal,
      onVendorError: (error) => this.#onVendorError(settlement, error),
      onSend: async () => void (await this.#store.commit(key, { stop: 'sent' })),
      book: async (micros) => {
        resolution = toResolution(micros);
        await this.#book(settlement, resolution);
      },
    });
    return resolution;
  }

  async #settle(settlement: PendingSettlement, resolution: Resolution): Promise<boolean> {
    const { jobId, index } = settlement;
    // The amount that a crashed process has already booked stands.
    const costMicros = (await this.#book(settlement, resolution))?.spentMicros ?? 0;
    if (resolution.micros !== null && !(await this.#onLateCost({ jobId, index, costMicros }))) return false;
    await this.#onSettled(settlement);
    return true;
  }

  #book({ entry }: PendingSettlement, { micros, note }: Resolution): Promise<LedgerEntry | undefined> {
    // Nothing was billed, or the cost can no longer be determined.
    if (micros === null || micros === 0) return this.#ledger.release(entry, note);
    return this.#ledger.settle(entry, { micros, atMs: this.#clock.nowMs(), note });
  }

  #ageMs({ sinceMs }: Pick<PendingSettlement, 'sinceMs'>): number {
    return this.#clock.nowMs() - sinceMs;
  }
}

function toResolution(micros: number): Resolution {
  return { micros: toMicros(micros), note: micros === 0 ? 'not billed' : 'billed after the job had continued' };
}
