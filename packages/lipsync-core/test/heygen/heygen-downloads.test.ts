import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FaultRuleInput } from '@lipsync/heygen-standin';
import { describe, expect, it } from 'vitest';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { calm, doneOf, errorOf, serve, useHeygen } from './heygen-bench.ts';

const heygen = useHeygen({ keepsOperations: true });

type FaultInput = FaultRuleInput['fault'];

let one: ReturnType<typeof doneOf> | undefined;
/** An operation that is done, the same for all tests. */
function finished(): ReturnType<typeof doneOf> {
  one ??= heygen.placed().then((operation) => doneOf(heygen.provider(), operation));
  return one;
}

/** Collects an operation whose downloads go wrong. */
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
  return { request, downloads, collecting: provider.collect(operation, request, calm) };
}

describe('a finished take', () => {
  it.each<[string, FaultInput, number]>([
    ['of another type', { kind: 'content_type', value: 'text/html' }, 1],
    ['that is no video', { kind: 'unplayable' }, 1],
    ['that ends early and does not say so', { kind: 'truncate', announceWhole: false }, 1],
    ['that redirects to a private address', { kind: 'redirect', location: 'http://127.0.0.1:9/secret.mp4' }, 1],
    [
      'that redirects to the metadata of the machine',
      { kind: 'redirect', location: 'http://169.254.169.254/latest/' },
      1,
    ],
    ['that redirects to a file', { kind: 'redirect', location: 'file:///etc/passwd' }, 1],
    ['that is cut off each time', { kind: 'truncate', announceWhole: true }, 3],
    ['whose links have all expired', { kind: 'expired' }, 3],
    ['that stops arriving', { kind: 'stall' }, 3],
    ['whose server fails', { kind: 'html', status: 503 }, 3],
  ])('is refused and leaves nothing: one %s', async (_, fault, asked) => {
    const { request, downloads, collecting } = await collectWith(fault, 'always', 'download', {
      limits: { idleMs: 400 },
    });
    expect((await errorOf(collecting)).code).toBe('provider_protocol');
    expect(downloads()).toBe(asked);
    expect(await readdir(dirname(request.takePath))).toEqual([]);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });

  it.each<[string, FaultInput]>([
    ['was cut off', { kind: 'truncate' }],
    ['broke', { kind: 'drop' }],
    ['had expired', { kind: 'expired' }],
    ['was stalled', { kind: 'stall' }],
  ])('is fetched by another link when the first one %s', async (_, fault) => {
    const { request, collecting } = await collectWith(fault, 1, 'download', { limits: { idleMs: 400 } });
    await expect(collecting).resolves.toEqual({ path: request.takePath, warnings: [] });
    expect(await readdir(dirname(request.takePath))).toEqual(['take.mp4']);
  });

  it('is refused when it is larger than can be', async () => {
    const { collecting } = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', {
      limits: { maxDownloadBytes: 1_000 },
    });
    expect(await errorOf(collecting)).toMatchObject({
      code: 'provider_protocol',
      cause: { code: 'payload_too_large' },
    });
  });

  it('is refused when it lasts much longer or shorter than it should', async () => {
    const provider = heygen.provider();
    const { operation } = await finished();
    const request = await heygen.request({ speech: 'long' });
    expect(await errorOf(provider.collect(operation, request, calm))).toMatchObject({
      code: 'provider_protocol',
      message: expect.stringContaining('instead of 2000'),
    });
  });

  it.each([['http://169.254.169.254/x.mp4'], ['file:///etc/passwd'], ['http://127.0.0.1:9/x.mp4'], ['not a url']])(
    'is not fetched from %s',
    async (url) => {
      const { downloads, collecting } = await collectWith({ kind: 'video_url', url }, 'always', 'get');
      expect((await errorOf(collecting)).code).toBe('provider_protocol');
      expect(downloads()).toBe(0);
    },
  );

  it('is fetched from the private origin of the endpoint, and from no other unless its host is allowed', async () => {
    const endpoint = heygen.standin.url.replace('127.0.0.1', 'localhost');
    const refused = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', { endpoint });
    expect(await errorOf(refused.collecting)).toMatchObject({
      code: 'provider_protocol',
      cause: { code: 'url_forbidden' },
    });
    const allowed = await collectWith({ kind: 'delay', delayMs: 0 }, 1, 'download', {
      endpoint,
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
    });
    await expect(allowed.collecting).resolves.toMatchObject({ warnings: [] });
  });

  it('is waited for, not given up, when its link or its operation cannot be read just now', async () => {
    const missing = await collectWith({ kind: 'no_video_url' }, 1, 'get', { pollIntervalMs: 1_500 });
    expect(await errorOf(missing.collecting)).toMatchObject({ code: 'rate_limited', retryAfterMs: 1_500 });
    const unread = await collectWith({ kind: 'html', status: 502 }, 1, 'get');
    expect((await errorOf(unread.collecting)).code).toBe('provider_unavailable');
  });

  it('is asked for without the key, also where its link redirects', async () => {
    const { seen, url } = await serve((response) => response.writeHead(404).end());
    const { collecting } = await collectWith({ kind: 'redirect', location: `${url}/take.mp4` }, 'always', 'download', {
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
    });
    await errorOf(collecting);
    expect(seen).toHaveLength(3);
    expect(seen.join()).not.toContain(heygen.standin.apiKey);
    expect(heygen.standin.control.leaks()).toEqual([]);
  });
});
