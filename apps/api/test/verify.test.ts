import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LipsyncClient } from '@lipsync/client';
import { originViewSchema } from '@lipsync/core/contract';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { ApiDependencies } from '../src/dependencies.ts';
import { json, startApi, type RunningApi } from './running-api.ts';

const slow = { timeout: 120_000 } as const;
const unsigned = {
  state: 'unsigned',
  reason: null,
  signer: null,
  trusted: false,
  actions: [],
  ingredients: [],
  fingerprint: {
    match: null,
    job_id: null,
    picture: null,
    sound: null,
    mouth: null,
    offset_ms: null,
    searched: 0,
    reason: null,
  },
};
let api: RunningApi;
let folder: string;
let clip: Buffer<ArrayBuffer>;
let server: Server;
let origin: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-verify-'));
  const path = join(folder, 'clip.mp4');
  const source = ['-f', 'lavfi', '-i', 'testsrc=s=64x64:d=1', '-preset', 'ultrafast'];
  await promisify(execFile)('ffmpeg', ['-nostdin', '-v', 'error', ...source, path]);
  clip = Buffer.from(await readFile(path));
  server = createServer((request, response) => {
    response.writeHead(request.url === '/clip.mp4' ? 200 : 404).end(request.url === '/clip.mp4' ? clip : '');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  origin = `http://127.0.0.1:${port}`;
  api = await startApi({}, { LIPSYNC_ALLOWED_PRIVATE_HOSTS: `127.0.0.1:${port}` });
});
afterAll(async () => {
  server.close();
  await api.close();
  await rm(folder, { recursive: true, force: true });
});

function form(content: Uint8Array<ArrayBuffer>, field = 'video'): FormData {
  const body = new FormData();
  body.append(field, new Blob([content]), 'clip.mp4');
  return body;
}

describe('POST /verify', slow, () => {
  it('POST /verify names jobs by the key of the caller.', async () => {
    const fingerprintFor = (jobId: string | null) =>
      ({ ...unsigned.fingerprint, match: 'output', job_id: jobId }) as const;
    const verify: ApiDependencies['originVerifier']['verify'] = async (_, { mayAccess }) => ({
      ...unsigned,
      state: 'unsigned',
      fingerprint: fingerprintFor(mayAccess('alice') ? 'job_1' : null),
    });
    const keys = ['alice', 'bob', 'root'].map((name) => ({ name, secret: `${name}-secret`, isAdmin: name === 'root' }));
    const keyed = await startApi({
      keys,
      checkUrl: () => undefined,
      originVerifier: { ...api.dependencies.originVerifier, verify },
    });
    onTestFinished(() => keyed.close());
    const jobIds = keys.map(async ({ secret }) => {
      const headers = { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' };
      const answer = await keyed.post('/verify', JSON.stringify({ video_url: 'https://example.org/a.mp4' }), headers);
      return originViewSchema.parse(await answer.json()).fingerprint?.job_id;
    });
    expect(await Promise.all(jobIds)).toEqual(['job_1', null, 'job_1']);
  });

  it('POST /verify answers for a file, and leaves none behind.', async () => {
    const response = await api.post('/verify', form(clip));
    expect([response.status, originViewSchema.parse(await response.json())]).toEqual([200, unsigned]);
    expect((await api.storedFiles()).filter((path) => path.startsWith('inputs'))).toEqual([]);
    expect(await readdir(join(api.dataDir, 'work'))).toEqual([]);
  });

  it('POST /verify fetches a URL, and the client calls it.', async () => {
    const client = new LipsyncClient({ baseUrl: api.url });
    expect(await client.verify(`${origin}/clip.mp4`)).toEqual(unsigned);
    expect(await client.verify(new Blob([clip]))).toEqual(unsigned);
  });

  it('A file of another kind is unreadable, which is no error of the request.', async () => {
    const response = await api.post('/verify', form(new Uint8Array(Buffer.from('not a video at all'))));
    expect(await json(response)).toMatchObject({ state: 'unreadable', reason: /known format/ });
  });

  it.each([
    ['a URL that may not be fetched', { video_url: 'http://127.0.0.2/clip.mp4' }, 422, 'url_forbidden'],
    ['an unknown field', { video_url: 'https://example.org/a.mp4', method: 'auto' }, 422, 'request_invalid'],
    ['no URL', {}, 422, 'request_invalid'],
  ])('POST /verify refuses %s.', async (_, body, status, code) => {
    const response = await api.postJson('/verify', body);
    expect([response.status, (await json(response))['code']]).toEqual([status, code]);
  });

  it('POST /verify refuses a file above the limit, a form without a file, and another field.', async () => {
    const large = await api.post('/verify', form(new Uint8Array(api.maxUploadBytes + 1)));
    expect([large.status, (await json(large))['code']]).toEqual([413, 'payload_too_large']);
    for (const body of [new FormData(), form(clip, 'audio')]) {
      const response = await api.post('/verify', body);
      expect([response.status, (await json(response))['code']]).toEqual([422, 'request_invalid']);
    }
  });
});
