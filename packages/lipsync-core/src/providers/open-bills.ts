import type { PlacedOrder } from '../jobs/job-record.ts';
import type { EntryReference, Ledger } from '../ledger/ledger.ts';
import type { LedgerEntry } from '../ledger/ledger-entry.ts';
import type { Clock } from '../ports/ports.ts';
import type { Json, StateStore } from '../state/state-store.ts';
import type { Operation, RemoteProvider } from './provider.ts';
import type { ProviderRegistry } from './provider-registry.ts';
import { stopOperation } from './stop-operation.ts';

/** What a job gave up before it was known what it costs: an operation, or an order that may have begun one. */
export interface OpenBill {
  readonly provider: string;
  /** Null where nobody knows of one yet. */
  readonly operation: Operation | null;
  /** The order that went unanswered; what it began is wanted by nobody. Null where the vendor had answered it. */
  readonly order: PlacedOrder | null;
  readonly entry: EntryReference;
  readonly jobId: string;
  /** The attempt's place among those of the job, from 0. */
  readonly index: number;
  readonly sinceMs: number;
}

/** What an attempt turned out to cost after it had ended. */
export interface LateCost extends Pick<OpenBill, 'jobId' | 'index'> {
  readonly costMicros: number;
}

/** Operations that outlived their jobs: looked at until it is known whether they were billed. */
export interface OpenBills {
  add(bill: OpenBill): Promise<void>;
  /**
   * Asks about each that is due, whichever process does it: more and more seldom, for a day. Looks for the operations of
   * unanswered orders, and stops them. Books what was billed, gives back what was not. Returns how many are settled now.
   * Throws what the state store throws.
   */
  reconcile(registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number>;
}

export interface OpenBillsDependencies {
  readonly state: StateStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Told of each cost after it was booked, maybe twice. False when it is to be told again later. */
  onLateCost?(cost: LateCost): Promise<boolean>;
}

interface StoredBill extends OpenBill {
  /** When it is worth another look. */
  readonly dueAtMs: number;
}

/** What was found out about a bill. */
interface Finding {
  readonly micros: number;
  readonly note: string;
}

const keyPrefix = 'open-bills/';
const pageSize = 100;
/** A vendor that says nothing for so long has forgotten the operation. */
const longestMs = 24 * 3_600_000;
/** What an order began shows by then: five times as long as the slowest answer is waited for. */
const unseenMs = 10 * 60_000;
const shortestPauseMs = 30_000;
const longestPauseMs = 30 * 60_000;

export function createOpenBills({ state, ledger, clock, onLateCost = async () => true }: OpenBillsDependencies): OpenBills {
  const write = (key: string, document: Json | null): Promise<void> => state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));

  /**
   * The bill, if it is due and no other process looks at it: its next look is put off first. A process that lacks the
   * provider, as one that only renders may, leaves it to those that can ask.
   */
  const claim = (key: string, { all }: Pick<ProviderRegistry, 'all'>): Promise<StoredBill | undefined> => state.transact([key], (documents) => {
    const bill = toBill(documents.get(key));
    const nowMs = clock.nowMs();
    if (!bill || bill.dueAtMs > nowMs) return { result: undefined };
    const canAsk = all.some(({ facts }) => facts.id === bill.provider);
    if (!canAsk && nowMs - bill.sinceMs < longestMs) return { result: undefined };
    const claimed = { ...bill, dueAtMs: nowMs + pauseMs(nowMs - bill.sinceMs) };
    return { result: claimed, writes: new Map([[key, toJson(claimed)]]) };
  });

  const book = ({ entry }: OpenBill, { micros, note }: Finding): Promise<LedgerEntry | undefined> =>
    micros === 0 ? ledger.release(entry, note) : ledger.settle(entry, { micros, atMs: clock.nowMs(), note });

  /** What is known of the bill now; null for nothing yet. */
  async function look(key: string, bill: StoredBill, registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<Finding | null> {
    const ageMs = clock.nowMs() - bill.sinceMs;
    const provider = registry.all.find(({ facts }) => facts.id === bill.provider);
    const finding = provider?.kind === 'remote' ? await ask(provider, key, bill, signal) : null;
    return finding ?? (ageMs < longestMs ? null : { micros: 0, note: 'the vendor never said whether it was billed' });
  }

  async function ask(provider: RemoteProvider, key: string, bill: StoredBill, signal: AbortSignal): Promise<Finding | null> {
    if (!bill.order) return bill.operation && (await askAbout(provider, bill.operation, signal));
    const operation = bill.operation ?? (await answerOf(provider.find(bill.order, { signal })));
    if (operation === undefined) return null;
    if (operation === null) return clock.nowMs() - bill.sinceMs < unseenMs ? null : { micros: 0, note: 'its order began no operation' };
    // Remembered before it is deleted, after which nobody finds it any more.
    if (!bill.operation) await write(key, toJson({ ...bill, operation }));
    let finding: Finding | null = null;
    await stopOperation(provider, operation, {
      knownMicros: null, signal,
      async book(micros) {
        finding = toFinding(micros);
        await book(bill, finding);
      },
    });
    return finding;
  }

  async function settle(bill: OpenBill, finding: Finding): Promise<boolean> {
    const { jobId, index } = bill;
    // What was booked before, by a process that died over it, stands.
    const costMicros = (await book(bill, finding))?.spentMicros ?? 0;
    return onLateCost({ jobId, index, costMicros });
  }

  return {
    add: (bill) => write(`${keyPrefix}${bill.entry.id}`, toJson({ ...bill, dueAtMs: clock.nowMs() })),
    async reconcile(registry, signal) {
      let settled = 0;
      for await (const key of keysOf(state)) {
        if (signal.aborted) break;
        const bill = await claim(key, registry);
        const finding = bill && (await look(key, bill, registry, signal));
        if (!bill || !finding || !(await settle(bill, finding))) continue;
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

async function askAbout(provider: RemoteProvider, operation: Operation, signal: AbortSignal): Promise<Finding | null> {
  const status = await answerOf(provider.check(operation, { signal, onProgress: () => undefined }));
  if (!status) return null;
  if (status.status !== 'pending') return toFinding(status.costMicros);
  return status.billedMicros === undefined ? null : toFinding(status.billedMicros);
}

/** Undefined where none came: a vendor that cannot be asked now is asked again, whatever stood in the way. */
async function answerOf<Answer>(asking: Promise<Answer>): Promise<Answer | undefined> {
  return asking.catch(() => undefined);
}

function toFinding(micros: number): Finding {
  return { micros, note: micros === 0 ? 'not billed' : 'billed after the job had gone on' };
}

function toJson({ operation, order, entry, ...bill }: StoredBill): Json {
  // `as`: operations and orders are JSON by their contract.
  return { ...bill, operation: operation as unknown as Json, order: order as unknown as Json, entry: { id: entry.id, atMs: entry.atMs } };
}

function toBill(document: Json | undefined): StoredBill | undefined {
  // `as`: only this file writes these documents.
  return document as unknown as StoredBill | undefined;
}
