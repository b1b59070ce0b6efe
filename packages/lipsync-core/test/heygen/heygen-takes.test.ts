import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import type { FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it, onTestFinished } from 'vitest';
import { probeTake } from '../../src/media/index.ts';
import { verifyCallback, createHeygenCallbackUrl } from '../../src/providers/heygen/heygen-callback.ts';
import {
  takeContext,
  waitForDone,
  catchError,
  prepare,
  prepareAndStart,
  useHeygen,
  type RequestOptions,
} from './heygen-fixture.ts';

const heygen = useHeygen();

/** Bodies of the create requests. */
function createBodies(): readonly unknown[] {
  return heygen.standin.control
    .log()
    .filter(({ route }) => route === 'create')
    .map(({ body }) => body);
}

/** Route and status of each request. */
function responses(): readonly string[] {
  return heygen.standin.control.log().map(({ route, status }) => `${route} ${status}`);
}

describe('takes', () => {
  it.each(['speed', 'precision'] as const)(
    'A take in %s mode is a complete video and costs the quoted price.',
    async (heygenMode) => {
      const provider = heygen.provider();
      const request = await heygen.request({ clip: 'spoken', heygenMode });
      const status = await waitForDone(provider, await prepareAndStart(provider, request));
      const take = await provider.collect(status.operation, request, takeContext);
      expect(take).toEqual({ path: request.takePath, warnings: [] });
      expect(await probeTake(request.takePath)).toMatchObject({ frameCount: 30, width: 160, height: 120 });
      expect(status.costMicros).toBe(provider.quote(request));
      expect(heygen.standin.control.wallet().charges).toEqual([
        expect.objectContaining({ mode: heygenMode, amountMicros: status.costMicros }),
      ]);
      expect(await readdir(dirname(request.takePath))).toEqual(['take.mp4']);
    },
  );

  it('The copies of an erased job, the operation and both uploads, are deleted at HeyGen, also twice.', async () => {
    const provider = heygen.provider();
    const request = await prepare(provider, await heygen.request());
    const operation = await provider.start(request, takeContext);
    await waitForDone(provider, operation);
    await provider.deleteCopies?.({ operation, request }, takeContext);
    await provider.deleteCopies?.({ operation, request }, takeContext);
    expect(heygen.standin.control.operations().operations).toMatchObject([{ deletedAt: expect.any(String) }]);
    expect(responses().slice(-6)).toEqual([
      'delete 200',
      'delete_asset 200',
      'delete_asset 200',
      'delete 404',
      'delete_asset 404',
      'delete_asset 404',
    ]);
  });

  it('A take with another format than the clip has a warning.', async () => {
    const provider = heygen.provider();
    const { operation } = await waitForDone(provider, await heygen.createOperation());
    const request = await heygen.request();
    const clip = { ...request.clip, height: 240, frameRate: { numerator: 30_000, denominator: 1_001 } };
    const { warnings } = await provider.collect(operation, { ...request, clip }, takeContext);
    expect(warnings).toEqual([
      {
        code: 'format_changed',
        message: expect.stringContaining('160 × 120 at 25.00 frames per second instead of 160 × 240 at 29.97'),
      },
    ]);
  });

  it('An operation is created with the job id, the idempotency key and the format of the clip.', async () => {
    const provider = heygen.provider({ callbackUrl: (idempotencyKey) => `http://127.0.0.1:9/ended/${idempotencyKey}` });
    const request = await heygen.request({ jobId: 'job_named', heygenMode: 'precision' });
    const operation = await prepareAndStart(provider, request);
    expect(createBodies()).toEqual([
      expect.objectContaining({
        mode: 'precision',
        callback_id: 'job_named',
        callback_url: 'http://127.0.0.1:9/ended/job_named-0',
        keep_the_same_format: true,
        title: expect.stringContaining('job_named'),
      }),
    ]);
    const create = heygen.standin.control.log().find(({ route }) => route === 'create');
    expect(create?.headers['idempotency-key']).toBe('job_named-0');
    expect(JSON.parse(JSON.stringify(operation))).toEqual(operation);
    expect(JSON.stringify(operation)).not.toContain('http');
  });

  it('HeyGen calls the callback URL of the attempt, whose token is valid.', async () => {
    const called: string[] = [];
    const server = createServer((incoming, response) => {
      called.push(incoming.url ?? '');
      response.end();
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    // `as`: a server that listens on a port has a socket address.
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { apiKey } = heygen.standin;
    const provider = heygen.provider({
      callbackUrl: (attemptName) => createHeygenCallbackUrl(base, apiKey, attemptName),
    });
    await waitForDone(provider, await prepareAndStart(provider, await heygen.request({ jobId: 'job_called' })));
    await expect.poll(() => called.length, { timeout: 20_000 }).toBe(1);
    const { pathname, searchParams } = new URL(called[0] ?? '', base);
    expect(verifyCallback(apiKey, pathname.split('/').at(-1) ?? '', searchParams.get('token') ?? '')).toEqual({
      jobId: 'job_called',
      index: 0,
    });
  });

  it('Repeated starts with one idempotency key create one operation.', async () => {
    const provider = heygen.provider();
    const request = await heygen.request();
    const [first, second] = [await prepareAndStart(provider, request), await prepareAndStart(provider, request)];
    expect(second.id).toBe(first.id);
    expect(heygen.standin.control.operations().operations).toHaveLength(1);
  });

  it('An operation is pending while its status is pending, running or unknown.', async () => {
    heygen.standin.control.changeSettings({ pace: { by: 'reads', pendingReads: 1, runningReads: 1 } });
    heygen.standin.control.addFaults({
      match: { route: 'get', nth: 3 },
      fault: { kind: 'status_word', word: 'polishing' },
    });
    const provider = heygen.provider({ pollIntervalMs: 1_234 });
    const operation = await heygen.createOperation();
    for (const _ of ['pending', 'running', 'polishing']) {
      expect(await provider.check(operation, takeContext)).toEqual({ status: 'pending', checkAgainInMs: 1_234 });
    }
    expect((await provider.check(operation, takeContext)).status).toBe('done');
  });

  it.each(['null', 'absent'] as const)('An operation is read with missing values that are %s.', async (emptyFields) => {
    heygen.standin.control.changeSettings({ emptyFields, pace: { by: 'reads', pendingReads: 1, runningReads: 0 } });
    const provider = heygen.provider();
    const operation = await heygen.createOperation();
    expect((await provider.check(operation, takeContext)).status).toBe('pending');
    expect((await provider.check(operation, takeContext)).status).toBe('done');
  });

  it('A completed operation without a link is pending and already charged.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'no_video_url' }, times: 2 });
    const provider = heygen.provider();
    const operation = await heygen.createOperation();
    const statuses = [await provider.check(operation, takeContext), await provider.check(operation, takeContext)];
    const billed = {
      status: 'pending',
      checkAgainInMs: 100,
      billedMicros: heygen.standin.control.wallet().spentMicros,
    };
    expect(statuses).toEqual([billed, billed]);
    expect((await provider.check(operation, takeContext)).status).toBe('done');
  });

  it('A take without a duration costs the quoted price and has a warning.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'no_duration' } });
    const provider = heygen.provider();
    const created = await heygen.createOperation();
    const { costMicros, operation } = await waitForDone(provider, created);
    expect(costMicros).toBe(created.state['quotedMicros']);
    const { warnings } = await provider.collect(operation, await heygen.request(), takeContext);
    expect(warnings).toEqual([{ code: 'cost_estimated', message: expect.any(String) }]);
  });
});

describe('inputs', () => {
  it.each<[string, RequestOptions, number]>([
    ['a clip without sound', { clip: 'silent' }, 30],
    ['a looped clip in another codec and container', { clip: 'foreign', speech: 'long', syncMode: 'loop' }, 50],
    ['a still image', { clip: 'still', speech: 'short' }, 20],
    [
      'a bounced window and MP3 speech',
      { clip: 'spoken', speech: 'stereoMp3', syncMode: 'bounce', window: { startMs: 400, endMs: 1_000 } },
      30,
    ],
    [
      'a window that is shorter than the speech',
      { clip: 'spoken', speech: 'long', syncMode: 'cut_off', window: { startMs: 400, endMs: 1_000 } },
      15,
    ],
    ['a long clip with sync mode remap', { clip: 'spoken', speech: 'short', syncMode: 'remap' }, 20],
    ['a long clip with sync mode silence', { clip: 'spoken', speech: 'short', syncMode: 'silence' }, 30],
  ])('Clip and speech have equal durations, which HeyGen charges: %s', async (_, options, frames) => {
    const provider = heygen.provider();
    const { costMicros } = await waitForDone(provider, await prepareAndStart(provider, await heygen.request(options)));
    expect(costMicros).toBe((frames * 40 * 333) / 10);
    expect(heygen.standin.control.operations().operations).toEqual([
      expect.objectContaining({ status: 'completed', durationMs: frames * 40 }),
    ]);
  });
});

describe('direct uploads', () => {
  it('A large file is uploaded to the storage without the key and completed when the storage reports it.', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 2 });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    const request = await heygen.request();
    const status = await waitForDone(provider, await prepareAndStart(provider, request));
    await provider.collect(status.operation, request, takeContext);
    expect(responses().slice(0, 5)).toEqual([
      'direct_upload 200',
      'put 200',
      'complete 409',
      'complete 409',
      'complete 200',
    ]);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });

  it.each<[string, FaultRuleInput['fault']]>([
    ['a cut connection', { kind: 'drop' }],
    ['a gateway page', { kind: 'html', status: 503 }],
  ])('A direct upload that gets %s is repeated only with the next preparation of the request.', async (_, fault) => {
    heygen.standin.control.addFaults({ match: { route: 'put' }, fault });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    const request = await heygen.request();
    expect(await catchError(prepare(provider, request))).toMatchObject({ code: 'provider_unavailable' });
    expect(responses().filter((response) => response.startsWith('put'))).toHaveLength(1);
    expect((await prepare(provider, request)).state['videoAssetId']).toEqual(expect.any(String));
  });

  it('A completed direct upload is reused when a later upload fails and the request is prepared again.', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 0 });
    heygen.standin.control.addFaults({
      match: { route: 'direct_upload', nth: 2 },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 },
    });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 1_000 } });
    const request = await heygen.request();
    expect(await catchError(prepare(provider, request))).toMatchObject({ code: 'rate_limited' });
    const operationRequest = await prepare(provider, request);
    expect(await waitForDone(provider, await provider.start(operationRequest, takeContext))).toMatchObject({
      status: 'done',
    });
    expect(responses().slice(0, 7)).toEqual([
      'direct_upload 200',
      'put 200',
      'complete 200',
      'direct_upload 429',
      'direct_upload 200',
      'put 403',
      'complete 200',
    ]);
  });

  it('A direct upload that the storage refuses fails with its status.', async () => {
    heygen.standin.control.addFaults({ match: { route: 'put' }, fault: { kind: 'html', status: 403 } });
    const error = await catchError(
      prepare(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'provider_protocol', httpStatus: 403 });
  });

  it('A direct upload that the storage never reports fails as unavailable.', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 1_000 });
    const error = await catchError(
      prepare(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'provider_unavailable', cause: { httpStatus: 409 } });
  });

  it('A rate-limited completion is not retried immediately.', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'complete' },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 7 },
      times: 'always',
    });
    const error = await catchError(
      prepare(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'rate_limited', retryAfterMs: 7_000 });
    expect(heygen.standin.control.log().filter(({ route }) => route === 'complete')).toHaveLength(1);
  });

  it('A file above the vendor limit is not supported.', async () => {
    heygen.standin.control.changeSettings({ directUploadMaxBytes: 50_000 });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    await expect(prepareAndStart(provider, await heygen.request())).rejects.toMatchObject({ code: 'not_supported' });
  });

  it('A direct upload to a private address that HeyGen returned is refused.', async () => {
    // Another name of the same machine is another origin.
    const provider = heygen.provider({
      endpoint: heygen.standin.url.replace('127.0.0.1', 'localhost'),
      limits: { simpleUploadMaxBytes: 40_000 },
    });
    const error = await catchError(prepareAndStart(provider, await heygen.request()));
    expect(error).toMatchObject({ code: 'provider_protocol', cause: { code: 'url_forbidden' } });
    expect(heygen.standin.control.log().map(({ route }) => route)).toEqual(['direct_upload']);
  });
});
