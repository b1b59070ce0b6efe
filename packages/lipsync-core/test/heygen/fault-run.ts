import type { StandinControl } from '@lipsync/heygen-standin';
import type { ProviderId } from '../../src/contract/index.ts';
import type { Ledger } from '../../src/billing/ledger.ts';
import type { LocalJobOutcome } from '../../src/service/local-jobs.ts';
import type { StateStore } from '../../src/storage/state-store.ts';
import type { FaultCase } from './fault-table.ts';

/** A fresh service and stand-in that run one job with one fault. */
export interface FaultBench {
  readonly control: StandinControl;
  readonly state: StateStore;
  readonly ledger: Ledger;
  /** Delay of slow responses. */
  readonly slowMs: number;
  run(): Promise<LocalJobOutcome>;
  /** Reconciles pending settlements as if `aheadMs` had passed. */
  reconcile(aheadMs: number): Promise<unknown>;
}

/** Result of a job. Amounts are millionths of a dollar. */
export interface FaultOutcome {
  readonly made: ProviderId | null;
  /** Outcome of each attempt, e.g. `heygen: rate_limited`. */
  readonly attempts: readonly string[];
  /** Cost of the job; null while it is unknown. */
  readonly costMicros: number | null;
  readonly walletMicros: number;
  readonly charges: number;
  /** Spent according to the ledger, after all settlements. */
  readonly spentMicros: number;
  readonly reservedMicros: number;
  /** Operations beyond the first. */
  readonly duplicates: number;
  /** Requests that sent the key to a signed link. */
  readonly leaks: number;
}

/** An unacknowledged request is resolved within ten minutes. */
const reconciliations = 6;
const reconciliationIntervalMs = 3 * 60_000;

/** Runs a job with a fault, then removes the fault and reconciles what the job left at HeyGen. */
export async function runFault(
  fault: FaultCase,
  bench: FaultBench,
): Promise<FaultOutcome & { readonly tookMs: number; readonly errorMessage: string }> {
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
  const rows = await bench.ledger.sum({ fromMs: 0, toMs: Date.now() + 60_000, groupBy: 'method' });
  const heygenRow = rows.find(({ key }) => key === 'heygen');
  return {
    made: result?.methodUsed ?? null,
    attempts: attempts.map(({ provider, outcome, code }) => `${provider}: ${code ?? outcome}`),
    costMicros: attempts.some(({ costMicros }) => costMicros === null)
      ? null
      : attempts.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0),
    walletMicros,
    charges: charges.length,
    spentMicros: heygenRow?.spentMicros ?? 0,
    reservedMicros: heygenRow?.reservedMicros ?? 0,
    duplicates: Math.max(0, control.operations().operations.length - 1),
    leaks: control.leaks().length,
    tookMs,
    errorMessage: error?.message ?? attempts[0]?.message ?? '',
  };
}

async function settleAll({ state, reconcile }: FaultBench): Promise<void> {
  for (let count = 0; count < reconciliations; count += 1) {
    await reconcile(count * reconciliationIntervalMs);
    if ((await state.list('open-bills/', { limit: 1 })).length === 0) return;
  }
}

/** The required result: the fault determines the provider and whether HeyGen charges, the wallet the amount. */
export function requiredOutcome(
  { made, code, paid }: FaultCase,
  { walletMicros }: Pick<FaultOutcome, 'walletMicros'>,
): FaultOutcome {
  const isPaid = paid === 'in the job' || paid === 'later';
  const billedMicros = isPaid ? walletMicros : 0;
  return {
    made,
    attempts: [`heygen: ${code ?? 'succeeded'}`, ...(made === 'preview' ? ['preview: succeeded'] : [])],
    costMicros: paid === 'later' || paid === 'unknown' ? null : billedMicros,
    walletMicros: billedMicros,
    charges: isPaid ? 1 : 0,
    spentMicros: billedMicros,
    reservedMicros: 0,
    duplicates: 0,
    leaks: 0,
  };
}
