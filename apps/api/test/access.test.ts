import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, startApi, statusOf, type RunningApi } from './running-api.ts';

describe('API without keys', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.close());

  it.each(['localhost', 'localhost:3000', '127.0.0.1', '[::1]:3000', 'a.localhost'])(
    'Without keys, the API accepts the loopback host name %s.',
    async (Host) => {
      expect(await statusOf(`${api.url}/lipsync`, { Host })).toBe(200);
    },
  );

  it.each(['example.org', 'localhost.example.org', '10.0.0.1', 'localhost@example.org'])(
    'Without keys, the API refuses the host name %j.',
    async (Host) => {
      expect(await statusOf(`${api.url}/lipsync`, { Host })).toBe(403);
      expect(await statusOf(`${api.url}/health`, { Host })).toBe(403);
      expect(await statusOf(`${api.url}/admin/queues`, { Host })).toBe(403);
    },
  );

  it('Without keys, the API refuses requests from other sites and accepts a loopback origin.', async () => {
    expect((await api.fetch('/lipsync', { headers: { Origin: 'https://example.org' } })).status).toBe(403);
    expect((await api.fetch('/lipsync', { headers: { Origin: 'null' } })).status).toBe(403);
    expect((await api.fetch('/lipsync', { headers: { Origin: 'http://localhost:5173' } })).status).toBe(200);
  });
});

describe('API with keys', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({
      keys: [
        { name: 'alice', secret: 'first-secret', isAdmin: true },
        { name: 'bob', secret: 'second-secret', isAdmin: false },
      ],
    });
  });
  afterAll(() => api.close());

  const bearer = (secret: string) => ({ headers: { Authorization: `Bearer ${secret}` } });
  const basic = (user: string, password: string) => ({
    headers: { Authorization: `Basic ${btoa(`${user}:${password}`)}` },
  });

  it('With keys, GET /ready reports its status without a key, and its parts with one.', async () => {
    expect(await json(await api.fetch('/ready'))).toEqual({ status: 'ready' });
    expect(await json(await api.fetch('/ready', bearer('wrong-secret')))).toEqual({ status: 'ready' });
    expect(await json(await api.fetch('/ready', bearer('first-secret')))).toMatchObject({ checks: { redis: 'ok' } });
  });

  it('With keys, only GET /health and GET /ready need no key.', async () => {
    expect((await api.fetch('/health')).status).toBe(200);
    for (const path of [
      '/lipsync',
      '/lipsync/x',
      '/lipsync/x/output',
      '/lipsync/x/events',
      '/nowhere',
      '/admin/queues',
      '/admin/queues/api/queues',
    ]) {
      const response = await api.fetch(path);
      expect(response.status, path).toBe(401);
      expect(response.headers.get('www-authenticate'), path).toMatch(/^(Bearer|Basic) realm="lipsync"/);
      expect((await json(response)).code, path).toBe('unauthorized');
    }
  });

  it.each(['first-secret', 'second-secret'])('The API accepts the secret %s of each key.', async (secret) => {
    expect((await api.fetch('/lipsync', bearer(secret))).status).toBe(200);
  });

  it.each(['', 'first', 'first-secret2', 'alice:first-secret', 'FIRST-SECRET'])(
    'The API refuses the wrong secret %j.',
    async (secret) => {
      expect((await api.fetch('/lipsync', bearer(secret))).status).toBe(401);
    },
  );

  it('With keys, the API accepts other host names.', async () => {
    expect(
      await statusOf(`${api.url}/lipsync`, { Host: 'lipsync.example.org', Authorization: 'Bearer first-secret' }),
    ).toBe(200);
  });

  it('The owner of a job is the name of the key that created it.', async () => {
    const body = JSON.stringify({ video_url: 'https://example.org/a', audio_url: 'https://example.org/b' });
    const headers = { Authorization: 'Bearer second-secret', 'Content-Type': 'application/json' };
    const { id } = await json(await api.fetch('/lipsync', { method: 'POST', body, headers }));
    expect((await api.store.get(id))?.owner).toBe('bob');
  });

  it('An upload without a key is refused before it is read.', async () => {
    const before = await api.storedFiles();
    const body = new FormData();
    body.append('video', new Blob([new Uint8Array(100_000)]), 'clip.mp4');
    expect((await api.fetch('/lipsync', { method: 'POST', body })).status).toBe(401);
    expect(await api.storedFiles()).toEqual(before);
  });

  it('The queue board accepts an admin key only, which may be the password of HTTP Basic there.', async () => {
    expect((await api.fetch('/admin/queues/', basic('anyone', 'first-secret'))).status).toBe(200);
    expect((await api.fetch('/admin/queues/', bearer('first-secret'))).status).toBe(200);
    expect((await api.fetch('/admin/queues/', basic('first-secret', 'wrong'))).status).toBe(401);
    for (const init of [basic('bob', 'second-secret'), bearer('second-secret')])
      expect(await json(await api.fetch('/admin/queues/api/queues', init))).toMatchObject({ code: 'forbidden' });
    expect((await api.fetch('/lipsync', basic('alice', 'first-secret'))).status).toBe(401);
  });
});
