import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClientConnection } from '@lipsync/queue';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
let key: string;
let keys = 0;
beforeAll(async () => {
  api = await startApi();
});
beforeEach(() => {
  keys += 1;
  key = `key-${keys}`;
});
afterAll(() => api.close());

const byUrl = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };

function post(body: FormData | object, headers: Record<string, string> = { 'Idempotency-Key': key }, url = api.url) {
  const isForm = body instanceof FormData;
  return fetch(`${url}/lipsync`, {
    method: 'POST',
    body: isForm ? body : JSON.stringify(body),
    headers: { ...headers, ...(!isForm && { 'Content-Type': 'application/json' }) },
  });
}

async function idOf(response: Response): Promise<string> {
  expect(response.status).toBe(202);
  return (await json(response)).id;
}

async function refusalOf(response: Response) {
  return { status: response.status, code: (await json(response)).code };
}

describe('a repeated request', () => {
  it.each([
    [
      'with files',
      () => form({ metadata: '{"a":1,"b":2}' }),
      () => form({ metadata: '{"b":2,"a":1}', method: 'auto' }),
    ],
    ['with URLs', () => byUrl, () => ({ ...byUrl, sync_mode: 'loop' })],
  ])('%s gets the job of the first one, and is marked as replayed.', async (_, first, second) => {
    const original = await post(first());
    expect(original.headers.get('Idempotent-Replayed')).toBeNull();
    const id = await idOf(original);
    const files = await api.storedFiles();
    const repeated = await post(second());
    expect(repeated.headers.get('Idempotent-Replayed')).toBe('true');
    expect(repeated.headers.get('Location')).toBe(`/lipsync/${id}`);
    expect(await idOf(repeated)).toBe(id);
    expect(await api.storedFiles()).toEqual(files);
  });

  it('shows the job as it is now.', async () => {
    const id = await idOf(await post(byUrl));
    await api.store.append(id, { type: 'run_started', atMs: Date.now() });
    expect(await json(await post(byUrl))).toMatchObject({ id, status: 'processing' });
  });

  it('with a quoted key is the same as one with the bare key.', async () => {
    const id = await idOf(await post(byUrl));
    expect(await idOf(await post(byUrl, { 'Idempotency-Key': `"${key}"` }))).toBe(id);
  });

  it('without a key creates another job.', async () => {
    expect(await idOf(await post(byUrl, {}))).not.toBe(await idOf(await post(byUrl, {})));
  });

  it('under the key of a refused request creates the job.', async () => {
    expect(await refusalOf(await post({ ...byUrl, sync_mode: 'no' }))).toMatchObject({ status: 422 });
    await idOf(await post(byUrl));
  });
});

describe('an idempotency key', () => {
  it.each([
    ['of a form', () => form(), () => form({ sync_mode: 'bounce' })],
    ['of JSON', () => byUrl, () => ({ ...byUrl, priority: 1 })],
    ['of a form that is reused for JSON', () => form(), () => byUrl],
  ])('%s is refused for a request with other content, of which nothing is stored.', async (_, first, second) => {
    await idOf(await post(first()));
    const files = await api.storedFiles();
    expect(await refusalOf(await post(second()))).toEqual({ status: 422, code: 'idempotency_mismatch' });
    expect(await api.storedFiles()).toEqual(files);
  });

  it('is refused for a file with other content, which is not stored.', async () => {
    await idOf(await post(form()));
    const files = await api.storedFiles();
    const other = form();
    other.set('audio', new Blob(['other speech']), 'speech.wav');
    expect(await refusalOf(await post(other))).toEqual({ status: 422, code: 'idempotency_mismatch' });
    expect(await api.storedFiles()).toEqual(files);
  });

  it.each(['', 'x'.repeat(256), 'two words', '"open', 'back\\slash'])('with the text %j is refused.', async (text) => {
    expect(await refusalOf(await post(byUrl, { 'Idempotency-Key': text }))).toEqual({
      status: 400,
      code: 'request_invalid',
    });
  });

  it('of a form that is still arriving is refused with 409, and is free again when the form is given up.', async () => {
    const upload = new AbortController();
    const endless = new ReadableStream({
      start: (stream) =>
        stream.enqueue(
          Buffer.from('--b\r\nContent-Disposition: form-data; name="video"; filename="clip.mp4"\r\n\r\nclip'),
        ),
    });
    const headers = { 'Idempotency-Key': key, 'Content-Type': 'multipart/form-data; boundary=b' };
    const init = { method: 'POST', body: endless, headers, duplex: 'half', signal: upload.signal } as const;
    const sent = fetch(`${api.url}/lipsync`, init).catch(() => undefined);
    await expect.poll(async () => (await api.storedFiles()).some((path) => path.endsWith('.part'))).toBe(true);
    for (const body of [form(), byUrl])
      expect(await refusalOf(await post(body))).toEqual({ status: 409, code: 'idempotency_in_progress' });
    upload.abort();
    await sent;
    await expect.poll(async () => (await post(form())).status).toBe(202);
  });

  it('of a deleted job creates a new one.', async () => {
    const id = await idOf(await post(byUrl));
    const redis = createClientConnection({ url: api.redis.url, onError: () => undefined });
    await redis.del(`lipsync:jobs:${id}`);
    redis.disconnect();
    expect(await idOf(await post(byUrl))).not.toBe(id);
  });
});

describe('100 equal requests at once over two API processes', () => {
  it.each([
    ['with files', () => form()],
    ['with URLs', () => byUrl],
  ])('%s create one job.', async (_, body) => {
    const other = await api.another();
    const all = Array.from({ length: 100 }, (__, index) =>
      post(body(), { 'Idempotency-Key': key }, index % 2 ? other.url : api.url),
    );
    const responses = await Promise.all(all);
    const accepted = responses.filter(({ status }) => status === 202);
    const ids = new Set(await Promise.all(accepted.map(idOf)));
    expect(ids.size).toBe(1);
    expect(accepted.filter(({ headers }) => headers.get('Idempotent-Replayed') === null)).toHaveLength(1);
    expect(responses.filter(({ status }) => ![202, 409].includes(status))).toEqual([]);
    await other.stop();
  });
});
