import type { EntryReference, Ledger } from '../billing/ledger.ts';
import type { LedgerEntry } from '../billing/ledger-entry.ts';
import type { Clock } from '../contract/ports.ts';
import type { StateStore } from '../storage/state-store.ts';
import type { RemoteProvider } from './provider.ts';
import type { ProviderRegistry } from './provider-registry.ts';
import {
  createPendingSettlementStore,
  type PendingSettlement,
  type StoredSettlement,
} from '../billing/pending-settlement-store.ts';
import { stopOperation } from './stop-operation.ts';
import type { Operation } from '../contract/provider-types.ts';

/** What an attempt turned out to cost after it had ended. */
export interface LateCost extends Pick<PendingSettlement, 'jobId' | 'index'> {
  readonly costMicros: number;
}

/** Operations that outlived their jobs: looked at until it is known whether they were billed. */
export interface PendingSettlements {
  /** One that is there already keeps what is known of it. */
  add(bill: PendingSettlement): Promise<void>;
  /**
   * Takes back the bill of an attempt that is gone on with: nobody stops or settles what it goes on with from then on. False,
   * for ever, where that has begun. True when there is none.
   */
  withdraw(entry: EntryReference): Promise<boolean>;
  /**
   * Asks about each that is due, whichever process does it: more and more seldom, for a day. Looks for the operations of
   * unanswered orders, stops what nobody wants. Books what was billed, gives back what was not. Returns how many are settled now.
   * Throws what the state store throws.
   */
  reconcile(registry: Pick<ProviderRegistry, 'all'>, signal: AbortSignal): Promise<number>;
}

export interface PendingSettlementsDependencies {
  readonly state: StateStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Told of each cost after it was booked, maybe twice; not of one that nobody knows. False when it is to be told again later. */
  onLateCost?(cost: LateCost): Promise<boolean>;
  /** Told, maybe twice, of a bill that is open no more. */
  onSettled?(bill: Pick<PendingSettlement, 'jobId' | 'provider'>): Promise<void>;
  /** Told of each call that a vendor did not answer when it was asked about an operation or told to stop it. */
  onVendorError?(bill: Pick<PendingSettlement, 'jobId' | 'provider'>, error: unknown): void;
}

/** What was found out about a bill; null micros where that is no more than that nobody knows. */
interface Finding {
  readonly micros: number | null;
  readonly note: string;
}

/** A vendor that says nothing for so long has forgotten the operation. */
const longestMs = 24 * 3_600_000;
/** What an order began shows by then: five times as long as the slowest answer is waited for. */
const unseenMs = 10 * 60_000;

export function createPendingSettlements(dependencies: PendingSettlementsDependencies): PendingSettlements {
  const {
    state,
    ledger,
    clock,
    onLateCost = async () => true,
    onSettled = async () => undefined,
    onVendorError = () => undefined,
  } = dependencies;
  const store = createPendingSettlementStore({ state, clock });

  const book = ({ entry }: PendingSettlement, { micros, note }: Finding): Promise<LedgerEntry | undefined> =>
    micros ? ledger.settle(entry, { micros, atMs: clock.nowMs(), note }) : ledger.release(entry, note);

  /** Undefined where none came: a vendor that cannot be asked now is asked again, whatever stood in the way. */
  async function answerOf<Answer>(bill: PendingSettlement, asking: Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await asking;
    } catch (error) {
      onVendorError(bill, error);
      return undefined;
    }
  }

  /** What is known of the bill now; null for nothing yet. */
  async function look(
    key: string,
    bill: StoredSettlement,
    registry: Pick<ProviderRegistry, 'all'>,
    signal: AbortSignal,
  ): Promise<Finding | null> {
    const ageMs = clock.nowMs() - bill.sinceMs;
    const provider = registry.all.find(({ facts }) => facts.id === bill.provider);
    const finding = provider?.kind === 'remote' ? await ask(provider, key, bill, signal) : null;
    return (
      finding ?? (ageMs < longestMs ? null : { micros: null, note: 'the vendor never said whether it was billed' })
    );
  }

  async function ask(
    provider: RemoteProvider,
    key: string,
    bill: StoredSettlement,
    signal: AbortSignal,
  ): Promise<Finding | null> {
    const { request, sinceMs } = bill;
    const operation =
      bill.operation ??
      (request &&
        (await answerOf(bill, provider.find(request, { signal, sinceMs: request.unacknowledgedSinceMs ?? sinceMs }))));
    if (operation === undefined) return null;
    if (operation === null)
      return clock.nowMs() - bill.sinceMs < unseenMs ? null : { micros: 0, note: 'its order began no operation' };
    if (bill.stop === 'none') return askAbout(provider, operation, bill, signal);
    // Remembered before it is deleted, after which nobody finds it any more.
    if (!(await store.commit(key, { operation }))) return null;
    let finding: Finding | null = null;
    await stopOperation(provider, operation, {
      knownMicros: null,
      wasSent: bill.stop === 'sent',
      signal,
      onVendorError: (error) => onVendorError(bill, error),
      onSend: async () => void (await store.commit(key, { stop: 'sent' })),
      async book(micros) {
        finding = toFinding(micros);
        await book(bill, finding);
      },
    });
    return finding;
  }

  async function askAbout(
    provider: RemoteProvider,
    operation: Operation,
    bill: PendingSettlement,
    signal: AbortSignal,
  ): Promise<Finding | null> {
    const status = await answerOf(bill, provider.check(operation, { signal, onProgress: () => undefined }));
    if (!status) return null;
    if (status.status !== 'pending') return toFinding(status.costMicros);
    return status.billedMicros === undefined ? null : toFinding(status.billedMicros);
  }

  async function settle(bill: PendingSettlement, finding: Finding): Promise<boolean> {
    const { jobId, index } = bill;
    // What was booked before, by a process that died over it, stands.
    const costMicros = (await book(bill, finding))?.spentMicros ?? 0;
    if (finding.micros !== null && !(await onLateCost({ jobId, index, costMicros }))) return false;
    await onSettled(bill);
    return true;
  }

  return {
    add: (bill) => store.add(bill),
    withdraw: (entry) => store.withdraw(entry),
    async reconcile(registry, signal) {
      let settled = 0;
      for await (const key of store.keys()) {
        if (signal.aborted) break;
        const bill = await store.claim(key, (open) => canAsk(open, registry, clock.nowMs()));
        const finding = bill && (await look(key, bill, registry, signal));
        if (!bill || !finding || !(await store.commit(key)) || !(await settle(bill, finding))) continue;
        await store.remove(key);
        settled += 1;
      }
      return settled;
    },
  };
}

/** A process that lacks the provider, as one that only renders may, leaves the bill to those that can ask. */
function canAsk(
  { provider, sinceMs }: PendingSettlement,
  { all }: Pick<ProviderRegistry, 'all'>,
  nowMs: number,
): boolean {
  return all.some(({ facts }) => facts.id === provider) || nowMs - sinceMs >= longestMs;
}

function toFinding(micros: number): Finding {
  return { micros, note: micros === 0 ? 'not billed' : 'billed after the job had gone on' };
}
