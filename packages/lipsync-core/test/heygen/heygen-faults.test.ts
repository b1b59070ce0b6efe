import { inspect } from 'node:util';
import type { Fault, FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { ProviderError, type ErrorCode } from '../../src/errors/index.ts';
import { createHeygenClient, type HeygenClient } from '../../src/providers/heygen/heygen-client.ts';
import { createHeygenHttp } from '../../src/providers/heygen/heygen-http.ts';
import { findLipsync } from '../../src/providers/heygen/heygen-search.ts';
import { calm, errorOf, serve, startOf, useHeygen } from './heygen-bench.ts';

const heygen = useHeygen();

type FaultInput = FaultRuleInput['fault'];
type Row = readonly [number, string, ErrorCode];

/** What HeyGen's reference lists, by HTTP status and code. */
const refusals: readonly Row[] = [
  [400, 'invalid_parameter', 'provider_protocol'],
  [400, 'download_failed', 'provider_failed'],
  [400, 'content_policy_violation', 'content_refused'],
  [400, 'resource_limit_reached', 'provider_balance_exhausted'],
  [400, 'resource_limit_exceeded', 'provider_balance_exhausted'],
  [401, 'unauthorized', 'credentials_rejected'],
  [401, 'authentication_failed', 'credentials_rejected'],
  [402, 'insufficient_credit', 'provider_balance_exhausted'],
  [402, 'trial_limit_exceeded', 'provider_balance_exhausted'],
  [402, 'plan_upgrade_required', 'provider_balance_exhausted'],
  [403, 'forbidden', 'credentials_rejected'],
  [403, 'resource_access_denied', 'credentials_rejected'],
  [403, 'ai_vendor_access_restricted', 'credentials_rejected'],
  [404, 'resource_not_found', 'provider_protocol'],
  [404, 'not_found', 'provider_protocol'],
  [404, 'asset_not_found', 'provider_protocol'],
  [409, 'request_in_progress', 'rate_limited'],
  [409, 'resource_not_ready', 'rate_limited'],
  [409, 'conflict', 'provider_protocol'],
  [409, 'asset_not_available', 'rate_limited'],
  [413, 'payload_too_large', 'not_supported'],
  [429, 'rate_limit_exceeded', 'rate_limited'],
  [429, 'quota_exceeded', 'provider_balance_exhausted'],
  [500, 'internal_error', 'provider_unavailable'],
  [502, 'service_unavailable', 'provider_unavailable'],
  [503, 'service_unavailable', 'provider_unavailable'],
  [504, 'gateway_timeout', 'provider_unavailable'],
];

/** Answers that are none. */
const spoilt: readonly (readonly [string, FaultInput, ErrorCode])[] = [
  ['a dropped connection', { kind: 'drop' }, 'provider_unavailable'],
  ["a gateway's page, 500", { kind: 'html', status: 500 }, 'provider_unavailable'],
  ["a gateway's page, 502", { kind: 'html', status: 502 }, 'provider_unavailable'],
  ["a gateway's page, 503", { kind: 'html', status: 503 }, 'provider_unavailable'],
  ["a gateway's page, 504", { kind: 'html', status: 504 }, 'provider_unavailable'],
  ['a page that says 200', { kind: 'html', status: 200 }, 'provider_protocol'],
  ['nothing, 502', { kind: 'empty', status: 502 }, 'provider_unavailable'],
  ['nothing, 200', { kind: 'empty', status: 200 }, 'provider_protocol'],
  ['half a JSON', { kind: 'not_json' }, 'provider_protocol'],
  ['an error in a 200', { kind: 'error_in_200' }, 'provider_unavailable'],
  ['a refusal in a 200', { kind: 'error_in_200', code: 'insufficient_credit' }, 'provider_balance_exhausted'],
  ['a redirect', { kind: 'empty', status: 302 }, 'provider_protocol'],
];

const someOrder = {
  videoAssetId: 'a',
  audioAssetId: 'b',
  mode: 'speed',
  title: 't',
  callbackId: 'c',
  callbackUrl: null,
  idempotencyKey: 'k',
} as const;

describe('an answer that says two things', () => {
  async function clientOf(answer: object): Promise<HeygenClient> {
    const { url } = await serve((response) => response.end(JSON.stringify(answer)));
    return createHeygenClient(createHeygenHttp({ endpointUrl: url, apiKey: 'key' }), {
      readMs: 30_000,
      writeMs: 30_000,
      transferMs: 30_000,
    });
  }

  it('that an operation was begun, and an error: it was begun', async () => {
    const client = await clientOf({
      data: { lipsync_id: 'L1' },
      error: { code: 'deprecated', message: 'enable_caption is ignored' },
    });
    expect(await client.createLipsync(someOrder, calm.signal)).toBe('L1');
  });

  it('that a list goes on, and not where: nothing is known of what follows', async () => {
    const searching = findLipsync(
      await clientOf({ data: [], has_more: true }),
      { callbackId: 'job_1', title: 'Lipsync job_1', notBeforeMs: 0 },
      calm.signal,
    );
    expect(await errorOf(searching)).toMatchObject({ code: 'provider_unavailable' });
  });
});

describe('a refused call', () => {
  it.each(refusals)('%i %s is %s when an operation is created', async (status, vendorCode, code) => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status, code: vendorCode, message: 'said so', retryAfterS: 3 },
    });
    const error = await errorOf(heygen.client().createLipsync(someOrder, calm.signal));
    expect(error.code).toBe(code);
    expect(error.message).toContain('said so');
    expect(error).toMatchObject({
      httpStatus: status,
      retryAfterMs: 3_000,
      details: { vendorCode, requestId: heygen.standin.control.log().at(-1)?.requestId },
    });
  });

  it('begins nothing for sure, unless HeyGen is at fault or still at work on it', async () => {
    for (const [status, vendorCode] of refusals) {
      heygen.standin.control.addFaults({
        match: { route: 'create' },
        fault: { kind: 'error', status, code: vendorCode },
      });
      const error = await errorOf(heygen.client().createLipsync(someOrder, calm.signal));
      expect([vendorCode, error instanceof ProviderError && error.requestOutcome === 'refused']).toEqual([
        vendorCode,
        status < 500 && !['request_in_progress', 'conflict'].includes(vendorCode),
      ]);
    }
  });

  it.each(spoilt)('%s leaves open whether it was heard, unless it names a refusal', async (name, fault) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    const error = await errorOf(heygen.client().createLipsync(someOrder, calm.signal));
    expect(error instanceof ProviderError && error.requestOutcome === 'refused').toBe(name === 'a refusal in a 200');
  });

  it.each(spoilt)('%s is told from what it looks like, on a create and on a read', async (_, fault, code) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault }, { match: { route: 'get' }, fault });
    expect((await errorOf(heygen.client().createLipsync(someOrder, calm.signal))).code).toBe(code);
    expect((await errorOf(heygen.client().readLipsync('any', calm.signal))).code).toBe(code);
  });

  it('names the setting when the key is wrong, after one call', async () => {
    const provider = heygen.provider({ apiKey: 'sk_wrong' });
    const error = await errorOf(startOf(provider, await heygen.request()));
    expect(error).toMatchObject({ code: 'credentials_rejected', message: expect.stringContaining('HEYGEN_API_KEY') });
    expect(heygen.standin.control.log()).toHaveLength(1);
  });

  it('tells when the wallet is empty', async () => {
    heygen.standin.control.setBalance(10);
    expect(await errorOf(startOf(heygen.provider(), await heygen.request()))).toMatchObject({
      code: 'provider_balance_exhausted',
      message: expect.stringContaining('you have $0.0000'),
    });
    expect(heygen.standin.control.wallet().spentMicros).toBe(0);
  });

  it('hands on for how long to wait when all places are taken', async () => {
    heygen.standin.control.changeSettings({
      maxConcurrent: 1,
      retryAfterS: 7,
      pace: { by: 'clock', pendingMs: 60_000, runningMs: 0 },
    });
    await heygen.placed();
    expect(await errorOf(heygen.placed())).toMatchObject({ code: 'rate_limited', retryAfterMs: 7_000 });
  });

  it('does not wait for ever: a slow answer is given up, and the same key finds the operation again', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 1_000 } });
    const order = await heygen.order('speed');
    const create = () => heygen.client({ writeMs: 200 }).createLipsync(order, calm.signal);
    expect((await errorOf(create())).code).toBe('provider_unavailable');
    const repeated = await errorOf(create());
    expect(repeated).toMatchObject({ code: 'rate_limited', details: { vendorCode: 'request_in_progress' } });
    await expect.poll(() => heygen.standin.control.operations().operations.length).toBe(1);
    const id = await create();
    expect(heygen.standin.control.operations().operations.map(({ lipsyncId }) => lipsyncId)).toEqual([id]);
  });

  it('is given up after its limit, also a read', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'delay', delayMs: 5_000 } });
    const error = await errorOf(heygen.client({ readMs: 50 }).readLipsync('any', calm.signal));
    expect(error).toMatchObject({ code: 'provider_unavailable', message: expect.stringContaining('in time') });
  });

  it('that was heard although its connection broke is found again by its key', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'drop', accepted: true } });
    const order = await heygen.order('speed');
    expect((await errorOf(heygen.client().createLipsync(order, calm.signal))).code).toBe('provider_unavailable');
    const id = await heygen.client().createLipsync(order, calm.signal);
    expect(heygen.standin.control.operations().operations.map(({ lipsyncId }) => lipsyncId)).toEqual([id]);
  });
});

describe('an operation', () => {
  it.each<[FaultInput, ErrorCode, string]>([
    [{ kind: 'fail', reason: 'audio_missing' }, 'not_supported', 'audio is missing or corrupted'],
    [{ kind: 'fail', reason: 'download_failed' }, 'provider_failed', 'Failed to download video'],
    [{ kind: 'fail', reason: 'duration_mismatch' }, 'not_supported', 'duration'],
    [{ kind: 'fail', reason: 'no_face' }, 'not_supported', 'No face'],
    [{ kind: 'fail', message: 'Removed by content moderation' }, 'content_refused', 'Removed by content moderation'],
    [{ kind: 'fail', message: 'Something nobody has seen yet' }, 'provider_failed', 'Something nobody has seen yet'],
  ])("that failed says so in HeyGen's words, and costs nothing: %j", async (fault, code, words) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    const status = await heygen.provider().check(await heygen.placed(), calm);
    expect(status).toEqual({ status: 'failed', code, message: expect.stringContaining(words), costMicros: 0 });
  });

  it('that cannot be read just now, but that the bulk route knows, is asked for again', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'get' },
      fault: { kind: 'error', status: 404, code: 'not_found' },
    });
    const operation = await heygen.placed();
    expect((await errorOf(heygen.provider().check(operation, calm))).code).toBe('provider_unavailable');
    expect((await heygen.provider().check(operation, calm)).status).toBe('done');
  });

  it('that is young and not found is asked for again; one that is old is gone', async () => {
    const operation = (startedAtMs: number) => ({
      id: 'unheard-of',
      state: { mode: 'speed', quotedMicros: 1, startedAtMs },
    });
    const provider = heygen.provider({ limits: { freshMs: 60_000 } });
    expect((await errorOf(provider.check(operation(Date.now()), calm))).code).toBe('provider_unavailable');
    expect((await errorOf(provider.check(operation(Date.now() - 61_000), calm))).code).toBe('provider_protocol');
  });

  it('that stands still stays pending', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
    expect((await heygen.provider().check(await heygen.placed(), calm)).status).toBe('pending');
  });

  it('is deleted when it is canceled, whether HeyGen still has it or not', async () => {
    const provider = heygen.provider();
    const operation = await heygen.placed();
    await provider.cancel(operation, calm);
    await provider.cancel(operation, calm);
    expect(heygen.standin.control.operations().operations.map(({ deletedAt }) => deletedAt)).toEqual([
      expect.any(String),
    ]);
    expect(
      heygen.standin.control
        .log()
        .filter(({ route }) => route === 'delete')
        .map(({ status }) => status),
    ).toEqual([200, 404]);
  });
});

describe('the key', () => {
  it('does not follow a call to where its answer redirects', async () => {
    const stranger = await serve((response) => response.end('{"data":{"status":"completed"}}'));
    const { url } = await serve((response) =>
      response.writeHead(307, { location: `${stranger.url}/v3/lipsyncs/any` }).end(),
    );
    const client = createHeygenClient(createHeygenHttp({ endpointUrl: url, apiKey: 'sk_secret' }), {
      readMs: 5_000,
      writeMs: 5_000,
      transferMs: 5_000,
    });
    expect((await errorOf(client.readLipsync('any', calm.signal))).code).toBe('provider_protocol');
    expect((await errorOf(client.createLipsync(someOrder, calm.signal))).code).toBe('provider_protocol');
    expect(stranger.seen).toEqual([]);
  });

  it.each<Fault['kind']>(['drop', 'error', 'html', 'not_json', 'error_in_200'])(
    'is in no error, however deep one looks: %s',
    async (kind) => {
      const { apiKey, control } = heygen.standin;
      const message = `the key ${apiKey} is bad`;
      const faults: Partial<Record<Fault['kind'], FaultInput>> = {
        drop: { kind: 'drop' },
        error: { kind: 'error', status: 403, code: `about ${apiKey}`, message },
        html: { kind: 'html', status: 500 },
        not_json: { kind: 'not_json' },
        error_in_200: { kind: 'error_in_200', message },
      };
      const fault = faults[kind];
      if (fault) control.addFaults({ match: { route: 'create' }, fault });
      const error = await errorOf(heygen.client().createLipsync(someOrder, calm.signal));
      expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(apiKey);
    },
  );

  it.each(['', 'two words', 'new\nline', 'schlüssel'])('is refused when it cannot be one: %j', (apiKey) => {
    expect(() => heygen.provider({ apiKey })).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining('HEYGEN_API_KEY') }),
    );
  });
});
