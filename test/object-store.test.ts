import { execFile } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startTestS3, type TestS3 } from '@lipsync/core/testing';
import { startTestRedis, type TestRedis } from '@lipsync/queue/testing';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startService, type ServiceProcess } from './support/service-process.ts';

const project = join(import.meta.dirname, '..');
const sample = (name: string): string => join(project, 'samples', name);
const patient = { timeout: 120_000, interval: 200 };

let folder: string;
let redis: TestRedis;
let s3: TestS3;
let url: string;
const machines: ServiceProcess[] = [];

/** Starts a process of the service with a data folder of its own, as on a machine of its own, and returns its address. */
async function startMachine(
  name: 'api' | 'worker',
  settings: Record<string, string> = {},
): Promise<string | undefined> {
  const machine = startService(name, {
    folder: join(folder, name),
    redisUrl: redis.url,
    settings: { LIPSYNC_QUALITY: 'off', ...s3.environment('service'), ...settings },
  });
  machines.push(machine);
  const record = await machine.ready();
  if (record) return record.url;
  throw new Error(`${name} ended before it was ready: ${machine.errorText()}`);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'object-store-'));
  for (const name of ['api', 'worker']) await mkdir(join(folder, name));
  [redis, s3] = await Promise.all([startTestRedis(), startTestS3()]);
  const clip = ['-nostdin', '-v', 'error', '-t', '1', '-i', sample('presenter.mp4'), '-vf', 'scale=320:-2'];
  await promisify(execFile)('ffmpeg', [...clip, '-preset', 'ultrafast', join(folder, 'clip.mp4')]);
  const speech = ['-nostdin', '-v', 'error', '-t', '1', '-i', sample('speech.wav'), join(folder, 'speech.wav')];
  await promisify(execFile)('ffmpeg', speech);
  const inputs = { LIPSYNC_S3_INPUT_BUCKETS: 'artifacts' };
  [url = ''] = await Promise.all([startMachine('api', inputs), startMachine('worker', inputs)]);
}, 120_000);
afterAll(async () => {
  for (const machine of machines) await machine.stop();
  await Promise.all([redis?.stop(), s3?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

async function post(): Promise<Response> {
  const form = new FormData();
  form.set('video', await openAsBlob(join(folder, 'clip.mp4')), 'clip.mp4');
  form.set('audio', await openAsBlob(join(folder, 'speech.wav')), 'speech.wav');
  form.set('method', 'preview');
  form.set('cache', 'false');
  return fetch(`${url}/lipsync`, { method: 'POST', body: form });
}

async function submit(): Promise<string> {
  const response = await post();
  const job = (await response.json()) as { id: string };
  expect(response.status, JSON.stringify(job)).toBe(202);
  return job.id;
}

async function submitJson(body: object): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${url}/lipsync`, { method: 'POST', headers, body: JSON.stringify({ method: 'preview', ...body }) });
}

async function waitFor(id: string, expected: object): Promise<void> {
  await vi.waitFor(async () => {
    const job = await (await fetch(`${url}/lipsync/${id}`)).json();
    expect(job, JSON.stringify(job)).toMatchObject(expected);
  }, patient);
}

async function listStored(): Promise<string[]> {
  const bucket = s3.open('service/');
  return (await bucket.list('')).map(({ key }) => key).filter((key) => !/^(store-id|health\/)/.test(key));
}

it('API and worker with different folders complete a job over the object store, whose output is served and erased.', async () => {
  const id = await submit();
  await waitFor(id, { status: 'completed' });
  const output = `${url}/lipsync/${id}/output`;
  const whole = await fetch(output);
  const video = Buffer.from(await whole.arrayBuffer());
  expect(whole.headers.get('content-length')).toBe(String(video.byteLength));
  expect(video.subarray(4, 8).toString()).toBe('ftyp');

  const part = await fetch(output, { headers: { Range: 'bytes=0-0' } });
  expect(part.status).toBe(206);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(video.subarray(0, 1));
  const middle = await fetch(output, { headers: { Range: 'bytes=100-299' } });
  expect(middle.headers.get('content-range')).toBe(`bytes 100-299/${video.byteLength}`);
  expect(Buffer.from(await middle.arrayBuffer())).toEqual(video.subarray(100, 300));
  const head = await fetch(output, { method: 'HEAD' });
  expect(head.headers.get('content-length')).toBe(String(video.byteLength));
  // Without a header of its own, fetch adds `no-cache`.
  const unchanged = { 'If-None-Match': whole.headers.get('etag') ?? '', 'Cache-Control': 'max-age=0' };
  const known = await fetch(output, { headers: unchanged });
  expect(known.status).toBe(304);

  expect((await listStored()).map((key) => key.split('/')[0])).toEqual(['inputs', 'inputs', 'outputs']);
  expect(await readdir(join(folder, 'api', 'data', 'inputs'))).toEqual([]);
  const [stored = ''] = (await listStored()).filter((key) => key.startsWith('outputs/'));
  await s3.open('service/').put(stored, Buffer.alloc(video.byteLength));
  await expect(fetch(output).then((response) => response.arrayBuffer())).rejects.toThrow(/terminated|fetch failed/);
  expect((await fetch(`${url}/lipsync/${id}`, { method: 'DELETE' })).status).toBe(204);
  await vi.waitFor(async () => expect(await listStored()).toEqual([]), patient);
}, 180_000);

it('An upload that the store does not take is refused with the cause, and leaves nothing behind.', async () => {
  s3.proxy.setFault(({ method, key }) =>
    method === 'PUT' && key.includes('/inputs/') ? { kind: 'error', status: 400, code: 'ExpiredToken' } : undefined,
  );
  const response = await post();
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ code: 'store_credentials_rejected', retryable: true });
  s3.proxy.setFault(undefined);
  expect(await listStored()).toEqual([]);
  expect(await readdir(join(folder, 'api', 'data', 'inputs'))).toEqual([]);
});

it('A finished take waits while the store is full, and is published once when it has room again.', async () => {
  s3.proxy.setFault(({ method, key }) =>
    method === 'PUT' && key.includes('/outputs/') ? { kind: 'error', status: 507, code: 'QuotaExceeded' } : undefined,
  );
  const id = await submit();
  const message = expect.stringMatching(/The take is finished and waits to be published.*quota/);
  await waitFor(id, { status: 'processing', stage: 'waiting', message });
  expect((await listStored()).filter((key) => key.startsWith('outputs/'))).toEqual([]);
  s3.proxy.setFault(undefined);
  await waitFor(id, { status: 'completed', attempts: [{ outcome: 'succeeded' }] });
  expect((await listStored()).filter((key) => key.startsWith('outputs/'))).toHaveLength(1);
}, 180_000);

it('A job waits while its inputs cannot be read, and continues afterwards.', async () => {
  await rm(join(folder, 'worker', 'data', 'cache', 'inputs'), { recursive: true });
  s3.proxy.setFault(({ method, query }) =>
    method === 'GET' && !query.has('list-type') ? { kind: 'error', status: 503, code: 'SlowDown' } : undefined,
  );
  const id = await submit();
  await waitFor(id, { stage: 'waiting', message: expect.stringContaining('refuses load') });
  s3.proxy.setFault(undefined);
  await waitFor(id, { status: 'completed' });
}, 180_000);

it('A job with objects of an allowed bucket completes, and other buckets and missing objects are refused with their reason.', async () => {
  const bucket = s3.open('customer/');
  await bucket.put('my clip+1.mp4', await readFile(join(folder, 'clip.mp4')));
  await bucket.put('speech.wav', await readFile(join(folder, 'speech.wav')));
  const audio_url = 's3://artifacts/customer/speech.wav';
  const accepted = await submitJson({ video_url: 's3://artifacts/customer/my clip+1.mp4', audio_url });
  const { id } = (await accepted.json()) as { id: string };
  await waitFor(id, { status: 'completed' });
  const head = await fetch(`${url}/lipsync/${id}/output`, { method: 'HEAD' });
  expect(head.headers.get('content-disposition')).toContain('my clip+1-lipsync.mp4');

  const refused = await submitJson({ video_url: 's3://other/clip.mp4', audio_url });
  expect(refused.status).toBe(422);
  expect(await refused.json()).toMatchObject({ code: 'url_forbidden' });
  const missing = await submitJson({ video_url: 's3://artifacts/customer/missing.mp4', audio_url });
  const job = (await missing.json()) as { id: string };
  const message = expect.stringMatching(/^video_url \(artifacts\):.*404/);
  await waitFor(job.id, { status: 'failed', error: { code: 'request_invalid', message } });
}, 180_000);

it('With signed URLs, the API sends clients to the bucket, which serves the video with its name and by range.', async () => {
  const id = await submit();
  await waitFor(id, { status: 'completed' });
  const direct = `${await startMachine('api', { LIPSYNC_S3_SIGNED_URL_S: '60' })}/lipsync/${id}/output`;
  const redirect = await fetch(direct, { redirect: 'manual' });
  const location = new URL(redirect.headers.get('location') ?? '');
  expect([redirect.status, location.origin, location.searchParams.get('X-Amz-Expires')]).toEqual([
    302,
    s3.proxy.url,
    '60',
  ]);
  expect(redirect.headers.get('cache-control')).toBe('private, no-store');
  const video = Buffer.from(await (await fetch(`${url}/lipsync/${id}/output`)).arrayBuffer());
  const followed = await fetch(direct);
  expect(followed.headers.get('content-disposition')).toContain('clip-lipsync.mp4');
  expect(followed.headers.get('content-type')).toBe('video/mp4');
  expect(Buffer.from(await followed.arrayBuffer()).equals(video)).toBe(true);
  const part = await fetch(direct, { headers: { Range: 'bytes=10-19' } });
  expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, video.subarray(10, 20)]);
  const head = await fetch(direct, { method: 'HEAD', redirect: 'manual' });
  expect([head.status, head.headers.get('content-length')]).toEqual([200, `${video.byteLength}`]);
}, 180_000);
