import type { StandinSettings } from '../settings.ts';

/** One debit; amounts are millionths of a dollar. */
export interface Charge {
  readonly lipsyncId: string;
  readonly mode: 'speed' | 'precision';
  readonly durationMs: number;
  readonly amountMicros: number;
  readonly at: string;
}

export interface WalletState {
  readonly balanceMicros: number;
  readonly spentMicros: number;
  readonly charges: readonly Charge[];
}

/** The wallet of the account. */
export class Wallet {
  #openingMicros: number;
  #charges: readonly Charge[] = [];

  constructor(openingMicros: number) {
    this.#openingMicros = openingMicros;
  }

  state(): WalletState {
    const spentMicros = this.#charges.reduce((sum, { amountMicros }) => sum + amountMicros, 0);
    return { balanceMicros: this.#openingMicros - spentMicros, spentMicros, charges: this.#charges };
  }

  debit(charge: Charge): void {
    this.#charges = [...this.#charges, charge];
  }

  /** Sets the balance and forgets all charges. */
  reset(balanceMicros: number): void {
    this.#openingMicros = balanceMicros;
    this.#charges = [];
  }
}

/** The price of an output, rounded to the nearest millionth of a dollar. */
export function priceMicros(
  durationMs: number,
  mode: Charge['mode'],
  { speedMicrosPerSecond, precisionMicrosPerSecond }: StandinSettings,
): number {
  const microsPerSecond = mode === 'speed' ? speedMicrosPerSecond : precisionMicrosPerSecond;
  return Math.round((durationMs * microsPerSecond) / 1000);
}
