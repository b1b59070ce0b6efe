import type { StandinControl } from '@lipsync/heygen-standin';
import type { ProviderId } from '../../src/contract/index.ts';
import type { Ledger } from '../../src/billing/ledger.ts';
import type { LocalJobOutcome } from '../../src/service/local-jobs.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import type { FaultCase } from './fault-sheet.ts';

/** Where a job meets a fault: nothing has happened there yet. */
export interface FaultBench {
  readonly control: StandinControl;
  readonly state: StateStore;
  readonly ledger: Ledger;
  /** How long a HeyGen takes that is slow. */
  readonly slowMs: number;
  run(): Promise<LocalJobOutcome>;
  /** Asks about what jobs have left running, as if `aheadMs` later than now. */
  reconcile(aheadMs: number): Promise<unknown>;
}

/** What came of a job, in millionths of a dollar where it is money. */
export interface FaultOutcome {
  readonly made: ProviderId | null;
  /** What each attempt ended with, e.g. `heygen: rate_limited`. */
  readonly attempts: readonly string[];
  /** What the job says; null where it cannot know yet. */
  readonly costMicros: number | null;
  readonly walletMicros: number;
  readonly charges: number;
  /** The ledger's, once nothing is open any more. */
  readonly spentMicros: number;
  readonly reservedMicros: number;
  /** Operations beyond the one that a job may have. */
  readonly duplicates: number;
  /** Requests with the key where it does not belong. */
  readonly leaks: number;
}

/** An order that went unanswered is not looked for after ten minutes. */
const looks = 6;
const betweenLooksMs = 3 * 60_000;

/** Has a job meet the fault, then HeyGen recover and whatever was left running be asked for. */
export async function meetFault(
  fault: FaultCase,
  bench: FaultBench,
): Promise<FaultOutcome & { readonly tookMs: number; readonly said: string }> {
  const { control, slowMs } = bench;
  fault.script(control, { slowMs });
  const startedMs = performance.now();
  const {
    record: { attempts, result },
    error,
  } = await bench.run();
  const tookMs = performance.now() - startedMs;
  control.clearFaults();
  control.release();
  await settleAll(bench);
  const { spentMicros: walletMicros, charges } = control.wallet();
  const books = await bench.ledger.sum({ fromMs: 0, toMs: Date.now() + 60_000, groupBy: 'method' });
  const ofHeygen = books.find(({ key }) => key === 'heygen');
  return {
    made: result?.methodUsed ?? null,
    attempts: attempts.map(({ provider, outcome, code }) => `${provider}: ${code ?? outcome}`),
    costMicros: attempts.some(({ costMicros }) => costMicros === null)
      ? null
      : attempts.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0),
    walletMicros,
    charges: charges.length,
    spentMicros: ofHeygen?.spentMicros ?? 0,
    reservedMicros: ofHeygen?.reservedMicros ?? 0,
    duplicates: Math.max(0, control.operations().operations.length - 1),
    leaks: control.leaks().length,
    tookMs,
    said: error?.message ?? attempts[0]?.message ?? '',
  };
}

async function settleAll({ state, reconcile }: FaultBench): Promise<void> {
  for (let look = 0; look < looks; look += 1) {
    await reconcile(look * betweenLooksMs);
    if ((await state.list('open-bills/', { limit: 1 })).length === 0) return;
  }
}

/** What must come of it: `fault` says who makes the take and whether HeyGen is paid, the wallet how much that is. */
export function requiredOutcome(
  { made, code, paid }: FaultCase,
  { walletMicros }: Pick<FaultOutcome, 'walletMicros'>,
): FaultOutcome {
  const isPaid = paid === 'in the job' || paid === 'later';
  const billedMicros = isPaid ? walletMicros : 0;
  return {
    made,
    attempts: [`heygen: ${code ?? 'succeeded'}`, ...(made === 'preview' ? ['preview: succeeded'] : [])],
    costMicros: paid === 'later' || paid === 'in doubt' ? null : billedMicros,
    walletMicros: billedMicros,
    charges: isPaid ? 1 : 0,
    spentMicros: billedMicros,
    reservedMicros: 0,
    duplicates: 0,
    leaks: 0,
  };
}
