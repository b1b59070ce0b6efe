import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { takeContext, waitForDone, catchError, serve, useHeygen } from './heygen-fixture.ts';

const heygen = useHeygen({ keepsOperations: true });

type FaultInput = FaultRuleInput['fault'];

let shared: ReturnType<typeof waitForDone> | undefined;
/** Returns a finished operation that all tests share. */
function finished(): ReturnType<typeof waitForDone> {
  shared ??= heygen.createOperation().then((operation) => waitForDone(heygen.provider(), operation));
  return shared;
}

/** Collects a finished operation with a fault. */
async function collectWith(
  fault: FaultInput,
  times: number | 'always',
  route: 'download' | 'get' = 'download',
  options: Parameters<typeof heygen.provider>[0] = {},
) {
  const provider = heygen.provider(options);
  const request = await heygen.request();
  const { operation } = await finished();
  heygen.standin.control.addFaults({ match: { route }, fault, times });
  const logged = heygen.standin.control.log().length;
  const downloads = (): number =>
    heygen.standin.control
      .log()
      .slice(logged)
      .filter((entry) => entry.route === 'download').length;
  return { request, downloads, collecting: provider.collect(operation, request, takeContext) };
}

describe('downloads', () => {
  it.each<[string, FaultInput, number]>([
    ['has another content type', { kind: 'content_type', value: 'text/html' }, 1],
    ['is not a video', { kind: 'unplayable' }, 1],
    ['is truncated with a matching length', { kind: 'truncate', announceWhole: false }, 1],
    ['redirects to a private address', { kind: 'redirect', location: 'http://127.0.0.1:9/secret.mp4' }, 1],
    ['redirects to a metadata service', { kind: 'redirect', location: 'http://169.254.169.254/latest/' }, 1],
    ['redirects to a file', { kind: 'redirect', location: 'file:///etc/passwd' }, 1],
  ])('A download that %s is final and leaves no file.', async (_, fault, requests) => {
    const { request, downloads, collecting } = await collectWith(fault, 'always');
    expect((await catchError(collecting)).code).toBe('provider_protocol');
    expect(downloads()).toBe(requests);
    expect(await readdir(dirname(request.takePath))).toEqual([]);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });

  it.each<[string, FaultInput]>([
    ['is always truncated', { kind: 'truncate', announceWhole: true }],
    ['is always expired', { kind: 'expired' }],
    ['always stalls', { kind: 'stall' }],
    ['gets status 503', { kind: 'html', status: 503 }],
  ])(
    'A download that %s is tried three times; the take can be requested again and no file is left.',
    async (_, fault) => {
      const { request, downloads, collecting } = await collectWith(fault, 'always', 'download', {
        limits: { idleMs: 400 },
      });
      expect((await catchError(collecting)).code).toBe('provider_unavailable');
      expect(downloads()).toBe(3);
      expect(await readdir(dirname(request.takePath))).toEqual([]);
      expect(heygen.standin.control.leaks()).toEqual([]);
    },
  );

  it.each<[string, FaultInput]>([
    ['is truncated', { kind: 'truncate' }],
    ['is cut', { kind: 'drop' }],
    ['is expired', { kind: 'expired' }],
    ['stalls', { kind: 'stall' }],
  ])('A download that %s once is repeated with a new link.', async (_, fault) => {
    const { request, collecting } = await collectWith(fault, 1, 'download', { limits: { idleMs: 400 } });
    await expect(collecting).resolves.toEqual({ path: request.takePath, warnings: [] });
    expect(await readdir(dirname(request.takePath))).toEqual(['take.mp4']);
  });

  it('A download that is too large is refused.', async () => {
    const { collecting } = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', {
      limits: { maxDownloadBytes: 1_000 },
    });
    expect(await catchError(collecting)).toMatchObject({
      code: 'provider_protocol',
      cause: { code: 'payload_too_large' },
    });
  });

  it('A take with another duration than expected is refused.', async () => {
    const provider = heygen.provider();
    const { operation } = await finished();
    const request = await heygen.request({ speech: 'long' });
    expect(await catchError(provider.collect(operation, request, takeContext))).toMatchObject({
      code: 'provider_protocol',
      message: expect.stringContaining('instead of 2000'),
    });
  });

  it.each([['http://169.254.169.254/x.mp4'], ['file:///etc/passwd'], ['http://127.0.0.1:9/x.mp4'], ['not a url']])(
    'A link to %s is not requested.',
    async (url) => {
      const { downloads, collecting } = await collectWith({ kind: 'video_url', url }, 'always', 'get');
      expect((await catchError(collecting)).code).toBe('provider_protocol');
      expect(downloads()).toBe(0);
    },
  );

  it('A private origin is reached only if it is the endpoint or its host is allowed.', async () => {
    const endpoint = heygen.standin.url.replace('127.0.0.1', 'localhost');
    const refused = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', { endpoint });
    expect(await catchError(refused.collecting)).toMatchObject({
      code: 'provider_protocol',
      cause: { code: 'url_forbidden' },
    });
    const allowed = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', {
      endpoint,
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
    });
    await expect(allowed.collecting).resolves.toMatchObject({ warnings: [] });
  });

  it('A missing link or an unreadable operation is reported as a temporary error.', async () => {
    const missing = await collectWith({ kind: 'no_video_url' }, 1, 'get', { pollIntervalMs: 1_500 });
    expect(await catchError(missing.collecting)).toMatchObject({ code: 'rate_limited', retryAfterMs: 1_500 });
    const unread = await collectWith({ kind: 'html', status: 502 }, 1, 'get');
    expect((await catchError(unread.collecting)).code).toBe('provider_unavailable');
  });

  it('A download never sends the API key, also after a redirect.', async () => {
    const { seenHeaders, url } = await serve((response) => response.writeHead(404).end());
    const { collecting } = await collectWith({ kind: 'redirect', location: `${url}/take.mp4` }, 'always', 'download', {
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
    });
    await catchError(collecting);
    expect(seenHeaders).toHaveLength(3);
    expect(seenHeaders.join()).not.toContain(heygen.standin.apiKey);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });
});
