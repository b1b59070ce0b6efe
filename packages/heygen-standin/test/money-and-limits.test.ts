import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { atOnce, useStandin } from './standin-fixture.ts';

let nowMs = Date.parse('2026-11-21T12:00:00Z');
const heygen = useStandin({ now: () => nowMs });

beforeEach(async () => heygen.standin.control.reset());
afterEach(() => heygen.standin.control.changeSettings({ pace: atOnce }));

describe('the wallet', () => {
  it.each([
    ['speed', 56_610],
    ['precision', 113_390],
  ] as const)('pays 1.7 s of %s with %i millionths of a dollar, once', async (mode, amountMicros) => {
    const id = await heygen.create({ mode });
    expect(heygen.standin.control.wallet()).toMatchObject({ charges: [], spentMicros: 0 });
    await heygen.read(id);
    await heygen.read(id);
    const { balanceMicros, charges } = heygen.standin.control.wallet();
    expect(charges).toEqual([
      { lipsyncId: id, mode, durationMs: 1_700, amountMicros, at: new Date(nowMs).toISOString() },
    ]);
    expect(balanceMicros).toBe(1_000_000_000 - amountMicros);
    expect(await heygen.data(heygen.call('GET', '/v3/users/me'))).toMatchObject({
      billing_type: 'wallet',
      wallet: { currency: 'usd', remaining_balance: balanceMicros / 1_000_000 },
      subscription: null,
      usage_based: null,
    });
  });

  it('pays nothing for a job that fails', async () => {
    await heygen.read(await heygen.create({}, heygen.media.silentClip));
    expect(heygen.standin.control.wallet().charges).toEqual([]);
  });

  it('refuses a job that it cannot pay, counting what the running ones will cost', async () => {
    const { control } = heygen.standin;
    control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' }, times: 'always' });
    control.setBalance(2 * 56_610);
    await heygen.create();
    await heygen.create();
    const response = await heygen.call('POST', '/v3/lipsyncs', await heygen.body());
    expect(response.status).toBe(402);
    expect(await heygen.error(response)).toMatchObject({
      code: 'insufficient_credit',
      message: 'Insufficient credit: you have $0.0000, this job needs $0.0566',
    });
  });
});

describe('many jobs at once', () => {
  it('are refused above the limit, with the time to wait', async () => {
    const { control } = heygen.standin;
    control.changeSettings({ maxConcurrent: 3, retryAfterS: 7 });
    control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' }, times: 'always' });
    const body = await heygen.body();
    const responses = await Promise.all(Array.from({ length: 8 }, () => heygen.call('POST', '/v3/lipsyncs', body)));
    expect(responses.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
      200, 200, 200, 429, 429, 429, 429, 429,
    ]);
    expect(responses.find(({ status }) => status === 429)?.headers.get('Retry-After')).toBe('7');
    expect(control.operations()).toMatchObject({ runningNow: 3, mostAtOnce: 3 });
    await heygen.call('DELETE', `/v3/lipsyncs/${control.operations().operations[0]?.lipsyncId}`);
    expect((await heygen.call('POST', '/v3/lipsyncs', body)).status).toBe(200);
    expect(control.operations()).toMatchObject({ runningNow: 3, mostAtOnce: 3 });
  });
});

describe('an idempotency key', () => {
  const createWith = async (key: string, fields = {}): Promise<Response> =>
    heygen.call('POST', '/v3/lipsyncs', await heygen.body(fields), { 'Idempotency-Key': key });

  it('repeats the first answer, even for another body, for 24 h', async () => {
    const first = await heygen.data(createWith('k'));
    expect(await heygen.data(createWith('k', { mode: 'precision' }))).toEqual(first);
    nowMs += 24 * 3_600_000 - 1;
    expect(await heygen.data(createWith('k'))).toEqual(first);
    nowMs += 1;
    expect(await heygen.data(createWith('k'))).not.toEqual(first);
    expect(heygen.standin.control.operations().operations).toHaveLength(2);
  });

  it('does not keep a refusal', async () => {
    const { control } = heygen.standin;
    control.setBalance(0);
    expect((await createWith('r')).status).toBe(402);
    control.setBalance(1_000_000);
    expect((await createWith('r')).status).toBe(200);
  });

  it('must have the right shape', async () => {
    expect(await heygen.error(createWith('a key'))).toMatchObject({
      code: 'invalid_parameter',
      param: 'Idempotency-Key',
    });
  });
});

describe('a link', () => {
  it('is new with each read and dies', async () => {
    heygen.standin.control.changeSettings({ linkLifetimeMs: 60_000 });
    const { id, url } = await heygen.finished();
    nowMs += 59_999;
    expect((await fetch(url)).status).toBe(200);
    nowMs += 1;
    const late = await fetch(url);
    expect([late.status, late.headers.get('Content-Type')]).toEqual([403, 'application/xml']);
    const { video_url: again } = await heygen.read(id);
    expect(again).not.toBe(url);
    expect((await fetch(String(again))).status).toBe(200);
  });

  it('is refused with the key, which is noted', async () => {
    const { url } = await heygen.finished();
    expect((await fetch(url, { headers: { 'X-Api-Key': heygen.standin.apiKey } })).status).toBe(400);
    expect(heygen.standin.control.leaks()).toMatchObject([{ route: 'download', hasApiKey: true }]);
  });

  it('serves parts', async () => {
    const { url } = await heygen.finished();
    const response = await fetch(url, { headers: { Range: 'bytes=4-7' } });
    expect([response.status, await response.text()]).toEqual([206, 'ftyp']);
  });
});
