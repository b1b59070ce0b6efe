import type { EntryReference } from './ledger.ts';
import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';
import { migrateRequest, type Operation, type OperationStop, type StoredRequest } from '../contract/provider-types.ts';

/** What a job gave up before it was known what it costs: an operation, or an order that may have begun one. */
export interface PendingSettlement {
  readonly provider: string;
  /** Null where nobody knows of one yet. */
  readonly operation: Operation | null;
  /** The order that went unanswered. Null where the vendor had answered it. */
  readonly request: StoredRequest | null;
  readonly stop: OperationStop;
  readonly entry: EntryReference;
  readonly jobId: string;
  /** The attempt's place among those of the job, from 0. */
  readonly index: number;
  readonly sinceMs: number;
}

/** A bill as it is kept. */
export interface StoredSettlement extends PendingSettlement {
  /** When it is worth another look. */
  readonly dueAtMs: number;
  /** Its operation is being stopped, or its cost being booked: it is not to be withdrawn any more. */
  readonly isCommitted: boolean;
}

/** Where open bills are kept, for all processes together. Every call throws what the state store throws. */
export interface PendingSettlementStore {
  add(bill: PendingSettlement): Promise<void>;
  withdraw(entry: EntryReference): Promise<boolean>;
  /** To be called before anything that cannot be undone; false when the bill was withdrawn meanwhile. */
  commit(key: string, learned?: Partial<Pick<PendingSettlement, 'operation' | 'stop'>>): Promise<boolean>;
  /** The bill, if it is due and `canAsk` about it: no other process does so then before its next look is due. */
  claim(key: string, canAsk: (bill: PendingSettlement) => boolean): Promise<StoredSettlement | undefined>;
  remove(key: string): Promise<void>;
  keys(): AsyncGenerator<string>;
}

const keyPrefix = 'open-bills/';
const pageSize = 100;
const shortestPauseMs = 30_000;
const longestPauseMs = 30 * 60_000;

export function createPendingSettlementStore({
  state,
  clock,
}: {
  readonly state: StateStore;
  readonly clock: Clock;
}): PendingSettlementStore {
  const change = <Result>(
    key: string,
    decide: (bill: StoredSettlement | undefined) => {
      readonly result: Result;
      readonly bill?: StoredSettlement | null;
    },
  ): Promise<Result> =>
    state.transact<Result>([key], (documents) => {
      // `as`: only this file writes these documents.
      const stored = documents.get(key) as unknown as StoredSettlement | LegacySettlement | undefined;
      const { result, bill } = decide(stored && migrateSettlement(stored));
      return bill === undefined ? { result } : { result, writes: new Map([[key, bill && toJson(bill)]]) };
    });

  return {
    add: (bill) =>
      change(keyOf(bill.entry), (known) => ({
        result: undefined,
        bill: known ? merged(known, bill) : { ...bill, dueAtMs: clock.nowMs(), isCommitted: false },
      })),
    withdraw: (entry) =>
      change<boolean>(keyOf(entry), (bill) =>
        bill && !bill.isCommitted ? { result: true, bill: null } : { result: !bill },
      ),
    commit: (key, learned = {}) =>
      change<boolean>(key, (bill) =>
        bill ? { result: true, bill: { ...bill, ...learned, isCommitted: true } } : { result: false },
      ),
    claim: (key, canAsk) =>
      change<StoredSettlement | undefined>(key, (bill) => {
        const nowMs = clock.nowMs();
        if (!bill || bill.dueAtMs > nowMs || !canAsk(bill)) return { result: undefined };
        const claimed = { ...bill, dueAtMs: nowMs + pauseMs(nowMs - bill.sinceMs) };
        return { result: claimed, bill: claimed };
      }),
    remove: (key) => change(key, () => ({ result: undefined, bill: null })),
    keys: () => keysOf(state),
  };
}

/** A settlement as earlier formats stored it. */
type LegacySettlement = Omit<StoredSettlement, 'request' | 'isCommitted'> & {
  readonly order: Parameters<typeof migrateRequest>[0] | null;
  readonly isTaken: boolean;
};

function migrateSettlement(stored: StoredSettlement | LegacySettlement): StoredSettlement {
  if ('request' in stored) return stored;
  const { order, isTaken, ...settlement } = stored;
  return { ...settlement, request: order && migrateRequest(order), isCommitted: isTaken };
}

/** What is known of a bill stays known. */
function merged(known: StoredSettlement, bill: PendingSettlement): StoredSettlement {
  return {
    ...known,
    operation: known.operation ?? bill.operation,
    stop: known.stop === 'none' ? bill.stop : known.stop,
  };
}

function keyOf({ id }: EntryReference): string {
  return `${keyPrefix}${id}`;
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

function toJson({ operation, request, entry, ...bill }: StoredSettlement): Json {
  // `as`: operations and orders are JSON by their contract.
  return {
    ...bill,
    operation: operation as unknown as Json,
    request: request as unknown as Json,
    entry: { id: entry.id, atMs: entry.atMs },
  };
}
