import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ bodyTime: { jsonMs: 600, formWindowMs: 500, formBytes: 200 } });
});
afterAll(() => api.close());

interface Part {
  /** Parameters of the content disposition, e.g. `; name="video"`. */
  readonly disposition: string;
  readonly type?: string;
  readonly content?: string | Buffer;
}

const media = Buffer.from('\u0000\u0001media that is no text');
const files: readonly Part[] = [
  { disposition: '; name="video"; filename="clip.mp4"', content: media },
  { disposition: '; name="audio"; filename="speech.wav"', content: media },
];

function encode(parts: readonly Part[]): Buffer {
  const encoded = parts.flatMap(({ disposition, type, content = 'x' }) => [
    Buffer.from(`--x\r\nContent-Disposition: form-data${disposition}\r\n`),
    Buffer.from(type === undefined ? '\r\n' : `Content-Type: ${type}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...encoded, Buffer.from('--x--\r\n')]);
}

// oxlint-disable-next-line typescript/no-explicit-any -- the expectations check the shape
async function send(parts: readonly Part[], chunkBytes = 65_536): Promise<{ status: number; body: any }> {
  const body = encode(parts);
  const call = request(`${api.url}/lipsync`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': body.length },
  });
  const responded = once(call, 'response');
  for (let start = 0; start < body.length; start += chunkBytes) {
    call.write(body.subarray(start, start + chunkBytes));
    if (chunkBytes < 1_000) await sleep(0);
  }
  call.end();
  const [response] = await responded;
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, body: JSON.parse(text) };
}

describe('form parts without a name', () => {
  it.each([
    ['without a name', { disposition: '' }],
    ['with an empty name', { disposition: '; name=""' }],
    ['with a file name only', { disposition: '; filename="clip.mp4"' }],
    ['with an empty name and a file name', { disposition: '; name=""; filename="clip.mp4"' }],
    ['without a name, as binary data', { disposition: '', type: 'application/octet-stream' }],
  ])('A form with a part %s is refused with 422, and none of its files is kept.', async (_, part) => {
    const before = await api.storedFiles();
    expect(await send([...files, part])).toMatchObject({
      status: 422,
      body: { code: 'request_invalid', errors: [{ field: 'part 3', message: 'has no name' }] },
    });
    expect(await api.storedFiles()).toEqual(before);
  });
});

describe('files without a file name', () => {
  it.each([
    ['with a content type', 'video/mp4', 65_536],
    ['without a content type', undefined, 65_536],
    ['of type text/plain', 'text/plain', 65_536],
    ['of type application/octet-stream', 'application/octet-stream', 65_536],
    ['without a content type that arrives in many pieces', undefined, 7],
  ])('A video and an audio %s are accepted as files.', async (_, type, chunkBytes) => {
    const content = Buffer.concat([media, Buffer.from(String(chunkBytes)), Buffer.from(type ?? '')]);
    const parts = ['video', 'audio'].map((name) => ({
      disposition: `; name="${name}"`,
      content,
      ...(type === undefined ? {} : { type }),
    }));
    const { status, body } = await send(parts, chunkBytes);
    expect(status).toBe(202);
    const record = await api.store.get(body.id);
    expect(record?.spec.video).toMatchObject({ kind: 'artifact', name: 'video' });
    expect(record?.spec.audio).toEqual({ ...record?.spec.video, name: 'audio' });
  });

  it('A URL that is sent as a form field is refused with the field that takes it.', async () => {
    const before = await api.storedFiles();
    const body = form();
    body.set('video', 'https://example.org/clip.mp4');
    expect(await json(await api.post('/lipsync', body))).toMatchObject({
      status: 422,
      errors: [{ field: 'video', message: 'is a URL: send it as "video_url" instead' }],
    });
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A path that is sent as a form field is refused with the flag of curl that sends the file.', async () => {
    const body = form();
    body.set('audio', 'speech.wav');
    expect(await json(await api.post('/lipsync', body))).toMatchObject({
      status: 422,
      errors: [{ field: 'audio', message: 'must be sent as a file (with curl: -F audio=@PATH)' }],
    });
  });
});

describe('files and URLs in one form', () => {
  const url = 'https://example.org/input?signature=hush';

  function mixedForm(file: 'video' | 'audio', fields: Record<string, string> = {}): FormData {
    const body = form({ [file === 'video' ? 'audio_url' : 'video_url']: url, ...fields });
    body.delete(file === 'video' ? 'audio' : 'video');
    return body;
  }

  it.each([
    ['video', 'audio'],
    ['audio', 'video'],
  ] as const)('A form with the file %s and the URL of the %s is accepted and fetches the URL.', async (file, other) => {
    const response = await api.post('/lipsync', mixedForm(file));
    expect(response.status).toBe(202);
    const { spec } = (await api.store.get((await json(response)).id)) ?? {};
    expect(spec?.[file]).toMatchObject({ kind: 'artifact' });
    expect(spec).toMatchObject({ [other]: { kind: 'url', url } });
  });

  it('A form with two URLs is accepted without a file, and equals the same JSON under an Idempotency-Key.', async () => {
    const body = new FormData();
    for (const field of ['video_url', 'audio_url']) body.append(field, url);
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    const { id } = await json(await api.post('/lipsync', body, headers));
    const sameAsJson = JSON.stringify({ video_url: url, audio_url: url });
    const repeated = await api.post('/lipsync', sameAsJson, { ...headers, 'Content-Type': 'application/json' });
    expect(repeated.headers.get('idempotent-replayed')).toBe('true');
    expect(await json(repeated)).toMatchObject({ id });
  });

  it('A mixed form under the key of one with another URL is refused, and its file is not stored.', async () => {
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    await api.post('/lipsync', mixedForm('video'), headers);
    const other = mixedForm('video', { audio_url: 'https://example.org/other' });
    other.set('audio_url', 'https://example.org/other');
    expect(await json(await api.post('/lipsync', other, headers))).toMatchObject({ code: 'idempotency_mismatch' });
  });

  it('A form with the file and the URL of an input is refused, like a form with neither.', async () => {
    const before = await api.storedFiles();
    const both = form({ video_url: url });
    expect(await json(await api.post('/lipsync', both))).toMatchObject({
      status: 422,
      code: 'request_invalid',
      errors: [{ field: 'video_url', message: 'cannot be sent together with the file "video"' }],
    });
    const neither = new FormData();
    neither.append('video_url', url);
    expect(await json(await api.post('/lipsync', neither))).toMatchObject({
      errors: [{ field: 'audio', message: 'is missing: send it as a file, or its URL as "audio_url"' }],
    });
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A form with a private URL is refused with every other problem, and its file is not stored.', async () => {
    const before = await api.storedFiles();
    const body = mixedForm('video', { color: 'red' });
    body.set('audio_url', 'http://127.0.0.1/speech.wav');
    const problem = await json(await api.post('/lipsync', body));
    expect(problem).toMatchObject({ status: 422, code: 'request_invalid' });
    expect(problem.errors.map(({ field }: { field: string }) => field)).toEqual(['audio_url', 'color']);
    body.delete('color');
    expect(await json(await api.post('/lipsync', body))).toMatchObject({ code: 'url_forbidden' });
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A quality request may mix a file and a URL too.', async () => {
    const body = new FormData();
    body.append('video', new Blob(['clip']), 'clip.mp4');
    body.append('source_url', url);
    const { id } = await json(await api.post('/quality', body));
    expect((await api.store.get(id))?.spec).toMatchObject({
      video: { kind: 'artifact' },
      source: { kind: 'url', url },
    });
  });
});

describe('metadata that JSON cannot hold', () => {
  const urls = '"video_url":"https://example.org/a","audio_url":"https://example.org/b"';
  const cases: readonly [string, string][] = [
    ['{"a":1e999}', 'metadata.a'],
    ['{"a":[{"b":-1e999}]}', 'metadata.a.0.b'],
    ['{"order":12345678901234567890}', 'metadata.order'],
    ['{"__proto__":{"a":1}}', 'metadata'],
    ['{"a":{"__proto__":1}}', 'metadata.a'],
    ['{"a":"\\ud800"}', 'metadata.a'],
    ['{"\\udc00":1}', 'metadata'],
  ];

  it.each(cases)(
    'The metadata %s is refused in forms and in JSON, and the field is named.',
    async (metadata, field) => {
      const inForm = await json(await api.post('/lipsync', form({ metadata })));
      expect(inForm).toMatchObject({ status: 422, errors: [{ field }] });
      const headers = { 'Content-Type': 'application/json' };
      const inJson = await json(await api.post('/lipsync', `{${urls},"metadata":${metadata}}`, headers));
      expect(inJson).toMatchObject({ status: 422, errors: [{ field }] });
    },
  );

  it('Metadata with large exact numbers, decimals and any text is returned as it was sent.', async () => {
    const metadata = `{"n":9007199254740991,"d":0.1,"e":1e21,"t":"\\u0000\\u202e 🎬","constructor":{"prototype":null}}`;
    const job = await json(await api.post('/lipsync', form({ metadata })));
    expect(job.metadata).toEqual(JSON.parse(metadata));
  });

  it('Metadata with bytes that are not UTF-8 is refused in forms and in JSON instead of being changed.', async () => {
    const content = Buffer.from('{"name":"M\u00fcller"}', 'latin1');
    expect(await send([...files, { disposition: '; name="metadata"', content }])).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'metadata', message: 'is not valid UTF-8' }] },
    });
    const body = Buffer.concat([Buffer.from(`{${urls},"metadata":`), content, Buffer.from('}')]);
    expect(await json(await api.post('/lipsync', body, { 'Content-Type': 'application/json' }))).toMatchObject({
      status: 400,
      detail: 'The body is not valid UTF-8.',
    });
  });

  it('A JSON body that is not compressed as its header states is refused with that reason.', async () => {
    const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };
    expect(await json(await api.post('/lipsync', '{}', headers))).toMatchObject({
      status: 400,
      detail: expect.stringContaining('its compression is damaged'),
    });
  });

  it('JSON in UTF-16 is read if its charset states it, and any other encoding is refused with 415.', async () => {
    const post = (charset: string, encoding: BufferEncoding) =>
      api.post('/lipsync', Buffer.from('{"color":1}', encoding), { 'Content-Type': `application/json; ${charset}` });
    const inUtf16 = await json(await post('charset=utf-16le', 'utf16le'));
    expect(inUtf16.errors).toContainEqual({ field: 'color', message: 'is not a known field' });
    expect((await post('charset=iso-8859-1', 'latin1')).status).toBe(415);
  });
});

it.each(['a\u0000b', 'a\nb', 'a\u202eb', 'a\u200bb', '\ufeffa', 'a\ud800'])(
  'The user_id %j is refused, because it has invisible characters.',
  async (userId) => {
    const body = { video_url: 'https://example.org/a', audio_url: 'https://example.org/b', user_id: userId };
    expect(await json(await api.postJson('/lipsync', body))).toMatchObject({
      status: 422,
      errors: [{ field: 'user_id', message: expect.stringContaining('invisible') }],
    });
  },
);

describe('bodies that arrive slowly', () => {
  /** Sends a byte every 50 ms until the connection ends; resolves with the response and the time it took. */
  async function trickle(path: string, type: string, head: string): Promise<{ text: string; tookMs: number }> {
    const { hostname, port } = new URL(api.url);
    const socket: Socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const startedAt = Date.now();
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk))).on('error', () => undefined);
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: 60000\r\n\r\n`);
    socket.write(head);
    while (!text.includes('\r\n\r\n') && Date.now() - startedAt < 8_000) {
      socket.write('a');
      await sleep(50);
    }
    socket.destroy();
    return { text, tookMs: Date.now() - startedAt };
  }

  it.each(['/lipsync', '/estimate'])('A JSON body to %s that trickles in is refused with 408.', async (path) => {
    const { text, tookMs } = await trickle(path, 'application/json', '{"a":"');
    expect(text).toMatch(/^HTTP\/1\.1 408 [^]*request_invalid/);
    expect(tookMs).toBeLessThan(5_000);
  });

  it('A form that trickles in is refused with 408, and nothing of it is kept.', async () => {
    const before = await api.storedFiles();
    const head = '--x\r\nContent-Disposition: form-data; name="video"; filename="clip.mp4"\r\n\r\n';
    const { text } = await trickle('/lipsync', 'multipart/form-data; boundary=x', head);
    expect(text).toMatch(/^HTTP\/1\.1 408 [^]*request_invalid/);
    await expect.poll(() => api.storedFiles()).toEqual(before);
  });

  it('A form that arrives at the required rate is accepted, however long it takes.', async () => {
    const content = Buffer.concat([media, Buffer.alloc(4_000)]);
    const body = encode([
      { disposition: '; name="video"', content },
      { disposition: '; name="audio"', content },
    ]);
    const call = request(`${api.url}/lipsync`, {
      method: 'POST',
      headers: { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': body.length },
    });
    const startedAt = Date.now();
    const responded = once(call, 'response');
    for (let start = 0; start < body.length; start += 500) {
      call.write(body.subarray(start, start + 500));
      await sleep(70);
    }
    call.end();
    const [response] = await responded;
    response.resume();
    expect(response.statusCode).toBe(202);
    expect(Date.now() - startedAt).toBeGreaterThan(1_000);
  });

  it('A connection whose unread body trickles in is closed after the response.', async () => {
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.on('error', () => undefined).resume();
    socket.write('POST /lipsync/nope/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n');
    const timer = setInterval(() => socket.write('a'), 100);
    const startedAt = Date.now();
    await once(socket, 'close');
    clearInterval(timer);
    expect(Date.now() - startedAt).toBeLessThan(9_000);
  }, 15_000);
});
