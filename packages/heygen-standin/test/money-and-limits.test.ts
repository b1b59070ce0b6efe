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
  ] as const)(
    'A completed job of 1.7 s in %s mode is charged %i millionths of a dollar once.',
    async (mode, amountMicros) => {
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
    },
  );

  it('A failed job is not charged.', async () => {
    await heygen.read(await heygen.create({}, heygen.media.silentClip));
    expect(heygen.standin.control.wallet().charges).toEqual([]);
  });

  it('A job is refused when the balance does not cover it and the active jobs.', async () => {
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

describe('concurrency', () => {
  it('Jobs above the concurrency limit are refused with Retry-After.', async () => {
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

describe('idempotency keys', () => {
  const createWith = async (key: string, fields = {}): Promise<Response> =>
    heygen.call('POST', '/v3/lipsyncs', await heygen.body(fields), { 'Idempotency-Key': key });

  it('An idempotency key repeats the first response for 24 h, even for another body.', async () => {
    const first = await heygen.data(createWith('k'));
    expect(await heygen.data(createWith('k', { mode: 'precision' }))).toEqual(first);
    nowMs += 24 * 3_600_000 - 1;
    expect(await heygen.data(createWith('k'))).toEqual(first);
    nowMs += 1;
    expect(await heygen.data(createWith('k'))).not.toEqual(first);
    expect(heygen.standin.control.operations().operations).toHaveLength(2);
  });

  it('An idempotency key does not store an error.', async () => {
    const { control } = heygen.standin;
    control.setBalance(0);
    expect((await createWith('r')).status).toBe(402);
    control.setBalance(1_000_000);
    expect((await createWith('r')).status).toBe(200);
  });

  it('A malformed idempotency key is refused.', async () => {
    expect(await heygen.error(createWith('a key'))).toMatchObject({
      code: 'invalid_parameter',
      param: 'Idempotency-Key',
    });
  });
});

describe('links', () => {
  it('Every read returns a new link, and links expire.', async () => {
    heygen.standin.control.changeSettings({ linkLifetimeMs: 60_000 });
    const { id, url } = await heygen.finished();
    nowMs += 59_999;
    expect((await fetch(url)).status).toBe(200);
    nowMs += 1;
    const late = await fetch(url);
    expect([late.status, late.headers.get('Content-Type')]).toEqual([403, 'application/xml']);
    const { video_url: newUrl } = await heygen.read(id);
    expect(newUrl).not.toBe(url);
    expect((await fetch(String(newUrl))).status).toBe(200);
  });

  it('A download that carries the key is refused and logged as a leak.', async () => {
    const { url } = await heygen.finished();
    expect((await fetch(url, { headers: { 'X-Api-Key': heygen.standin.apiKey } })).status).toBe(400);
    expect(heygen.standin.control.leaks()).toMatchObject([{ route: 'download', hasApiKey: true }]);
  });

  it('A download supports range requests.', async () => {
    const { url } = await heygen.finished();
    const response = await fetch(url, { headers: { Range: 'bytes=4-7' } });
    expect([response.status, await response.text()]).toEqual([206, 'ftyp']);
  });
});
