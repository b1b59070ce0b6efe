import { once } from 'node:events';
import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { startHeygenStandin } from '../src/index.ts';
import { atOnce, useStandin } from './standin-fixture.ts';

const heygen = useStandin({ separateDownloadOrigin: true });
const pageSchema = z.object({
  data: z.array(z.object({ id: z.string() })),
  has_more: z.boolean(),
  next_token: z.string().nullable(),
});
const unauthorized = {
  code: 'unauthorized',
  message: 'Unauthorized',
  doc_url: 'https://developers.heygen.com/docs/error-codes#unauthorized',
};
const asset = { type: 'asset_id', asset_id: 'a' };

afterEach(() => heygen.standin.control.clearFaults());

describe('requests', () => {
  it.each([{}, { 'X-Api-Key': 'sk_V2_wrong' }, { 'X-Api-Key': '' }])(
    'A request without the right key is refused: %j',
    async (headers) => {
      const response = await fetch(`${heygen.standin.url}/v3/users/me`, { headers: headers as Record<string, string> });
      expect([response.status, await heygen.error(response)]).toEqual([401, unauthorized]);
    },
  );

  it.each([
    ['GET', '/v3/users/me'],
    ['GET', '/v3/lipsyncs/none'],
    ['POST', '/v3/lipsyncs'],
    ['GET', '/v1/lipsync'],
    ['GET', '/storage/videos/none.mp4'],
  ])('Every response has its own X-Request-Id: %s %s', async (method, path) => {
    const ids = [await heygen.call(method, path), await heygen.call(method, path)].map(({ headers }) =>
      headers.get('X-Request-Id'),
    );
    expect(ids[0]).toMatch(/./);
    expect(ids[0]).not.toBe(ids[1]);
  });

  it.each([
    ['GET', '/v3/lipsyncs/none'],
    ['DELETE', '/v3/lipsyncs/none'],
    ['POST', '/v3/assets/none/complete'],
    ['POST', '/v2/video_translate'],
    ['GET', '/v1/video_status.get'],
  ])('An unknown resource or route gets 404: %s %s', async (method, path) =>
    expect((await heygen.call(method, path)).status).toBe(404),
  );
});

describe('create', () => {
  it.each([
    ['video', {}],
    ['audio', { video: asset }],
    ['video', { video: 'https://example.org/clip.mp4', audio: asset }],
    ['video.type', { video: { type: 'base64', data: '' }, audio: asset }],
    ['audio.url', { video: asset, audio: { type: 'url', url: 'ftp://example.org/a' } }],
    ['mode', { video: asset, audio: asset, mode: 'fast' }],
    ['surprise', { video: asset, audio: asset, surprise: 1 }],
  ])('A create with an invalid field names the field: %s', async (param, body) => {
    const response = await heygen.call('POST', '/v3/lipsyncs', body);
    expect([response.status, await heygen.error(response)]).toEqual([
      400,
      expect.objectContaining({ code: 'invalid_parameter', param }),
    ]);
  });

  it('A create accepts only JSON.', async () => {
    const post = (type: string, body: string): Promise<Response> =>
      fetch(`${heygen.standin.url}/v3/lipsyncs`, {
        method: 'POST',
        headers: { 'X-Api-Key': heygen.standin.apiKey, 'Content-Type': type },
        body,
      });
    expect((await post('text/plain', '{}')).status).toBe(400);
    expect((await post('application/json', '{"video":')).status).toBe(400);
    expect((await post('application/json', JSON.stringify({ title: 'x'.repeat(1_100_000) }))).status).toBe(413);
  });

  it('A create returns only the id, and refuses unknown assets.', async () => {
    expect(Object.keys(await heygen.data(heygen.call('POST', '/v3/lipsyncs', await heygen.body())))).toEqual([
      'lipsync_id',
    ]);
    const response = await heygen.call('POST', '/v3/lipsyncs', { video: asset, audio: asset });
    expect([response.status, await heygen.error(response)]).toEqual([
      404,
      expect.objectContaining({ code: 'asset_not_found' }),
    ]);
  });

  it('A create downloads URLs of this machine only.', async () => {
    const files = createServer((request, response) => {
      if (request.url === '/gone') response.writeHead(404).end();
      else if (request.url === '/elsewhere') response.writeHead(302, { Location: '/clip' }).end();
      else response.end(request.url === '/clip' ? heygen.media.clip : heygen.media.speech);
    }).listen(0, '127.0.0.1');
    await once(files, 'listening');
    const address = files.address();
    const origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    const create = (url: string): Promise<Response> =>
      heygen.call('POST', '/v3/lipsyncs', {
        video: { type: 'url', url },
        audio: { type: 'url', url: `${origin}/speech` },
      });
    expect((await create(`${origin}/clip`)).status).toBe(200);
    for (const url of [
      `${origin}/gone`,
      `${origin}/elsewhere`,
      'http://10.0.0.1/clip.mp4',
      'https://example.org/clip.mp4',
    ]) {
      const response = await create(url);
      expect([response.status, await heygen.error(response)]).toEqual([
        400,
        expect.objectContaining({ code: 'download_failed' }),
      ]);
    }
    files.close();
  });
});

describe('several jobs', () => {
  it('Jobs are listed in pages, newest first.', async () => {
    const ids = [await heygen.create(), await heygen.create(), await heygen.create()].reverse();
    const page = async (query: string) =>
      pageSchema.parse(await (await heygen.call('GET', `/v3/lipsyncs?${query}`)).json());
    const first = await page('limit=2');
    expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.has_more).toBe(true);
    expect((await page(`limit=2&token=${first.next_token}`)).data[0]?.id).toBe(ids[2]);
    expect(await page('limit=100')).toMatchObject({ has_more: false, next_token: null });
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'token=none'])
      expect((await heygen.call('GET', `/v3/lipsyncs?${query}`)).status).toBe(400);
  });

  it('The bulk status route returns its own status words.', async () => {
    heygen.standin.control.addFaults(
      { match: { route: 'create' }, fault: { kind: 'stick', status: 'pending' } },
      { match: { route: 'create', nth: 2 }, fault: { kind: 'stick' } },
    );
    const ids = [
      await heygen.create(),
      await heygen.create(),
      await heygen.create(),
      await heygen.create({}, heygen.media.silentClip),
      'none',
    ];
    const response = await heygen.call('GET', `/v3/lipsyncs/statuses?lipsync_ids=${ids.join(',')}`);
    const words = ['queued', 'processing', 'completed', 'failed', 'not_found'];
    expect(await response.json()).toEqual({
      data: ids.map((id, index) => ({ video_id: id, status: words[index] })),
      has_more: false,
      next_token: null,
    });
    expect(
      (
        await heygen.call(
          'GET',
          `/v3/lipsyncs/statuses?lipsync_ids=${Array.from({ length: 101 }, () => 'x').join(',')}`,
        )
      ).status,
    ).toBe(400);
  });

  it('A job can be renamed.', async () => {
    const id = await heygen.create({ title: 'old' });
    expect(await heygen.data(heygen.call('PATCH', `/v3/lipsyncs/${id}`, { title: 'new' }))).toMatchObject({
      id,
      title: 'new',
    });
    expect(await heygen.error(heygen.call('PATCH', `/v3/lipsyncs/${id}`, {}))).toMatchObject({ param: 'title' });
  });
});

describe('the stand-in', () => {
  it('Videos are served from a separate origin if configured.', async () => {
    const { url } = await heygen.finished();
    expect(new URL(url).origin).toBe(heygen.standin.downloadUrl);
    expect(heygen.standin.downloadUrl).not.toBe(heygen.standin.url);
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(`${heygen.standin.downloadUrl}/v3/users/me`)).status).toBe(404);
  });

  it('The log records requests without the key.', async () => {
    await heygen.create({ title: 'logged' });
    const { control, apiKey } = heygen.standin;
    expect(control.log().at(-1)).toMatchObject({
      method: 'POST',
      path: '/v3/lipsyncs',
      route: 'create',
      hasApiKey: true,
      status: 200,
      body: { title: 'logged' },
    });
    expect(JSON.stringify(control.log())).not.toContain(apiKey);
  });

  it('Files below a hidden temporary folder are served.', async () => {
    const folder = await mkdtemp(join(tmpdir(), '.standin-hidden-'));
    vi.stubEnv('TMPDIR', folder);
    const other = await startHeygenStandin({ settings: { pace: atOnce, mouth: 'old' } });
    vi.unstubAllEnvs();
    const headers = { 'X-Api-Key': other.apiKey };
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(heygen.media.speech)]), 'speech.wav');
    const uploaded = await heygen.data(fetch(`${other.url}/v3/assets`, { method: 'POST', headers, body: form }));
    const file = await fetch(String(uploaded['url']));
    expect([file.status, Buffer.from(await file.arrayBuffer()).equals(heygen.media.speech)]).toEqual([200, true]);
    await other.close();
    await rmdir(folder);
  });

  it('A stand-in leaves nothing behind when it closes or fails to start.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'standin-close-'));
    vi.stubEnv('TMPDIR', folder);
    const other = await startHeygenStandin();
    expect(await readdir(folder)).toHaveLength(1);
    await other.close();
    await expect(startHeygenStandin({ settings: { timescale: 0 } })).rejects.toThrow(/timescale/);
    await expect(startHeygenStandin({ port: Number(new URL(heygen.standin.url).port) })).rejects.toThrow(/EADDRINUSE/);
    vi.unstubAllEnvs();
    expect(await readdir(folder)).toEqual([]);
    await expect(fetch(other.url)).rejects.toThrow();
    await rmdir(folder);
  });
});
