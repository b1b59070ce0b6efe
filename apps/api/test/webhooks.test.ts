import { checkReceiver, parseAllowedHosts } from '@lipsync/core/host';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

const urls = { video_url: 'https://example.org/a.mp4', audio_url: 'https://example.org/a.wav' };

/** By host name, what a name server answers. */
const addresses: Readonly<Record<string, string>> = { 'hooks.example': '203.0.114.9', 'rebound.example': '10.0.0.8' };

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({
    requireWebhooks: () => undefined,
    checkReceiver: (url) =>
      checkReceiver(url, parseAllowedHosts([]), async (host) => {
        const address = addresses[host];
        if (address === undefined) throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
        return [{ address, family: 4 }];
      }),
  });
});
afterAll(() => api.close());

async function outcome(response: Response) {
  const { code, errors = [] } = await json(response);
  return { status: response.status, code, fields: errors.map(({ field }: { field: string }) => field).sort() };
}

describe('webhook_url', () => {
  it.each([
    ['a private address', 'http://10.0.0.1/hook', 'url_forbidden'],
    ['the address of instance metadata', 'http://169.254.169.254/', 'url_forbidden'],
    ['a loopback name', 'http://localhost:3000/', 'url_forbidden'],
    ['a name that resolves to a private address', 'https://rebound.example/', 'url_forbidden'],
    ['a user name', 'https://me:secret@hooks.example/', 'url_forbidden'],
    ['a name that does not exist', 'https://typo.example/', 'request_invalid'],
    ['another scheme', 'ftp://hooks.example/', 'request_invalid'],
    ['no URL', 'hook', 'request_invalid'],
    ['more than 2048 characters', `https://hooks.example/${'x'.repeat(2_048)}`, 'request_invalid'],
  ])('A webhook_url with %s is refused in every kind of request, and nothing is stored.', async (_, url, code) => {
    const expected = { status: 422, code, fields: ['webhook_url'] };
    const before = await api.storedFiles();
    expect(await outcome(await api.postJson('/lipsync', { ...urls, webhook_url: url }))).toEqual(expected);
    expect(await outcome(await api.post('/lipsync', form({ webhook_url: url })))).toEqual(expected);
    expect(await outcome(await api.postJson('/quality', { video_url: urls.video_url, webhook_url: url }))).toEqual(
      expected,
    );
    expect(await outcome(await api.postJson('/batches', { items: [urls], webhook_url: url }))).toEqual(expected);
    expect(await outcome(await api.postJson('/batches', { items: [urls, { ...urls, webhook_url: url }] }))).toEqual({
      ...expected,
      fields: ['items.1.webhook_url'],
    });
    expect(await api.storedFiles()).toEqual(before);
    expect(await api.store.unfinished()).toEqual([]);
  });

  it('A forbidden webhook_url is listed beside the other problems of a request.', async () => {
    const body = { ...urls, webhook_url: 'http://10.0.0.1/', start_ms: -1 };
    expect(await outcome(await api.postJson('/lipsync', body))).toEqual({
      status: 422,
      code: 'request_invalid',
      fields: ['start_ms', 'webhook_url'],
    });
  });

  it('The webhook_url of a batch is not that of its items.', async () => {
    const webhook_url = 'https://hooks.example/batch';
    const { id } = await json(await api.postJson('/batches', { items: [urls], webhook_url }));
    expect((await api.store.get(id))?.spec).toMatchObject({ options: { webhookUrl: webhook_url } });
    const [item] = (await api.store.list({ kind: 'lipsync', limit: 1 })).records;
    expect(item?.spec.options.webhookUrl).toBeUndefined();
    expect((await api.fetch(`/batches/${id}`, { method: 'DELETE' })).status).toBe(204);
  });

  it('A public webhook_url is accepted and stored with the job.', async () => {
    const response = await api.postJson('/lipsync', { ...urls, webhook_url: 'https://hooks.example/a?b=1' });
    expect(response.status).toBe(202);
    const { id } = await json(response);
    expect((await api.store.get(id))?.spec).toMatchObject({ options: { webhookUrl: 'https://hooks.example/a?b=1' } });
    expect((await api.fetch(`/lipsync/${id}`, { method: 'DELETE' })).status).toBe(204);
  });
});

it('An installation without webhook secrets refuses a webhook_url with not_supported.', async () => {
  const plain = await startApi();
  try {
    const expected = { status: 422, code: 'not_supported', fields: ['webhook_url'] };
    const webhook_url = 'https://hooks.example/';
    expect(await outcome(await plain.postJson('/lipsync', { ...urls, webhook_url }))).toEqual(expected);
    expect(await outcome(await plain.post('/lipsync', form({ webhook_url })))).toEqual(expected);
    expect(await outcome(await plain.postJson('/quality', { video_url: urls.video_url, webhook_url }))).toEqual(
      expected,
    );
    expect(await outcome(await plain.postJson('/batches', { items: [urls], webhook_url }))).toEqual(expected);
    expect(await plain.storedFiles()).toEqual([]);
  } finally {
    await plain.close();
  }
});
