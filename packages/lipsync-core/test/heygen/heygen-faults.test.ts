import { inspect } from 'node:util';
import type { Fault, FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { ProviderError, type ErrorCode } from '../../src/errors/index.ts';
import { HeygenClient } from '../../src/providers/heygen/heygen-client.ts';
import { HeygenHttp } from '../../src/providers/heygen/heygen-http.ts';
import { findLipsync } from '../../src/providers/heygen/heygen-search.ts';
import { takeContext, catchError, serve, prepareAndStart, useHeygen } from './heygen-fixture.ts';

const heygen = useHeygen();

type FaultInput = FaultRuleInput['fault'];
type Row = readonly [number, string, ErrorCode];

/** HeyGen's documented errors: status and code, and the resulting error code. */
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

/** Invalid responses. */
const invalidResponses: readonly (readonly [string, FaultInput, ErrorCode])[] = [
  ['a cut connection', { kind: 'drop' }, 'provider_unavailable'],
  ['a gateway page with status 500', { kind: 'html', status: 500 }, 'provider_unavailable'],
  ['a gateway page with status 502', { kind: 'html', status: 502 }, 'provider_unavailable'],
  ['a gateway page with status 503', { kind: 'html', status: 503 }, 'provider_unavailable'],
  ['a gateway page with status 504', { kind: 'html', status: 504 }, 'provider_unavailable'],
  ['a gateway page with status 200', { kind: 'html', status: 200 }, 'provider_protocol'],
  ['an empty body with status 502', { kind: 'empty', status: 502 }, 'provider_unavailable'],
  ['an empty body with status 200', { kind: 'empty', status: 200 }, 'provider_protocol'],
  ['truncated JSON', { kind: 'not_json' }, 'provider_protocol'],
  ['a server error with status 200', { kind: 'error_in_200' }, 'provider_unavailable'],
  ['a refusal with status 200', { kind: 'error_in_200', code: 'insufficient_credit' }, 'provider_balance_exhausted'],
  ['a redirect', { kind: 'empty', status: 302 }, 'provider_protocol'],
];

const someLipsync = {
  videoAssetId: 'a',
  audioAssetId: 'b',
  mode: 'speed',
  title: 't',
  callbackId: 'c',
  callbackUrl: null,
  idempotencyKey: 'k',
} as const;

function isRefused(error: unknown): boolean {
  return error instanceof ProviderError && error.requestOutcome === 'refused';
}

describe('ambiguous responses', () => {
  async function clientFor(body: object): Promise<HeygenClient> {
    const { url } = await serve((response) => response.end(JSON.stringify(body)));
    return new HeygenClient(new HeygenHttp({ endpointUrl: url, apiKey: 'key' }), {
      readMs: 30_000,
      writeMs: 30_000,
      transferMs: 30_000,
    });
  }

  it('A create response with an id and an error has started the operation.', async () => {
    const client = await clientFor({
      data: { lipsync_id: 'L1' },
      error: { code: 'deprecated', message: 'enable_caption is ignored' },
    });
    expect(await client.createLipsync(someLipsync, takeContext.signal)).toBe('L1');
  });

  it('A list that continues without a token makes the search fail.', async () => {
    const searching = findLipsync(
      await clientFor({ data: [], has_more: true }),
      { callbackId: 'job_1', title: 'Lipsync job_1', createdAfterMs: 0 },
      takeContext.signal,
    );
    expect(await catchError(searching)).toMatchObject({ code: 'provider_unavailable' });
  });
});

describe('refused calls', () => {
  it.each(refusals)('A create response with status %i and code %s becomes %s.', async (status, vendorCode, code) => {
    heygen.standin.control.addFaults({
      match: { route: 'create' },
      fault: { kind: 'error', status, code: vendorCode, message: 'vendor message', retryAfterS: 3 },
    });
    const error = await catchError(heygen.client().createLipsync(someLipsync, takeContext.signal));
    expect(error.code).toBe(code);
    expect(error.message).toContain('vendor message');
    expect(error).toMatchObject({
      httpStatus: status,
      retryAfterMs: 3_000,
      details: { vendorCode, requestId: heygen.standin.control.log().at(-1)?.requestId },
    });
  });

  it('A refusal is conclusive unless it is a server error or a request in progress.', async () => {
    for (const [status, vendorCode] of refusals) {
      heygen.standin.control.addFaults({
        match: { route: 'create' },
        fault: { kind: 'error', status, code: vendorCode },
      });
      const error = await catchError(heygen.client().createLipsync(someLipsync, takeContext.signal));
      expect([vendorCode, isRefused(error)]).toEqual([
        vendorCode,
        status < 500 && !['request_in_progress', 'conflict'].includes(vendorCode),
      ]);
    }
  });

  it.each(invalidResponses)('After %s, the request outcome is known only for a refusal.', async (name, fault) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    const error = await catchError(heygen.client().createLipsync(someLipsync, takeContext.signal));
    expect(isRefused(error)).toBe(name === 'a refusal with status 200');
  });

  it.each(invalidResponses)('The error code after %s is the same for a create and a read.', async (_, fault, code) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault }, { match: { route: 'get' }, fault });
    expect((await catchError(heygen.client().createLipsync(someLipsync, takeContext.signal))).code).toBe(code);
    expect((await catchError(heygen.client().readLipsync('any', takeContext.signal))).code).toBe(code);
  });

  it('A wrong key fails after one call with an error that names the setting.', async () => {
    const provider = heygen.provider({ apiKey: 'sk_wrong' });
    const error = await catchError(prepareAndStart(provider, await heygen.request()));
    expect(error).toMatchObject({ code: 'credentials_rejected', message: expect.stringContaining('HEYGEN_API_KEY') });
    expect(heygen.standin.control.log()).toHaveLength(1);
  });

  it('An empty wallet is reported with the vendor message.', async () => {
    heygen.standin.control.setBalance(10);
    expect(await catchError(prepareAndStart(heygen.provider(), await heygen.request()))).toMatchObject({
      code: 'provider_balance_exhausted',
      message: expect.stringContaining('you have $0.0000'),
    });
    expect(heygen.standin.control.wallet().spentMicros).toBe(0);
  });

  it('The concurrency limit is reported with the Retry-After time.', async () => {
    heygen.standin.control.changeSettings({
      maxConcurrent: 1,
      retryAfterS: 7,
      pace: { by: 'clock', pendingMs: 60_000, runningMs: 0 },
    });
    await heygen.createOperation();
    expect(await catchError(heygen.createOperation())).toMatchObject({ code: 'rate_limited', retryAfterMs: 7_000 });
  });

  it('A slow create times out, and the same key returns its operation later.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'delay', delayMs: 1_000 } });
    const lipsync = await heygen.newLipsync('speed');
    const create = () => heygen.client({ writeMs: 200 }).createLipsync(lipsync, takeContext.signal);
    expect((await catchError(create())).code).toBe('provider_unavailable');
    const repeated = await catchError(create());
    expect(repeated).toMatchObject({ code: 'rate_limited', details: { vendorCode: 'request_in_progress' } });
    await expect.poll(() => heygen.standin.control.operations().operations.length).toBe(1);
    const id = await create();
    expect(heygen.standin.control.operations().operations.map(({ lipsyncId }) => lipsyncId)).toEqual([id]);
  });

  it('A slow read times out.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'delay', delayMs: 5_000 } });
    const error = await catchError(heygen.client({ readMs: 50 }).readLipsync('any', takeContext.signal));
    expect(error).toMatchObject({ code: 'provider_unavailable', message: expect.stringContaining('in time') });
  });

  it('A create whose connection is cut returns its operation when it is repeated with the same key.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'drop', accepted: true } });
    const lipsync = await heygen.newLipsync('speed');
    expect((await catchError(heygen.client().createLipsync(lipsync, takeContext.signal))).code).toBe(
      'provider_unavailable',
    );
    const id = await heygen.client().createLipsync(lipsync, takeContext.signal);
    expect(heygen.standin.control.operations().operations.map(({ lipsyncId }) => lipsyncId)).toEqual([id]);
  });
});

describe('operations', () => {
  it.each<[FaultInput, ErrorCode, string]>([
    [{ kind: 'fail', reason: 'audio_missing' }, 'not_supported', 'audio is missing or corrupted'],
    [{ kind: 'fail', reason: 'download_failed' }, 'provider_failed', 'Failed to download video'],
    [{ kind: 'fail', reason: 'duration_mismatch' }, 'not_supported', 'duration'],
    [{ kind: 'fail', reason: 'no_face' }, 'not_supported', 'No face'],
    [{ kind: 'fail', message: 'Removed by content moderation' }, 'content_refused', 'Removed by content moderation'],
    [{ kind: 'fail', message: 'An unknown failure' }, 'provider_failed', 'An unknown failure'],
  ])('A failed operation reports the vendor message and costs nothing: %j', async (fault, code, words) => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault });
    const status = await heygen.provider().check(await heygen.createOperation(), takeContext);
    expect(status).toEqual({ status: 'failed', code, message: expect.stringContaining(words), costMicros: 0 });
  });

  it('An operation that only the bulk route finds is temporarily unavailable.', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'get' },
      fault: { kind: 'error', status: 404, code: 'not_found' },
    });
    const operation = await heygen.createOperation();
    expect((await catchError(heygen.provider().check(operation, takeContext))).code).toBe('provider_unavailable');
    expect((await heygen.provider().check(operation, takeContext)).status).toBe('done');
  });

  it('A missing operation is temporarily unavailable while it is young, and lost when it is old.', async () => {
    const operation = (startedAtMs: number) => ({
      id: 'unknown',
      state: { mode: 'speed', quotedMicros: 1, startedAtMs },
    });
    const provider = heygen.provider({ limits: { freshMs: 60_000 } });
    expect((await catchError(provider.check(operation(Date.now()), takeContext))).code).toBe('provider_unavailable');
    expect((await catchError(provider.check(operation(Date.now() - 61_000), takeContext))).code).toBe(
      'provider_protocol',
    );
  });

  it('A stuck operation stays pending.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'create' }, fault: { kind: 'stick' } });
    expect((await heygen.provider().check(await heygen.createOperation(), takeContext)).status).toBe('pending');
  });

  it('Canceling an operation twice succeeds.', async () => {
    const provider = heygen.provider();
    const operation = await heygen.createOperation();
    await provider.cancel(operation, takeContext);
    await provider.cancel(operation, takeContext);
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

describe('API key', () => {
  it('A call does not follow redirects.', async () => {
    const otherServer = await serve((response) => response.end('{"data":{"status":"completed"}}'));
    const { url } = await serve((response) =>
      response.writeHead(307, { location: `${otherServer.url}/v3/lipsyncs/any` }).end(),
    );
    const client = new HeygenClient(new HeygenHttp({ endpointUrl: url, apiKey: 'sk_secret' }), {
      readMs: 5_000,
      writeMs: 5_000,
      transferMs: 5_000,
    });
    expect((await catchError(client.readLipsync('any', takeContext.signal))).code).toBe('provider_protocol');
    expect((await catchError(client.createLipsync(someLipsync, takeContext.signal))).code).toBe('provider_protocol');
    expect(otherServer.seenHeaders).toEqual([]);
  });

  it.each<Fault['kind']>(['drop', 'error', 'html', 'not_json', 'error_in_200'])(
    'No error contains the API key: %s',
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
      const error = await catchError(heygen.client().createLipsync(someLipsync, takeContext.signal));
      expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain(apiKey);
    },
  );

  it.each(['', 'two words', 'new\nline', 'schlüssel'])('An invalid API key is refused: %j', (apiKey) => {
    expect(() => heygen.provider({ apiKey })).toThrow(
      expect.objectContaining({ code: 'request_invalid', message: expect.stringContaining('HEYGEN_API_KEY') }),
    );
  });
});
