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

export interface Wallet {
  state(): WalletState;
  debit(charge: Charge): void;
  /** Forgets all charges and starts with `balanceMicros`. */
  reset(balanceMicros: number): void;
}

export function createWallet(openingMicros: number): Wallet {
  let startMicros = openingMicros;
  let charges: Charge[] = [];
  return {
    state() {
      const spentMicros = charges.reduce((sum, { amountMicros }) => sum + amountMicros, 0);
      return { balanceMicros: startMicros - spentMicros, spentMicros, charges };
    },
    debit(charge) {
      charges = [...charges, charge];
    },
    reset(balanceMicros) {
      startMicros = balanceMicros;
      charges = [];
    },
  };
}

/** The price of an output, to the nearest millionth of a dollar. */
export function priceMicros(durationMs: number, microsPerSecond: number): number {
  return Math.round((durationMs * microsPerSecond) / 1000);
}
