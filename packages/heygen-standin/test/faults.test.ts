import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { failureMessages, type FaultRuleInput } from '../src/index.ts';
import { probeBytes, useStandin } from './standin-fixture.ts';

const heygen = useStandin();

afterEach(() => heygen.standin.control.clearFaults());

const script = (...rules: FaultRuleInput[]): void => heygen.standin.control.addFaults(...rules);
const me = (): Promise<Response> => heygen.call('GET', '/v3/users/me');

/** HeyGen's documented error codes. */
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

describe('replaced responses', () => {
  it.each(errorCodes)('A scripted error is returned once with status %i and code %s.', async (status, code) => {
    script({ match: { route: 'me' }, fault: { kind: 'error', status, code, retryAfterS: 3 } });
    const response = await me();
    expect(response.status).toBe(status);
    expect(response.headers.get('Retry-After')).toBe('3');
    expect(response.headers.get('X-Request-Id')).toMatch(/./);
    expect(await heygen.error(response)).toMatchObject({ code });
    expect((await me()).status).toBe(200);
  });

  it.each([500, 502, 503, 504])('A scripted gateway page is returned with status %i.', async (status) => {
    script({ match: { route: 'me' }, fault: { kind: 'html', status } });
    const response = await me();
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      status,
      expect.stringMatching(/^text\/html/),
    ]);
    expect(await response.text()).toContain('<html>');
  });

  it('A response can be an error with status 200, broken JSON, or an empty body.', async () => {
    script({ match: { route: 'me' }, fault: { kind: 'error_in_200' } });
    const response = await me();
    expect([response.status, await heygen.error(response)]).toEqual([
      200,
      expect.objectContaining({ code: 'internal_error' }),
    ]);
    script({ match: { route: 'me' }, fault: { kind: 'not_json' } });
    await expect((await me()).json()).rejects.toThrow();
    script({ match: { route: 'me' }, fault: { kind: 'empty', status: 502 } });
    expect(await (await me()).text()).toBe('');
  });

  it('A scripted delay postpones the response.', async () => {
    script({ match: { route: 'me' }, fault: { kind: 'delay', delayMs: 120 } });
    const startedAt = performance.now();
    expect((await me()).status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThan(110);
  });

  it('A rule applies from the nth request on, a given number of times, and to a matching job only.', async () => {
    script({ match: { route: 'me', nth: 2 }, fault: { kind: 'empty', status: 500 }, times: 2 });
    expect([(await me()).status, (await me()).status, (await me()).status, (await me()).status]).toEqual([
      200, 500, 500, 200,
    ]);
    script({
      match: { route: 'create', callbackId: 'matched' },
      fault: { kind: 'empty', status: 500 },
      times: 'always',
    });
    const other = await heygen.call('POST', '/v3/lipsyncs', await heygen.body({ callback_id: 'other' }));
    const matched = await heygen.call('POST', '/v3/lipsyncs', await heygen.body({ callback_id: 'matched' }));
    expect([other.status, matched.status]).toEqual([200, 500]);
  });
});

describe('faults of create', () => {
  const createWithKey = async (key: string): Promise<Response> =>
    heygen.call('POST', '/v3/lipsyncs', await heygen.body(), { 'Idempotency-Key': key });
  const jobs = (): number => heygen.standin.control.operations().operations.length;

  it.each([
    { kind: 'drop', accepted: true },
    { kind: 'html', status: 502, accepted: true },
  ] as const)('A create whose response is lost starts one job, which the same key returns: %j', async (fault) => {
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

  it('A create that is cut before it is accepted starts no job.', async () => {
    const before = jobs();
    script({ match: { route: 'create' }, fault: { kind: 'drop' } });
    await expect(createWithKey('dropped')).rejects.toThrow();
    expect(jobs()).toBe(before);
  });

  it('A second create with the same key gets 409 while the first is in progress.', async () => {
    script({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 500 } });
    const slow = createWithKey('slow');
    await delay(200);
    const meanwhile = await createWithKey('slow');
    expect([meanwhile.status, (await heygen.error(meanwhile))['code']]).toEqual([409, 'request_in_progress']);
    expect((await slow).status).toBe(200);
  });
});

describe('faults of jobs', () => {
  it.each(Object.entries(failureMessages))(
    'A job fails with a scripted message or reason: %s',
    async (reason, message) => {
      script(
        { match: { route: 'create' }, fault: { kind: 'fail', message } },
        { match: { route: 'create', nth: 2 }, fault: { kind: 'fail', reason: reason as keyof typeof failureMessages } },
      );
      const jobs = [await heygen.read(await heygen.create()), await heygen.read(await heygen.create())];
      expect(jobs.map(({ status, failure_message: text }) => [status, text])).toEqual([
        ['failed', message],
        ['failed', message],
      ]);
      expect(jobs[0]).not.toHaveProperty('video_url', expect.any(String));
    },
  );

  it('A stuck job stays running until it is released.', async () => {
    const { control } = heygen.standin;
    script({ match: { route: 'create' }, fault: { kind: 'stick' } });
    const id = await heygen.create();
    for (let reads = 0; reads < 3; reads += 1) expect(await heygen.read(id)).toMatchObject({ status: 'running' });
    control.release(id);
    expect(await heygen.read(id)).toMatchObject({ status: 'completed' });
  });

  it('A job can complete just before its deletion, which is then refused or leaves the job readable.', async () => {
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

  it('Reads of a job can return an unknown status, no link, no duration, or another link.', async () => {
    const { id } = await heygen.finished();
    const match = { route: 'get', lipsyncId: id } as const;
    script(
      { match, fault: { kind: 'status_word', word: 'processing' } },
      { match: { ...match, nth: 2 }, fault: { kind: 'no_video_url' } },
      { match: { ...match, nth: 3 }, fault: { kind: 'no_duration' } },
      { match: { ...match, nth: 4 }, fault: { kind: 'video_url', url: 'http://10.0.0.1/x.mp4' } },
    );
    const reads = [
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
      await heygen.read(id),
    ];
    expect(reads[0]).toMatchObject({ status: 'processing' });
    expect([reads[1]?.['status'], reads[1]?.['video_url'] ?? null]).toEqual(['completed', null]);
    expect([reads[2]?.['status'], reads[2]?.['duration'] ?? null]).toEqual(['completed', null]);
    expect(reads[3]).toMatchObject({ video_url: 'http://10.0.0.1/x.mp4' });
    expect(reads[4]).toMatchObject({
      status: 'completed',
      duration: 1.7,
      video_url: expect.stringContaining(heygen.standin.url),
    });
  });

  it('A completed job can become unknown.', async () => {
    const { id } = await heygen.finished();
    script({
      match: { route: 'get', lipsyncId: id },
      fault: { kind: 'error', status: 404, code: 'resource_not_found' },
    });
    expect((await heygen.call('GET', `/v3/lipsyncs/${id}`)).status).toBe(404);
  });
});

describe('faults of downloads', () => {
  it('A truncated download ends before its announced length.', async () => {
    const { url } = await heygen.finished();
    script({ match: { route: 'download' }, fault: { kind: 'truncate' } });
    const response = await fetch(url);
    expect(Number(response.headers.get('Content-Length'))).toBeGreaterThan(1_000);
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  it('A truncated download can announce its shorter length.', async () => {
    const { url } = await heygen.finished();
    const whole = await (await fetch(url)).arrayBuffer();
    script({ match: { route: 'download' }, fault: { kind: 'truncate', announceWhole: false, keptFraction: 0.25 } });
    const part = await (await fetch(url)).arrayBuffer();
    expect(part.byteLength).toBe(Math.floor(whole.byteLength / 4));
    await expect(probeBytes(part)).rejects.toThrow();
  });

  it('A stalled download sends the first half and nothing more.', async () => {
    const { url } = await heygen.finished();
    script({ match: { route: 'download' }, fault: { kind: 'stall' } });
    const response = await fetch(url, { signal: AbortSignal.timeout(400) });
    await expect(response.arrayBuffer()).rejects.toThrow(/timeout/);
  });

  it('A download can have another type, redirect, be unplayable or be expired.', async () => {
    const { url } = await heygen.finished();
    const downloadWith = (fault: FaultRuleInput['fault']): Promise<Response> => {
      script({ match: { route: 'download' }, fault });
      return fetch(url, { redirect: 'manual' });
    };
    expect((await downloadWith({ kind: 'content_type' })).headers.get('Content-Type')).toMatch('text/html');
    const redirect = await downloadWith({ kind: 'redirect', location: 'http://169.254.169.254/latest' });
    expect([redirect.status, redirect.headers.get('Location')]).toEqual([302, 'http://169.254.169.254/latest']);
    await expect(probeBytes(await (await downloadWith({ kind: 'unplayable' })).arrayBuffer())).rejects.toThrow();
    const expired = await downloadWith({ kind: 'expired' });
    expect([expired.status, await expired.text()]).toEqual([403, expect.stringContaining('<Error>')]);
    expect((await downloadWith({ kind: 'html', status: 503 })).status).toBe(503);
    await expect(downloadWith({ kind: 'drop' })).rejects.toThrow();
  });
});

describe('rules', () => {
  it('A rule that can never match is refused.', () => {
    expect(() => script({ match: { route: 'me' }, fault: { kind: 'truncate' } })).toThrow(
      'cannot happen on this route',
    );
    expect(() => script({ match: { route: 'download' }, fault: { kind: 'stick' } })).toThrow(
      'cannot happen on this route',
    );
  });
});
