import { describe, expect, it } from 'vitest';
import { createHeygenBalance } from '../../src/providers/heygen/heygen-balance.ts';
import { serve, useHeygen } from './heygen-bench.ts';

const heygen = useHeygen();

describe('the balance at HeyGen', () => {
  it('is what is in the wallet, asked once a minute however many want to know', async () => {
    let nowMs = 0;
    const { apiKey, url: endpoint } = heygen.standin;
    const balance = createHeygenBalance({ apiKey, endpoint, clock: { nowMs: () => nowMs } });
    const { balanceMicros } = heygen.standin.control.wallet();
    expect(await Promise.all([balance.look(), balance.look()])).toEqual([balanceMicros, balanceMicros]);
    nowMs = 59_999;
    await balance.look();
    const asked = () => heygen.standin.control.log().filter(({ route }) => route === 'me').length;
    expect(asked()).toBe(1);
    nowMs = 60_000;
    expect(await balance.look()).toBe(balanceMicros);
    expect(asked()).toBe(2);
  });

  it('is not known with a key that is refused, and the vendor is then left alone for a while', async () => {
    const balance = createHeygenBalance({ apiKey: 'wrong', endpoint: heygen.standin.url, clock: { nowMs: () => 0 } });
    expect([await balance.look(), await balance.look()]).toEqual([null, null]);
    expect(heygen.standin.control.log().filter(({ route }) => route === 'me')).toHaveLength(1);
  });

  it.each([
    ['in credits', '{"data":{"wallet":{"currency":"credits","remaining_balance":12.5}}}', null],
    ['a plan', '{"data":{"wallet":null,"subscription":{}}}', null],
    ['no answer of the API', '<html>', null],
    ['in dollars', '{"data":{"wallet":{"currency":"usd","remaining_balance":12.5000004}}}', 12_500_000],
  ])('of an account that is %s', async (_what, body, micros) => {
    const { url: endpoint } = await serve((response) => void response.end(body));
    expect(await createHeygenBalance({ apiKey: 'key', endpoint, clock: { nowMs: () => 0 } }).look()).toBe(micros);
  });
});
