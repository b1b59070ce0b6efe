import { z } from 'zod';
import type { Clock } from '../../contract/ports.ts';
import { parseHeygenEndpoint } from './heygen-endpoint.ts';
import { createHeygenHttp } from './heygen-http.ts';
import { parseData } from './heygen-wire.ts';

/** What is left in the wallet at HeyGen. */
export interface HeygenBalance {
  /**
   * In millionths of a dollar, at most a minute old; null where it is not known: an account that is billed otherwise, in
   * credits, or a vendor that did not answer. Never throws.
   */
  look(): Promise<number | null>;
}

export interface HeygenBalanceOptions {
  readonly apiKey: string;
  readonly endpoint: string;
  readonly clock: Clock;
}

const limitMs = 5_000;
const keptMs = 60_000;

const accountSchema = z.object({ wallet: z.object({ currency: z.string(), remaining_balance: z.number() }).nullish() });

/** One question a minute, whoever asks; a failure is kept as long, so that a vendor in trouble is left alone. */
export function createHeygenBalance(options: HeygenBalanceOptions): HeygenBalance {
  let asked: { readonly atMs: number; readonly answer: Promise<number | null> } | undefined;
  return {
    look() {
      const nowMs = options.clock.nowMs();
      if (asked && nowMs - asked.atMs < keptMs) return asked.answer;
      const answer = ask(options).catch(() => null);
      asked = { atMs: nowMs, answer };
      return answer;
    },
  };
}

async function ask({ apiKey, endpoint }: HeygenBalanceOptions): Promise<number | null> {
  const { call } = createHeygenHttp({ endpointUrl: parseHeygenEndpoint(endpoint).url, apiKey });
  const data = await call({ method: 'GET', path: '/v3/users/me', limitMs, signal: AbortSignal.timeout(limitMs) });
  const { wallet } = parseData(accountSchema, data, 'a question about the account');
  return wallet?.currency.toLowerCase() === 'usd' ? Math.round(wallet.remaining_balance * 1_000_000) : null;
}
