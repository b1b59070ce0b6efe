import { z } from 'zod';
import type { Clock } from '../../contract/ports.ts';
import { HeygenHttp, parseHeygenEndpoint } from './heygen-http.ts';
import { parseData } from './heygen-wire.ts';

export interface HeygenBalanceOptions {
  readonly apiKey: string;
  readonly endpoint: string;
  readonly clock: Clock;
}

const requestTimeoutMs = 5_000;
const cacheLifetimeMs = 60_000;

const accountSchema = z.object({ wallet: z.object({ currency: z.string(), remaining_balance: z.number() }).nullish() });

/** The balance of the HeyGen wallet. */
export class HeygenBalance {
  readonly #options: HeygenBalanceOptions;
  #cached: { readonly atMs: number; readonly balanceMicros: Promise<number | null> } | undefined;

  constructor(options: HeygenBalanceOptions) {
    this.#options = options;
  }

  /**
   * Reads the balance in millionths of a dollar, at most once a minute. Null if HeyGen is unavailable or the account is
   * not billed in USD. Never throws: a failure is cached as well, so that an unavailable HeyGen is not called
   * again.
   */
  async readMicros(): Promise<number | null> {
    const nowMs = this.#options.clock.nowMs();
    if (!this.#cached || nowMs - this.#cached.atMs >= cacheLifetimeMs)
      this.#cached = { atMs: nowMs, balanceMicros: requestBalance(this.#options).catch(() => null) };
    return this.#cached.balanceMicros;
  }
}

async function requestBalance({ apiKey, endpoint }: HeygenBalanceOptions): Promise<number | null> {
  const http = new HeygenHttp({ endpointUrl: parseHeygenEndpoint(endpoint).url, apiKey });
  const signal = AbortSignal.timeout(requestTimeoutMs);
  const data = await http.call({ method: 'GET', path: '/v3/users/me', timeoutMs: requestTimeoutMs, signal });
  const { wallet } = parseData(accountSchema, data, 'a read of the account');
  return wallet?.currency.toLowerCase() === 'usd' ? Math.round(wallet.remaining_balance * 1_000_000) : null;
}

/**
 * HeyGen's charge for an output, rounded to a millionth of a dollar. Exact for durations in whole microseconds, because
 * `durationS` is rounded to microseconds first. Pure.
 */
export function chargedMicros(durationS: number, microsPerSecond: number): number {
  return Math.round((Math.round(durationS * 1_000_000) * microsPerSecond) / 1_000_000);
}

/**
 * The highest charge for an output: the last millisecond counts in full, because HeyGen's rounding is unknown. Pure.
 */
export function quotedMicros(durationMs: number, microsPerSecond: number): number {
  return Math.ceil((Math.ceil(durationMs) * microsPerSecond) / 1000);
}
