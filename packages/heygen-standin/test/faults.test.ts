import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { failureMessages, type FaultRuleInput } from '../src/index.ts';
import { probeBytes, useStandin } from './standin-fixture.ts';

const heygen = useStandin();

afterEach(() => heygen.standin.control.clearFaults());

const script = (...rules: FaultRuleInput[]): void => heygen.standin.control.addFaults(...rules);
const me = (): Promise<Response> => heygen.call('GET', '/v3/users/me');

/** The codes that HeyGen answers with, by status. */
const errorCodes = [
  [400, 'invalid_parameter'],
  [400, 'download_failed'],
  [400, 'content_policy_violation'],
  [400, 'resource_limit_reached'],
  [401, 'unauthorized'],
  [401, 'authentication_failed'],
  [402, 'insufficient_credit'],
  [402, 'trial_limit_exceeded'],
  [402, 'plan_upgrade_required'],
  [403, 'forbidden'],
  [403, 'resource_access_denied'],
  [403, 'ai_vendor_access_restricted'],
  [404, 'resource_not_found'],
  [404, 'not_found'],
  [404, 'asset_not_found'],
  [409, 'request_in_progress'],
  [409, 'resource_not_ready'],
  [409, 'conflict'],
  [409, 'asset_not_available'],
  [413, 'payload_too_large'],
  [429, 'rate_limit_exceeded'],
  [429, 'quota_exceeded'],
  [500, 'internal_error'],
  [502, 'service_unavailable'],
  [503, 'service_unavailable'],
  [504, 'gateway_timeout'],
] as const;

describe('a scripted answer', () => {
  it.each(errorCodes)('is %i %s', async (status, code) => {
    script({ match: { route: 'me' }, fault: { kind: 'error', status, code, retryAfterS: 3 } });
    const response = await me();
    expect(response.status).toBe(status);
    expect(response.headers.get('Retry-After')).toBe('3');
    expect(response.headers.get('X-Request-Id')).toMatch(/./);
    expect(await heygen.error(response)).toMatchObject({ code });
    expect((await me()).status).toBe(200);
  });

  it.each([500, 502, 503, 504])('is %i as a page in HTML', async (status) => {
    script({ match: { route: 'me' }, fault: { kind: 'html', status } });
    const response = await me();
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      status,
      expect.stringMatching(/^text\/html/),
    ]);
    expect(await response.text()).toContain('<html>');
  });

  it('is 200 with an error, JSON that breaks off, or nothing', async () => {
    script({ match: { route: 'me' }, fault: { kind: 'error_in_200' } });
    const lying = await me();
    expect([lying.status, await heygen.error(lying)]).toEqual([
      200,
      expect.objectContaining({ code: 'internal_error' }),
    ]);
    script({ match: { route: 'me' }, fault: { kind: 'not_json' } });
    await expect((await me()).json()).rejects.toThrow();
    script({ match: { route: 'me' }, fault: { kind: 'empty', status: 502 } });
    expect(await (await me()).text()).toBe('');
  });

  it('is late', async () => {
    script({ match: { route: 'me' }, fault: { kind: 'delay', delayMs: 120 } });
    const startedAt = performance.now();
    expect((await me()).status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThan(110);
  });

  it('comes from the nth request on, as often as it is told, for one job among many', async () => {
    script({ match: { route: 'me', nth: 2 }, fault: { kind: 'empty', status: 500 }, times: 2 });
    expect([(await me()).status, (await me()).status, (await me()).status, (await me()).status]).toEqual([
      200, 500, 500, 200,
    ]);
    script({
      match: { route: 'create', callbackId: 'unlucky' },
      fault: { kind: 'empty', status: 500 },
      times: 'always',
    });
    const lucky = await heygen.call('POST', '/v3/lipsyncs', await heygen.body({ callback_id: 'lucky' }));
    const unlucky = await heygen.call('POST', '/v3/lipsyncs', await heygen.body({ callback_id: 'unlucky' }));
    expect([lucky.status, unlucky.status]).toEqual([200, 500]);
  });
});

describe('a create that is spoilt', () => {
  const createWithKey = async (key: string): Promise<Response> =>
    heygen.call('POST', '/v3/lipsyncs', await heygen.body(), { 'Idempotency-Key': key });
  const jobs = (): number => heygen.standin.control.operations().operations.length;

  it.each([
    { kind: 'drop', accepted: true },
    { kind: 'html', status: 502, accepted: true },
  ] as const)('after it was accepted made one job, which the same key finds again: %j', async (fault) => {
    const before = jobs();
    script({ match: { route: 'create' }, fault });
    const first = await createWithKey(`accepted-${fault.kind}`).then(
      (response) => response.status,
      () => 'cut',
    );
    expect(first).toBe(fault.kind === 'drop' ? 'cut' : 502);
    expect(jobs()).toBe(before + 1);
    const { lipsync_id: id } = await heygen.data(createWithKey(`accepted-${fault.kind}`));
    expect(jobs()).toBe(before + 1);
    expect(heygen.standin.control.operations().operations.at(-1)?.lipsyncId).toBe(id);
  });

  it('before it was accepted made none', async () => {
    const before = jobs();
    script({ match: { route: 'create' }, fault: { kind: 'drop' } });
    await expect(createWithKey('dropped')).rejects.toThrow();
    expect(jobs()).toBe(before);
  });

  it('by being slow answers 409 to the same key meanwhile', async () => {
    script({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 500 } });
    const slow = createWithKey('slow');
    await delay(200);
    const meanwhile = await createWithKey('slow');
    expect([meanwhile.status, (await heygen.error(meanwhile))['code']]).toEqual([409, 'request_in_progress']);
    expect((await slow).status).toBe(200);
  });
});

describe('a job that is spoilt', () => {
  it.each(Object.entries(failureMessages))('fails: %s', async (reason, message) => {
    script(
      { match: { route: 'create' }, fault: { kind: 'fail', message } },
      { match: { route: 'create', nth: 2 }, fault: { kind: 'fail', reason: reason as keyof typeof failureMessages } },
    );
    const told = [await heygen.read(await heygen.create()), await heygen.read(await heygen.create())];
    expect(told.map(({ status, failure_message: text }) => [status, text])).toEqual([
      ['failed', message],
      ['failed', message],
    ]);
    expect(told[0]).not.toHaveProperty('video_url', expect.any(String));
  });

  it('stays running until it is released', async () => {
    const { control } = heygen.standin;
    script({ match: { route: 'create' }, fault: { kind: 'stick' } });
    const id = await heygen.create();
    for (let reads = 0; reads < 3; reads += 1) expect(await heygen.read(id)).toMatchObject({ status: 'running' });
    control.release(id);
    expect(await heygen.read(id)).toMatchObject({ status: 'completed' });
  });

  it('is completed just before it is deleted, which is refused, or can be read all the same', async () => {
    const { control } = heygen.standin;
    for (const [outcome, status] of [
      ['refused', 409],
      ['lingering', 200],
    ] as const) {
      script(
        { match: { route: 'create' }, fault: { kind: 'stick' } },
        { match: { route: 'delete' }, fault: { kind: 'finish', outcome } },
      );
      const id = await heygen.create();
      expect(await heygen.read(id)).toMatchObject({ status: 'running' });
      expect((await heygen.call('DELETE', `/v3/lipsyncs/${id}`)).status).toBe(status);
      expect(await heygen.read(id)).toMatchObject({ status: 'completed', duration: 1.7 });
      expect(control.wallet().charges.filter(({ lipsyncId }) => lipsyncId === id)).toHaveLength(1);
    }
  });

  it('is told with an unknown word, without a link, without a length, with a foreign link, and then as it is', async () => {
    const { id } = await heygen.finished();
    const match = { route: 'get', lipsyncId: id } as const;
    script(
      { match, fault: { kind: 'status_word', word: 'processing' } },
      { match: { ...match, nth: 2 }, fault: { kind: 'no_video_url' } },
      { match: { ...match, nth: 3 }, fault: { kind: 'no_duration' } },
      { match: { ...match, nth: 4 }, fault: { kind: 'video_url', url: 'http://10.0.0.1/x.mp4' } },
    );
    const told = [
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
    ];
    expect(told[0]).toMatchObject({ status: 'processing' });
    expect([told[1]?.['status'], told[1]?.['video_url'] ?? null]).toEqual(['completed', null]);
    expect([told[2]?.['status'], told[2]?.['duration'] ?? null]).toEqual(['completed', null]);
    expect(told[3]).toMatchObject({ video_url: 'http://10.0.0.1/x.mp4' });
    expect(told[4]).toMatchObject({
      status: 'completed',
      duration: 1.7,
      video_url: expect.stringContaining(heygen.standin.url),
    });
  });

  it('is not known any more', async () => {
    const { id } = await heygen.finished();
    script({
      match: { route: 'get', lipsyncId: id },
      fault: { kind: 'error', status: 404, code: 'resource_not_found' },
    });
    expect((await heygen.call('GET', `/v3/lipsyncs/${id}`)).status).toBe(404);
  });
});

describe('a download that is spoilt', () => {
  it('breaks off before its announced end', async () => {
    const { url } = await heygen.finished();
    script({ match: { route: 'download' }, fault: { kind: 'truncate' } });
    const response = await fetch(url);
    expect(Number(response.headers.get('Content-Length'))).toBeGreaterThan(1_000);
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  it('ends early as if that were all', async () => {
    const { url } = await heygen.finished();
    const whole = await (await fetch(url)).arrayBuffer();
    script({ match: { route: 'download' }, fault: { kind: 'truncate', announceWhole: false, keptFraction: 0.25 } });
    const part = await (await fetch(url)).arrayBuffer();
    expect(part.byteLength).toBe(Math.floor(whole.byteLength / 4));
    await expect(probeBytes(part)).rejects.toThrow();
  });

  it('stands still halfway', async () => {
    const { url } = await heygen.finished();
    script({ match: { route: 'download' }, fault: { kind: 'stall' } });
    const response = await fetch(url, { signal: AbortSignal.timeout(400) });
    await expect(response.arrayBuffer()).rejects.toThrow(/timeout/);
  });

  it('has another type, leads elsewhere, cannot be played, has expired', async () => {
    const { url } = await heygen.finished();
    const spoilt = (fault: FaultRuleInput['fault']): Promise<Response> => {
      script({ match: { route: 'download' }, fault });
      return fetch(url, { redirect: 'manual' });
    };
    expect((await spoilt({ kind: 'content_type' })).headers.get('Content-Type')).toMatch('text/html');
    const redirect = await spoilt({ kind: 'redirect', location: 'http://169.254.169.254/latest' });
    expect([redirect.status, redirect.headers.get('Location')]).toEqual([302, 'http://169.254.169.254/latest']);
    await expect(probeBytes(await (await spoilt({ kind: 'unplayable' })).arrayBuffer())).rejects.toThrow();
    const expired = await spoilt({ kind: 'expired' });
    expect([expired.status, await expired.text()]).toEqual([403, expect.stringContaining('<Error>')]);
    expect((await spoilt({ kind: 'html', status: 503 })).status).toBe(503);
    await expect(spoilt({ kind: 'drop' })).rejects.toThrow();
  });
});

describe('a rule', () => {
  it('that could never fire is refused', () => {
    expect(() => script({ match: { route: 'me' }, fault: { kind: 'truncate' } })).toThrow(
      'cannot happen on this route',
    );
    expect(() => script({ match: { route: 'download' }, fault: { kind: 'stick' } })).toThrow(
      'cannot happen on this route',
    );
  });
});
