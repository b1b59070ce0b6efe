import { readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import type { FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it, onTestFinished } from 'vitest';
import { probeTake } from '../../src/media/index.ts';
import { attemptOfCallback, heygenCallbackUrl } from '../../src/providers/heygen/heygen-callback.ts';
import { calm, doneOf, errorOf, orderOf, startOf, useHeygen, type RequestWishes } from './heygen-bench.ts';

const heygen = useHeygen();

/** The bodies of creates, as the vendor saw them. */
function orders(): readonly unknown[] {
  return heygen.standin.control
    .log()
    .filter(({ route }) => route === 'create')
    .map(({ body }) => body);
}

/** What was asked, and the HTTP status of its answer. */
function answers(): readonly string[] {
  return heygen.standin.control.log().map(({ route, status }) => `${route} ${status}`);
}

describe('a take made by HeyGen', () => {
  it.each(['speed', 'precision'] as const)('is a whole video and costs what was quoted: %s', async (heygenMode) => {
    const provider = heygen.provider();
    const request = await heygen.request({ clip: 'spoken', heygenMode });
    const status = await doneOf(provider, await startOf(provider, request));
    const take = await provider.collect(status.operation, request, calm);
    expect(take).toEqual({ path: request.takePath, warnings: [] });
    expect(await probeTake(request.takePath)).toMatchObject({ frameCount: 30, width: 160, height: 120 });
    expect(status.costMicros).toBe(provider.quote(request));
    expect(heygen.standin.control.wallet().charges).toEqual([
      expect.objectContaining({ mode: heygenMode, amountMicros: status.costMicros }),
    ]);
    expect(await readdir(dirname(request.takePath))).toEqual(['take.mp4']);
  });

  it('is said to have another format where it does', async () => {
    const provider = heygen.provider();
    const { operation } = await doneOf(provider, await heygen.placed());
    const request = await heygen.request();
    const clip = { ...request.clip, height: 240, frameRate: { numerator: 30_000, denominator: 1_001 } };
    const { warnings } = await provider.collect(operation, { ...request, clip }, calm);
    expect(warnings).toEqual([
      {
        code: 'format_changed',
        message: expect.stringContaining('160 × 120 at 25.00 frames per second instead of 160 × 240 at 29.97'),
      },
    ]);
  });

  it('is ordered under the name of the job, with the key that was given, in the format of the clip', async () => {
    const provider = heygen.provider({ callbackUrl: (idempotencyKey) => `http://127.0.0.1:9/ended/${idempotencyKey}` });
    const request = await heygen.request({ jobId: 'job_named', heygenMode: 'precision' });
    const operation = await startOf(provider, request);
    expect(orders()).toEqual([
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

  it('is announced where its attempt said, by a URL that nobody else could have made', async () => {
    const called: string[] = [];
    const server = createServer((incoming, response) => {
      called.push(incoming.url ?? '');
      response.end();
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    // `as`: a server that listens on a port has an address of this kind.
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { apiKey } = heygen.standin;
    const provider = heygen.provider({ callbackUrl: (attemptName) => heygenCallbackUrl(base, apiKey, attemptName) });
    await doneOf(provider, await startOf(provider, await heygen.request({ jobId: 'job_called' })));
    await expect.poll(() => called.length, { timeout: 20_000 }).toBe(1);
    const { pathname, searchParams } = new URL(called[0] ?? '', base);
    expect(attemptOfCallback(apiKey, pathname.split('/').at(-1) ?? '', searchParams.get('token') ?? '')).toEqual({
      jobId: 'job_called',
      index: 0,
    });
  });

  it('is one operation for one idempotency key, however often it is begun', async () => {
    const provider = heygen.provider();
    const request = await heygen.request();
    const [first, second] = [await startOf(provider, request), await startOf(provider, request)];
    expect(second.id).toBe(first.id);
    expect(heygen.standin.control.operations().operations).toHaveLength(1);
  });

  it('goes on while HeyGen says pending, running, or a word that nobody knows', async () => {
    heygen.standin.control.changeSettings({ pace: { by: 'reads', pendingReads: 1, runningReads: 1 } });
    heygen.standin.control.addFaults({
      match: { route: 'get', nth: 3 },
      fault: { kind: 'status_word', word: 'polishing' },
    });
    const provider = heygen.provider({ pollIntervalMs: 1_234 });
    const operation = await heygen.placed();
    for (const _ of ['pending', 'running', 'polishing']) {
      expect(await provider.check(operation, calm)).toEqual({ status: 'pending', checkAgainInMs: 1_234 });
    }
    expect((await provider.check(operation, calm)).status).toBe('done');
  });

  it.each(['null', 'absent'] as const)(
    'is read whether missing values are null or left out: %s',
    async (emptyFields) => {
      heygen.standin.control.changeSettings({ emptyFields, pace: { by: 'reads', pendingReads: 1, runningReads: 0 } });
      const provider = heygen.provider();
      const operation = await heygen.placed();
      expect((await provider.check(operation, calm)).status).toBe('pending');
      expect((await provider.check(operation, calm)).status).toBe('done');
    },
  );

  it('is waited for when it is completed without a link, and is known to be billed', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'no_video_url' }, times: 2 });
    const provider = heygen.provider();
    const operation = await heygen.placed();
    const told = [await provider.check(operation, calm), await provider.check(operation, calm)];
    const billed = {
      status: 'pending',
      checkAgainInMs: 100,
      billedMicros: heygen.standin.control.wallet().spentMicros,
    };
    expect(told).toEqual([billed, billed]);
    expect((await provider.check(operation, calm)).status).toBe('done');
  });

  it('costs what was quoted when HeyGen does not say how long it is, and says that this is an estimate', async () => {
    heygen.standin.control.addFaults({ match: { route: 'get' }, fault: { kind: 'no_duration' } });
    const provider = heygen.provider();
    const placed = await heygen.placed();
    const { costMicros, operation } = await doneOf(provider, placed);
    expect(costMicros).toBe(placed.state['quotedMicros']);
    const { warnings } = await provider.collect(operation, await heygen.request(), calm);
    expect(warnings).toEqual([{ code: 'cost_estimated', message: expect.any(String) }]);
  });
});

describe('what HeyGen is given', () => {
  it.each<[string, RequestWishes, number]>([
    ['a clip without sound', { clip: 'silent' }, 30],
    ['a clip in another codec and container, begun again', { clip: 'foreign', speech: 'long', syncMode: 'loop' }, 50],
    ['a picture', { clip: 'still', speech: 'short' }, 20],
    [
      'a window, there and back, and speech as MP3',
      { clip: 'spoken', speech: 'stereoMp3', syncMode: 'bounce', window: { startMs: 400, endMs: 1_000 } },
      30,
    ],
    [
      'a window that the speech outlasts',
      { clip: 'spoken', speech: 'long', syncMode: 'cut_off', window: { startMs: 400, endMs: 1_000 } },
      15,
    ],
    [
      'a clip that outlasts the speech, to be pressed together',
      { clip: 'spoken', speech: 'short', syncMode: 'remap' },
      20,
    ],
    ['a clip that outlasts the speech, to be kept', { clip: 'spoken', speech: 'short', syncMode: 'silence' }, 30],
  ])('has sound, is equally long, and is billed so: %s', async (_, wishes, frames) => {
    const provider = heygen.provider();
    const { costMicros } = await doneOf(provider, await startOf(provider, await heygen.request(wishes)));
    expect(costMicros).toBe((frames * 40 * 333) / 10);
    expect(heygen.standin.control.operations().operations).toEqual([
      expect.objectContaining({ status: 'completed', durationMs: frames * 40 }),
    ]);
  });
});

describe('a large file', () => {
  it("goes to the vendor's storage directly, without the key, and is completed once the storage sees it", async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 2 });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    const request = await heygen.request();
    const status = await doneOf(provider, await startOf(provider, request));
    await provider.collect(status.operation, request, calm);
    expect(answers().slice(0, 5)).toEqual([
      'direct_upload 200',
      'put 200',
      'complete 409',
      'complete 409',
      'complete 200',
    ]);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });

  it.each<[string, FaultRuleInput['fault']]>([
    ['the line breaks', { kind: 'drop' }],
    ['its gateway answers', { kind: 'html', status: 503 }],
  ])('is not sent again by the upload itself when %s: the next order of its attempt sends it', async (_, fault) => {
    heygen.standin.control.addFaults({ match: { route: 'put' }, fault });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    const request = await heygen.request();
    expect(await errorOf(orderOf(provider, request))).toMatchObject({ code: 'provider_unavailable' });
    expect(answers().filter((answer) => answer.startsWith('put'))).toHaveLength(1);
    expect((await orderOf(provider, request)).state['videoAssetId']).toEqual(expect.any(String));
  });

  it('that was brought before a later upload failed is not lost when its order is made again', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 0 });
    heygen.standin.control.addFaults({
      match: { route: 'direct_upload', nth: 2 },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 1 },
    });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 1_000 } });
    const request = await heygen.request();
    expect(await errorOf(orderOf(provider, request))).toMatchObject({ code: 'rate_limited' });
    const order = await orderOf(provider, request);
    expect(await doneOf(provider, await provider.start(order, calm))).toMatchObject({ status: 'done' });
    expect(answers().slice(0, 7)).toEqual([
      'direct_upload 200',
      'put 200',
      'complete 200',
      'direct_upload 429',
      'direct_upload 200',
      'put 403',
      'complete 200',
    ]);
  });

  it('that the storage refuses fails with what the storage said', async () => {
    heygen.standin.control.addFaults({ match: { route: 'put' }, fault: { kind: 'html', status: 403 } });
    const error = await errorOf(
      orderOf(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'provider_protocol', httpStatus: 403 });
  });

  it('that the storage never sees is as good as not brought', async () => {
    heygen.standin.control.changeSettings({ completeConflicts: 1_000 });
    const error = await errorOf(
      orderOf(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'provider_unavailable', cause: { httpStatus: 409 } });
  });

  it('whose completion is put off for being too much is not asked about again at once', async () => {
    heygen.standin.control.addFaults({
      match: { route: 'complete' },
      fault: { kind: 'error', status: 429, code: 'rate_limit_exceeded', retryAfterS: 7 },
      times: 'always',
    });
    const error = await errorOf(
      orderOf(heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } }), await heygen.request()),
    );
    expect(error).toMatchObject({ code: 'rate_limited', retryAfterMs: 7_000 });
    expect(heygen.standin.control.log().filter(({ route }) => route === 'complete')).toHaveLength(1);
  });

  it('that is larger than the vendor takes is left to another engine', async () => {
    heygen.standin.control.changeSettings({ directUploadMaxBytes: 50_000 });
    const provider = heygen.provider({ limits: { simpleUploadMaxBytes: 40_000 } });
    await expect(startOf(provider, await heygen.request())).rejects.toMatchObject({ code: 'not_supported' });
  });

  it('is not put at a private address that only HeyGen named', async () => {
    // The same machine by another name: another origin.
    const provider = heygen.provider({
      endpoint: heygen.standin.url.replace('127.0.0.1', 'localhost'),
      limits: { simpleUploadMaxBytes: 40_000 },
    });
    const error = await errorOf(startOf(provider, await heygen.request()));
    expect(error).toMatchObject({ code: 'provider_protocol', cause: { code: 'url_forbidden' } });
    expect(heygen.standin.control.log().map(({ route }) => route)).toEqual(['direct_upload']);
  });
});
