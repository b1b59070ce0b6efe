import { expect, it } from 'vitest';
import { LipsyncApiError, LipsyncClient, LipsyncConnectionError, LipsyncJobError } from '../src/index.ts';
import { answer, refuse, startServer } from './scripted-server.ts';

const urls = { video: 'https://example.org/clip.mp4', audio: new URL('https://example.org/speech.wav') };
const job = { id: 'job_1', status: 'queued' };
const busy = { code: 'resource_exhausted', retryable: true, detail: 'Busy.' };

it('A create that is answered 503, 429 and not at all is sent again with the same idempotency key.', async () => {
  const { client, received } = await startServer(
    refuse(503, busy, { 'Retry-After': '0' }),
    refuse(429, { code: 'too_many_requests', retryable: true }),
    (request) => request.socket.destroy(),
    answer(202, job),
  );
  expect(await client.create({ ...urls, max_cost_usd: 2 })).toEqual(job);
  expect(received).toHaveLength(4);
  const keys = new Set(received.map(({ headers }) => headers['idempotency-key']));
  expect([...keys]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
  expect(received[3]).toMatchObject({ method: 'POST', headers: { authorization: 'Bearer a-secret-of-a-test' } });
  expect(JSON.parse(received[3]?.body ?? '')).toEqual({
    video_url: 'https://example.org/clip.mp4',
    audio_url: 'https://example.org/speech.wav',
    max_cost_usd: 2,
  });
});

it('The delay before the next try is at least that of Retry-After.', async () => {
  const { client } = await startServer(refuse(503, busy, { 'Retry-After': '1' }), answer(200, job));
  const startedMs = performance.now();
  await client.get('job_1');
  expect(performance.now() - startedMs).toBeGreaterThan(990);
});

it('A service that sends a longer Retry-After than the limit is not waited for.', async () => {
  const { client, received } = await startServer(refuse(503, busy, { 'Retry-After': '3600' }));
  await expect(client.get('job_1')).rejects.toMatchObject({ code: 'resource_exhausted', retryAfterMs: 3_600_000 });
  expect(received).toHaveLength(1);
});

it('Retries end after the limit with the last error.', async () => {
  const { client, received } = await startServer(refuse(503, busy));
  await expect(client.get('job_1')).rejects.toBeInstanceOf(LipsyncApiError);
  expect(received).toHaveLength(5);
});

it('A refused request is not sent again, and its error has the fields of the problem document.', async () => {
  const errors = [{ field: 'color', message: 'is not a known field' }];
  const problem = { code: 'request_invalid', retryable: false, detail: 'Invalid.', request_id: 'r1', errors };
  const { client, received } = await startServer(refuse(422, problem));
  const error = await client.create(urls).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(LipsyncApiError);
  expect(error).toMatchObject({ status: 422, code: 'request_invalid', requestId: 'r1', errors, message: 'Invalid.' });
  expect(received).toHaveLength(1);
});

it('A create that is redirected fails instead of arriving as a GET.', async () => {
  const { client, received } = await startServer(answer(301, {}, { Location: '/elsewhere' }));
  await expect(client.create(urls)).rejects.toMatchObject({ status: 301, code: 'response_invalid' });
  expect(received).toHaveLength(1);
});

it('An upload is sent in the one redirect mode in which Node streams it.', async () => {
  const sent: (RequestInit | undefined)[] = [];
  const fetch: typeof globalThis.fetch = async (_url, init) => {
    sent.push(init);
    return Response.json(job);
  };
  const client = new LipsyncClient({ baseUrl: 'http://127.0.0.1', fetch });
  await client.create({ ...urls, video: new Blob(['clip']) });
  expect(sent).toEqual([expect.objectContaining({ redirect: 'error', body: expect.any(ReadableStream) })]);
});

it('A server that does not respond is a connection error after the limit, and an abort ends the wait with its reason.', async () => {
  const { baseUrl } = await startServer(() => undefined);
  const client = new LipsyncClient({ baseUrl, timeoutMs: 50, maxRetries: 0 });
  await expect(client.get('job_1')).rejects.toBeInstanceOf(LipsyncConnectionError);
  const patient = new LipsyncClient({ baseUrl });
  const reason = new Error('enough');
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 50);
  await expect(patient.get('job_1', { signal: controller.signal })).rejects.toBe(reason);
});

it('A page that is not the service is named as such, without the query of the request.', async () => {
  const { baseUrl, client } = await startServer((_request, response) => response.end('<html>'));
  await expect(client.providers()).rejects.toMatchObject({ code: 'response_invalid' });
  const refused = client.list({ user_id: 'SECRET' });
  await expect(refused).rejects.toThrow(`The response with status 200 of ${baseUrl}/lipsync is no JSON.`);
});

it('A cancel that is repeated after a lost response returns the canceled job.', async () => {
  const { client, received } = await startServer(
    (request) => request.socket.destroy(),
    refuse(409, { code: 'canceled', retryable: false }),
    answer(200, { ...job, status: 'canceled' }),
  );
  expect(await client.cancel('job_1')).toMatchObject({ status: 'canceled' });
  expect(received.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'POST /lipsync/job_1/cancel',
    'POST /lipsync/job_1/cancel',
    'GET /lipsync/job_1',
  ]);
});

it('A delete that is repeated after a lost response succeeds, and one of an unknown job does not.', async () => {
  const unknown = refuse(404, { code: 'not_found', retryable: false });
  const { client } = await startServer((request) => request.socket.destroy(), unknown);
  await expect(client.delete('job_1')).resolves.toBeUndefined();
  await expect(client.delete('job_2')).rejects.toMatchObject({ code: 'not_found' });
  const { client: other } = await startServer((request) => request.socket.destroy(), unknown);
  await expect(other.batches.delete('batch_1')).resolves.toBeUndefined();
});

it('An aborted generate cancels its job, and a failed job is an error with the job.', async () => {
  const controller = new AbortController();
  const { client, received } = await startServer(
    answer(202, job),
    () => controller.abort(new Error('enough')),
    answer(202, job),
  );
  await expect(client.generate(urls, { signal: controller.signal })).rejects.toThrow('enough');
  expect(received.at(-1)).toMatchObject({ method: 'POST', path: '/lipsync/job_1/cancel' });
  const failed = { ...job, status: 'failed', error: { code: 'clip_unusable', message: 'No face.', retryable: false } };
  const second = await startServer(answer(202, job), (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.end(`event: failed\nid: 3\ndata: ${JSON.stringify(failed)}\n\n`);
  });
  const error = await second.client.generate(urls).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(LipsyncJobError);
  expect(error).toMatchObject({ code: 'clip_unusable', job: failed });
});
