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
  /**
   * Asks about each that is due, whichever process does it: more and more seldom, for a day. Books what was billed, gives
   * back what was not. Returns how many are settled now. Throws what the state store throws.
   */
  reconcile(registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number>;
}

interface StoredBill extends OpenBill {
  /** When it is worth another look. */
  readonly dueAtMs: number;
}

const keyPrefix = 'open-bills/';
const pageSize = 100;
/** A vendor that says nothing for so long has forgotten the operation. */
const longestMs = 24 * 3_600_000;
const shortestPauseMs = 30_000;
const longestPauseMs = 30 * 60_000;

export function createOpenBills({ state, ledger, clock }: { readonly state: StateStore; readonly ledger: Ledger; readonly clock: Clock }): OpenBills {
  const write = (key: string, document: Json | null): Promise<void> => state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));

  /** The bill, if it is due and no other process looks at it: its next look is put off first. */
  const claim = (key: string): Promise<StoredBill | undefined> => state.transact([key], (documents) => {
    const bill = toBill(documents.get(key));
    const nowMs = clock.nowMs();
    if (!bill || bill.dueAtMs > nowMs) return { result: undefined };
    return { result: bill, writes: new Map([[key, toJson(bill, nowMs + pauseMs(nowMs - bill.sinceMs))]]) };
  });

  async function settle(bill: OpenBill, registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<boolean> {
    const micros = await billedMicros(bill, registry, signal);
    if (micros === null && clock.nowMs() - bill.sinceMs < longestMs) return false;
    if (micros === null) await ledger.release(bill.entry, 'the vendor never said whether it was billed');
    else if (micros === 0) await ledger.release(bill.entry, 'not billed');
    else await ledger.settle(bill.entry, { micros, atMs: clock.nowMs(), note: 'billed after the job had gone on' });
    return true;
  }

  return {
    add: (bill) => write(`${keyPrefix}${bill.entry.id}`, toJson(bill, clock.nowMs())),
    async reconcile(registry, signal) {
      let settled = 0;
      for await (const key of keysOf(state)) {
        if (signal.aborted) break;
        const bill = await claim(key);
        if (!bill || !(await settle(bill, registry, signal))) continue;
        await write(key, null);
        settled += 1;
      }
      return settled;
    },
  };
}

async function* keysOf(state: StateStore): AsyncGenerator<string> {
  let after: string | undefined;
  do {
    const page = await state.list(keyPrefix, { limit: pageSize, ...(after === undefined ? {} : { after }) });
    yield* page.map(({ key }) => key);
    after = page.length < pageSize ? undefined : page.at(-1)?.key;
  } while (after !== undefined);
}

/** The older a bill, the longer until the next look. */
function pauseMs(ageMs: number): number {
  return Math.min(longestPauseMs, Math.max(shortestPauseMs, Math.floor(ageMs / 2)));
}

/** What the vendor billed; null while that is not known. */
async function billedMicros({ provider: id, operation }: OpenBill, { all }: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number | null> {
  const provider = all.find(({ facts }) => facts.id === id);
  if (provider?.kind !== 'remote') return null;
  try {
    const status = await provider.check(operation, { signal, onProgress: () => undefined });
    return status.status === 'pending' ? null : status.costMicros;
  } catch {
    // A vendor that cannot be asked now is asked again, whatever stood in the way.
    return null;
  }
}

function toJson({ provider, operation, entry, sinceMs }: OpenBill, dueAtMs: number): Json {
  // `as`: an operation is JSON by its contract.
  return { provider, operation: operation as unknown as Json, entry: { id: entry.id, atMs: entry.atMs }, sinceMs, dueAtMs };
}

function toBill(document: Json | undefined): StoredBill | undefined {
  // `as`: only this file writes these documents.
  return document as unknown as StoredBill | undefined;
}
