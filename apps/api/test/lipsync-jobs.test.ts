import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planJob } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { jobViewSchema, lipsyncOptionsSchema, type LipsyncOptionsInput } from '@lipsync/core/contract';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

async function accepted(body: FormData = form()): Promise<{ id: string }> {
  const response = await api.post('/lipsync', body);
  expect(response.status).toBe(202);
  return jobViewSchema.parse(await response.json());
}

async function refused(
  response: Response,
  status: number,
): Promise<{ code: string; fields: string[]; detail: string }> {
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const problem = await json(response);
  expect(problem).toMatchObject({
    status,
    request_id: response.headers.get('x-request-id'),
    retryable: expect.any(Boolean),
  });
  expect(response.status).toBe(status);
  return {
    code: problem.code,
    detail: problem.detail,
    fields: problem.errors.map(({ field }: { field: string }) => field).sort(),
  };
}

describe('plan of an accepted job', () => {
  it('The response to POST /lipsync includes the plan of the job.', async () => {
    const config = configFromEnvironment({ HEYGEN_API_KEY: 'key', WAV2LIP_MODEL_PATH: 'models/wav2lip.onnx' });
    const planned: string[][] = [];
    const record = async (options: LipsyncOptionsInput) => {
      const start = planJob(lipsyncOptionsSchema.parse(options), config);
      const id = await api.recordJob({ start });
      planned.push((await json(await api.fetch(`/lipsync/${id}`))).plan);
    };
    await record({});
    await record({ optimize: 'cost' });
    await record({ optimize: 'speed' });
    expect(planned).toEqual([['heygen', 'wav2lip'], ['wav2lip', 'heygen'], null]);
    expect(await accepted()).toMatchObject({ plan: ['preview'] });
  });
});

describe('POST /lipsync with files', () => {
  it('POST /lipsync with files answers 202 with the job and its location.', async () => {
    const response = await api.post('/lipsync', form({ method: 'preview', metadata: '{"order":7}' }));
    expect(response.status).toBe(202);
    const job = jobViewSchema.parse(await response.json());
    expect(job).toMatchObject({
      status: 'queued',
      progress: 0,
      method: 'preview',
      metadata: { order: 7 },
      output_url: null,
    });
    expect(response.headers.get('location')).toBe(`/lipsync/${job.id}`);
  });

  it('Uploaded files are stored under the hash of their content, and the queue entry contains only the job id.', async () => {
    const { id } = await accepted();
    const record = await api.store.get(id);
    expect(record?.spec.video).toMatchObject({
      kind: 'artifact',
      key: expect.stringMatching(/^inputs\/[0-9a-f]{64}$/),
      name: 'clip.mp4',
    });
    expect(await api.queuedPayload(id)).toEqual({ jobId: id });
  });

  it('A job stores the request id and the trace context of its request.', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const headers = { 'X-Request-Id': 'request-1', traceparent };
    const { id } = await json(await api.fetch('/lipsync', { method: 'POST', body: form(), headers }));
    expect(await api.store.get(id)).toMatchObject({ requestId: 'request-1', traceparent });
    const other = await json(
      await api.fetch('/lipsync', { method: 'POST', body: form(), headers: { ...headers, traceparent: 'made up' } }),
    );
    expect(await api.store.get(other.id)).toMatchObject({ requestId: 'request-1', traceparent: null });
  });

  it('A form can have files before and after other fields.', async () => {
    const body = new FormData();
    body.append('method', 'preview');
    body.append('audio', new Blob(['speech']), 'speech.wav');
    body.append('sync_mode', 'bounce');
    body.append('video', new Blob(['clip']), 'clip.mp4');
    const { id } = await accepted(body);
    expect((await api.store.get(id))?.spec).toMatchObject({ options: { method: 'preview', syncMode: 'bounce' } });
  });

  it('An invalid form is refused with all of its problems, and none of its files is kept.', async () => {
    const before = await api.storedFiles();
    const body = form({ method: 'magic', start_ms: 'soon', color: 'red' });
    body.delete('audio');
    body.append('subtitles', new Blob(['1']), 'a.srt');
    const { code, fields } = await refused(await api.post('/lipsync', body), 422);
    expect(code).toBe('request_invalid');
    expect(fields).toEqual(['audio', 'color', 'method', 'start_ms', 'subtitles']);
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A form with an empty file, a duplicate file or a file sent as text is refused.', async () => {
    const empty = form();
    empty.set('video', new Blob([]), 'clip.mp4');
    expect(await refused(await api.post('/lipsync', empty), 422)).toMatchObject({
      fields: ['video'],
      detail: expect.stringContaining('empty'),
    });
    const twice = form();
    twice.append('audio', new Blob(['more']), 'more.wav');
    expect(await refused(await api.post('/lipsync', twice), 422)).toMatchObject({
      fields: ['audio'],
      detail: expect.stringContaining('once'),
    });
    const asText = form();
    asText.set('video', 'clip.mp4');
    expect(await refused(await api.post('/lipsync', asText), 422)).toMatchObject({
      fields: ['video'],
      detail: expect.stringContaining('as a file'),
    });
  });

  it('A form with a duplicate field, a field that is too long or too many fields is refused.', async () => {
    const twice = form({ method: 'preview' });
    twice.append('method', 'auto');
    expect((await refused(await api.post('/lipsync', twice), 422)).fields).toEqual(['method']);
    expect((await refused(await api.post('/lipsync', form({ metadata: 'x'.repeat(40_000) })), 422)).fields).toEqual([
      'metadata',
    ]);
    const many = form(Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`field_${index}`, 'x'])));
    expect((await refused(await api.post('/lipsync', many), 422)).detail).toContain('too many parts');
  });

  it('A form with a very long field name is refused for the unknown name, not for the size of the value.', async () => {
    const name = 'n'.repeat(120);
    expect(await json(await api.post('/lipsync', form({ [name]: 'x' })))).toMatchObject({
      status: 422,
      errors: [{ field: name, message: 'is not a known field' }],
    });
  });

  it('A form with metadata that is nested too deeply is refused, and none of its files is kept.', async () => {
    const before = await api.storedFiles();
    const metadata = `{"a":${'['.repeat(15_000)}${']'.repeat(15_000)}}`;
    expect(await refused(await api.post('/lipsync', form({ metadata })), 422)).toMatchObject({
      fields: ['metadata'],
      detail: expect.stringContaining('nested'),
    });
    expect(await api.storedFiles()).toEqual(before);
  });

  it.each(['before', 'after'])(
    'A form with an unconfigured method %s the files is refused, and none of its files is kept.',
    async (position) => {
      const before = await api.storedFiles();
      const body = position === 'after' ? form({ method: 'heygen' }) : new FormData();
      if (position === 'before') {
        body.append('method', 'heygen');
        body.append('video', new Blob([new Uint8Array(10_000_000)]), 'larger than the limit.mp4');
      }
      expect(await refused(await api.post('/lipsync', body), 422)).toMatchObject({
        code: 'not_supported',
        fields: ['method'],
        detail: expect.stringContaining('available: preview'),
      });
      expect(await api.storedFiles()).toEqual(before);
    },
  );

  it('A form with min_sync_score is refused where no sync score is measured, and none of its files is kept.', async () => {
    const before = await api.storedFiles();
    expect(await refused(await api.post('/lipsync', form({ min_sync_score: '0.7' })), 422)).toMatchObject({
      code: 'not_supported',
      fields: ['min_sync_score'],
      detail: expect.stringContaining('SYNCNET_MODEL_PATH'),
    });
    expect(await api.storedFiles()).toEqual(before);
  });

  it('The API stops reading a large unexpected file.', async () => {
    const before = await api.storedFiles();
    const body = form();
    body.append('subtitles', new Blob([new Uint8Array(30_000_000)]), 'a.srt');
    expect(await refused(await api.post('/lipsync', body), 422)).toMatchObject({
      fields: ['subtitles'],
      detail: expect.stringContaining('unexpected file'),
    });
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A file above the size limit is refused with 413 and not kept.', async () => {
    const before = await api.storedFiles();
    const body = form();
    body.set('video', new Blob([new Uint8Array(api.maxUploadBytes + 1)]), 'clip.mp4');
    expect((await refused(await api.post('/lipsync', body), 413)).code).toBe('payload_too_large');
    expect(await api.storedFiles()).toEqual(before);
  });

  it('A client that continues to send a large file can read the 413 response.', async () => {
    const body = form();
    body.set('video', new Blob([new Uint8Array(30_000_000)]), 'clip.mp4');
    expect((await refused(await api.post('/lipsync', body), 413)).code).toBe('payload_too_large');
  });

  it('A file of exactly the size limit is accepted.', async () => {
    const body = form();
    body.set('video', new Blob([new Uint8Array(api.maxUploadBytes)]), 'clip.mp4');
    expect((await api.post('/lipsync', body)).status).toBe(202);
  });

  it('An interrupted upload leaves no file, and the API continues to accept jobs.', async () => {
    const before = await api.storedFiles();
    await api.interruptUpload();
    await expect.poll(() => api.storedFiles()).toEqual(before);
    await accepted();
  });

  it('A truncated or malformed form is refused with 400.', async () => {
    const headers = { 'Content-Type': 'multipart/form-data; boundary=x' };
    expect(
      (
        await refused(
          await api.post(
            '/lipsync',
            '--x\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\nhalf',
            headers,
          ),
          400,
        )
      ).code,
    ).toBe('request_invalid');
    expect((await refused(await api.post('/lipsync', 'nothing', headers), 400)).code).toBe('request_invalid');
    expect(
      (await refused(await api.post('/lipsync', 'nothing', { 'Content-Type': 'multipart/form-data' }), 400)).code,
    ).toBe('request_invalid');
  });

  it.each([
    `it's "quoted".mp4`,
    'two\nlines.mp4',
    '../../../etc/passwd',
    '..\\..\\boot.ini',
    'видео 日本 🎬.mp4',
    '$(touch x);`id`.mp4',
    '%00%2e%2e.mp4',
  ])('The uploaded file name %j is not used as a path.', async (name) => {
    const body = form();
    body.set('video', new Blob(['clip']), name);
    const { id } = await accepted(body);
    const record = await api.store.get(id);
    expect(record?.spec.video).toMatchObject({
      kind: 'artifact',
      key: expect.stringMatching(/^inputs\/[0-9a-f]{64}$/),
    });
    expect((await api.storedFiles()).every((path) => /^inputs\/[0-9a-f]{64}$/.test(path))).toBe(true);
  });
});

describe('POST /lipsync with URLs', () => {
  const urls = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };

  it('POST /lipsync with URLs answers 202 and stores the URLs for the worker.', async () => {
    const response = await api.postJson('/lipsync', {
      ...urls,
      method: 'preview',
      allow_preview: true,
      metadata: { a: 1 },
    });
    expect(response.status).toBe(202);
    const { id } = jobViewSchema.parse(await response.json());
    expect((await api.store.get(id))?.spec.video).toEqual({ kind: 'url', url: urls.video_url });
  });

  it.each([
    'http://127.0.0.1/a',
    'http://10.0.0.1/a',
    'http://[::1]/a',
    'http://169.254.169.254/latest',
    'file:///etc/passwd',
    'https://user:pass@example.org/a',
  ])('The forbidden URL %s is refused.', async (url) => {
    const { code, fields } = await refused(await api.postJson('/lipsync', { ...urls, video_url: url }), 422);
    expect({ code, fields }).toEqual({ code: 'url_forbidden', fields: ['video_url'] });
  });

  it('The detail of a request with two refused URLs separates each field from its reason.', async () => {
    const body = { video_url: 'http://127.0.0.1/a', audio_url: 'clip.wav' };
    const { detail } = await refused(await api.postJson('/lipsync', body), 422);
    expect(detail).toMatch(/: video_url: The URL points to .*_HOSTS; audio_url: The URL is invalid\. [^.]+$/);
  });

  it('An invalid JSON request is refused with all of its problems.', async () => {
    const body = { video_url: 'http://127.0.0.1/', audio_url: 5, method: 'magic', start_ms: '5', color: 'red' };
    expect(await refused(await api.postJson('/lipsync', body), 422)).toMatchObject({
      code: 'request_invalid',
      fields: ['audio_url', 'color', 'method', 'start_ms', 'video_url'],
    });
  });

  it('A JSON request without URLs is refused and the missing fields are named.', async () => {
    expect((await refused(await api.postJson('/lipsync', {}), 422)).fields).toEqual(['audio_url', 'video_url']);
  });

  it.each([
    ['{', 400],
    ['[]', 400],
    ['"text"', 400],
    ['', 422],
  ])('The JSON body %j is refused with %i.', async (body, status) => {
    const response = await api.post('/lipsync', body, { 'Content-Type': 'application/json' });
    expect((await refused(response, status)).code).toBe('request_invalid');
  });

  it('A JSON request with metadata that is nested too deeply is refused.', async () => {
    const body = `{"metadata":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`;
    const { fields } = await refused(await api.post('/lipsync', body, { 'Content-Type': 'application/json' }), 422);
    expect(fields).toEqual(['audio_url', 'metadata', 'video_url']);
  });

  it.each(['heygen', 'wav2lip'])('A JSON request with the unconfigured method %s is refused.', async (method) => {
    expect(await refused(await api.postJson('/lipsync', { ...urls, method }), 422)).toMatchObject({
      code: 'not_supported',
      fields: ['method'],
    });
  });

  it('A JSON request with min_sync_score is refused where no sync score is measured.', async () => {
    expect(await refused(await api.postJson('/lipsync', { ...urls, min_sync_score: 0.7 }), 422)).toMatchObject({
      code: 'not_supported',
      fields: ['min_sync_score'],
    });
  });

  it('An invalid min_sync_score is invalid in forms, in JSON and in estimates, whether or not it could be served.', async () => {
    const responses = [
      await api.post('/lipsync', form({ min_sync_score: '7' })),
      await api.postJson('/lipsync', { ...urls, min_sync_score: 7 }),
      await api.postJson('/estimate', { audio_duration_ms: 1_000, min_sync_score: 7 }),
    ];
    for (const response of responses)
      expect(await refused(response, 422)).toMatchObject({ code: 'request_invalid', fields: ['min_sync_score'] });
  });

  it('A JSON body above 64 KiB is refused with 413.', async () => {
    const response = await api.postJson('/lipsync', { ...urls, metadata: { text: 'x'.repeat(70_000) } });
    expect((await refused(response, 413)).code).toBe('payload_too_large');
  });

  it('A body of another content type is refused with 415.', async () => {
    expect((await refused(await api.post('/lipsync', '<a/>', { 'Content-Type': 'text/xml' }), 415)).code).toBe(
      'request_invalid',
    );
    expect((await refused(await api.fetch('/lipsync', { method: 'POST' }), 415)).code).toBe('request_invalid');
  });
});

describe('reading jobs', () => {
  it('GET /lipsync/:id returns the job.', async () => {
    const { id } = await accepted();
    const response = await api.fetch(`/lipsync/${id}`);
    expect(jobViewSchema.parse(await response.json())).toMatchObject({ id, status: 'queued' });
  });

  it.each([
    '/lipsync/nope',
    '/lipsync/%2e%2e',
    '/lipsync/%ff',
    `/lipsync/${'a'.repeat(500)}`,
    '/lipsync/a%00b',
    '/lipsync/a:b',
    '/lipsync/nope/output',
    '/lipsync/nope/events',
  ])('GET %s answers 404.', async (path) => {
    expect((await refused(await api.fetch(path), 404)).code).toBe('not_found');
  });

  it('GET /lipsync lists jobs in pages, newest first.', async () => {
    const ids = [await accepted(), await accepted(), await accepted()].map(({ id }) => id).toReversed();
    const first = await json(await api.fetch('/lipsync?limit=2'));
    expect(first.jobs.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2));
    const second = await json(await api.fetch(`/lipsync?limit=1&cursor=${encodeURIComponent(first.next_cursor)}`));
    expect(second.jobs.map(({ id }: { id: string }) => id)).toEqual(ids.slice(2));
  });

  it('A list refuses a cursor that the service did not return, and names the field.', async () => {
    const { fields } = await refused(await api.fetch('/lipsync?cursor=abc'), 422);
    expect(fields).toEqual(['cursor']);
  });

  it('GET /lipsync?status lists only jobs with that status.', async () => {
    const { id } = await accepted();
    await api.post(`/lipsync/${id}/cancel`);
    const page = await json(await api.fetch('/lipsync?status=canceled&limit=100'));
    expect(page.jobs.map((job: { id: string }) => job.id)).toContain(id);
    expect(page.jobs.every((job: { status: string }) => job.status === 'canceled')).toBe(true);
  });

  it.each([
    ['limit=0', 'limit', 'must be at least 1'],
    ['limit=1000', 'limit', 'must be at most 100'],
    ['limit=x', 'limit', 'must be a whole number'],
    ['status=done', 'status', 'must be one of queued, processing, completed, failed, canceled'],
    ['color=red', 'color', 'is not a known field'],
    ['limit=1&limit=2', 'limit', 'must be text'],
  ])('GET /lipsync?%s is refused: %s %s.', async (query, field, message) => {
    const { fields, detail } = await refused(await api.fetch(`/lipsync?${query}`), 422);
    expect(fields).toEqual([field]);
    expect(detail).toContain(`${field} ${message}`);
  });
});

describe('canceling', () => {
  it('Canceling a queued job ends it immediately and removes its queue entry.', async () => {
    const { id } = await accepted();
    const response = await api.post(`/lipsync/${id}/cancel`);
    expect(response.status).toBe(202);
    expect(await json(response)).toMatchObject({ id, status: 'canceled' });
    expect(await api.queuedPayload(id)).toBeUndefined();
  });

  it('Canceling a running job requests its worker to stop.', async () => {
    const { id } = await accepted();
    await api.store.append(id, { type: 'run_started', atMs: Date.now() });
    const response = await api.post(`/lipsync/${id}/cancel`);
    expect(await json(response)).toMatchObject({ status: 'processing', message: 'Cancel requested.' });
    expect((await api.store.get(id))?.cancelRequested).toBe(true);
  });

  it('Canceling an ended job is refused with 409.', async () => {
    const { id } = await accepted();
    await api.post(`/lipsync/${id}/cancel`);
    expect((await refused(await api.post(`/lipsync/${id}/cancel`), 409)).code).toBe('canceled');
  });
});

describe('every response', () => {
  it('Responses repeat a valid request id and replace an invalid one.', async () => {
    const given = await api.fetch('/health', { headers: { 'X-Request-Id': 'order-7' } });
    expect(given.headers.get('x-request-id')).toBe('order-7');
    const replaced = await api.fetch('/health', { headers: { 'X-Request-Id': 'a b<script>' } });
    expect(replaced.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('The API does not reveal its framework in response headers.', async () => {
    const { headers } = await api.fetch('/health');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('Unknown paths get 404, and unsupported methods get 405 with Allow.', async () => {
    await refused(await api.fetch('/nowhere'), 404);
    const wrong = await api.fetch('/lipsync', { method: 'DELETE' });
    expect(wrong.headers.get('allow')).toBe('POST, GET, HEAD');
    await refused(wrong, 405);
  });
});
