import { LipsyncError } from '../errors/index.ts';
import type { EntryReference, Ledger } from '../ledger/ledger.ts';
import type { Clock } from '../ports/ports.ts';
import type { Json, StateStore } from '../state/state-store.ts';
import type { Operation } from './provider.ts';
import type { ProviderRegistry } from './provider-registry.ts';

/** An operation that its job gave up before it was known what it costs. */
export interface OpenBill {
  readonly provider: string;
  readonly operation: Operation;
  readonly entry: EntryReference;
  readonly sinceMs: number;
}

/** Operations that outlived their jobs: looked at until it is known whether they were billed. */
export interface OpenBills {
  add(bill: OpenBill): Promise<void>;
  /** Asks once about each; books what was billed, gives back what was not. Returns how many are settled now. */
  reconcile(registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number>;
}

const keyPrefix = 'open-bills/';
const pageSize = 100;
/** A vendor that says nothing for so long has forgotten the operation. */
const longestMs = 24 * 3_600_000;

export function createOpenBills({ state, ledger, clock }: { readonly state: StateStore; readonly ledger: Ledger; readonly clock: Clock }): OpenBills {
  const write = (key: string, document: Json | null): Promise<void> => state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));

  async function settle(bill: OpenBill, registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<boolean> {
    const micros = await billedMicros(bill, registry, signal);
    if (micros === null && clock.nowMs() - bill.sinceMs < longestMs) return false;
    if (micros === null || micros === 0) await ledger.release(bill.entry, 'not billed');
    else await ledger.settle(bill.entry, { micros, atMs: clock.nowMs(), note: 'billed after the job had gone on' });
    return true;
  }

  return {
    add: (bill) => write(`${keyPrefix}${bill.entry.id}`, toJson(bill)),
    async reconcile(registry, signal) {
      let settled = 0;
      for (const { key, document } of await state.list(keyPrefix, { limit: pageSize })) {
        // `as`: only this file writes these documents.
        if (!(await settle(document as unknown as OpenBill, registry, signal))) continue;
        await write(key, null);
        settled += 1;
      }
      return settled;
    },
  };
}

/** What the vendor billed; null while that is not known. */
async function billedMicros({ provider: id, operation }: OpenBill, { all }: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number | null> {
  const provider = all.find(({ facts }) => facts.id === id);
  if (provider?.kind !== 'remote') return null;
  try {
    const status = await provider.check(operation, { signal, onProgress: () => undefined });
    return status.status === 'pending' ? null : status.costMicros;
  } catch (error) {
    if (LipsyncError.isInstance(error)) return null;
    throw error;
  }
}

function toJson({ provider, operation, entry, sinceMs }: OpenBill): Json {
  // `as`: an operation is JSON by its contract.
  return { provider, operation: operation as unknown as Json, entry: { id: entry.id, atMs: entry.atMs }, sinceMs };
}
