import { describe, expect, it } from 'vitest';
import { HeygenBalance } from '../../src/providers/heygen/heygen-account.ts';
import { serve, useHeygen } from './heygen-fixture.ts';

const heygen = useHeygen();

describe('HeygenBalance', () => {
  it('The balance of the wallet is requested at most once a minute.', async () => {
    let nowMs = 0;
    const { apiKey, url: endpoint } = heygen.standin;
    const balance = new HeygenBalance({ apiKey, endpoint, clock: { nowMs: () => nowMs } });
    const { balanceMicros } = heygen.standin.control.wallet();
    expect(await Promise.all([balance.readMicros(), balance.readMicros()])).toEqual([balanceMicros, balanceMicros]);
    nowMs = 59_999;
    await balance.readMicros();
    const requests = () => heygen.standin.control.log().filter(({ route }) => route === 'me').length;
    expect(requests()).toBe(1);
    nowMs = 60_000;
    expect(await balance.readMicros()).toBe(balanceMicros);
    expect(requests()).toBe(2);
  });

  it('The balance is null for a rejected key, and the failure is cached.', async () => {
    const balance = new HeygenBalance({ apiKey: 'wrong', endpoint: heygen.standin.url, clock: { nowMs: () => 0 } });
    expect([await balance.readMicros(), await balance.readMicros()]).toEqual([null, null]);
    expect(heygen.standin.control.log().filter(({ route }) => route === 'me')).toHaveLength(1);
  });

  it.each([
    ['counted in credits', '{"data":{"wallet":{"currency":"credits","remaining_balance":12.5}}}', null],
    ['paid by a plan', '{"data":{"wallet":null,"subscription":{}}}', null],
    ['unreadable', '<html>', null],
    ['in USD', '{"data":{"wallet":{"currency":"usd","remaining_balance":12.5000004}}}', 12_500_000],
  ])('The balance of an account that is %s is returned in USD or as null.', async (_what, body, micros) => {
    const { url: endpoint } = await serve((response) => void response.end(body));
    expect(await new HeygenBalance({ apiKey: 'key', endpoint, clock: { nowMs: () => 0 } }).readMicros()).toBe(micros);
  });
});
