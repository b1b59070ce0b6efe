import { LipsyncError } from '../errors/index.ts';

declare const unit: unique symbol;

/** An amount of money in whole millionths of a US dollar; never negative. */
export type Micros = number & { readonly [unit]: 'micros' };

const microsPerDollar = 1_000_000;
const hourMs = 3_600_000;

/** Checks an amount that comes from elsewhere. Throws `internal` unless it is a non-negative safe integer. */
export function toMicros(value: number): Micros {
  if (Number.isSafeInteger(value) && value >= 0) return value as Micros;
  throw new LipsyncError(
    'internal',
    'An amount of money must be a non-negative whole number of millionths of a dollar.',
  );
}

/** As `toMicros`; null stays null. */
export function toMicrosOrNull(value: number | null): Micros | null {
  return value === null ? null : toMicros(value);
}

/** Rounds to the nearest millionth. Throws `internal` for an invalid amount. */
export function usdToMicros(usd: number): Micros {
  return toMicros(Math.round(usd * microsPerDollar));
}

/** Converts millionths of a dollar to dollars. */
export function microsToUsd(micros: number): number {
  return micros / microsPerDollar;
}

export function microsToUsdOrNull(micros: number | null): number | null {
  return micros === null ? null : microsToUsd(micros);
}

/** As `$0.012300`, with every digit that counts. */
export function formatUsd(micros: number): string {
  return `$${microsToUsd(micros).toFixed(6)}`;
}

/** The cost of computing on this machine for `workMs`. Pure. */
export function localCostMicros(workMs: number, microsPerHour: number): number {
  return Math.round((workMs * microsPerHour) / hourMs);
}
