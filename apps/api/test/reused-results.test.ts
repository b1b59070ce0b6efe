import { createClientConnection, RedisResultCache } from '@lipsync/queue';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

const alice = { Authorization: 'Bearer alice-secret' };
const bob = { Authorization: 'Bearer bob-secret' };
const content = 'a finished video';

let api: RunningApi;
let connection: ReturnType<typeof createClientConnection>;
let cache: RedisResultCache;

beforeAll(async () => {
  api = await startApi({
    keys: [
      { name: 'alice', secret: 'alice-secret', isAdmin: false },
      { name: 'bob', secret: 'bob-secret', isAdmin: false },
    ],
  });
  connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
  cache = new RedisResultCache({ connection, store: api.store, artifacts: api.artifacts });
  await cache.setEngineVersion('v1');
  const { id } = await submit();
  await api.complete(id, content, 'v1');
});
afterAll(async () => {
  connection.disconnect();
  await api.close();
});

async function submit(body = form(), headers: Record<string, string> = alice) {
  const response = await api.post('/lipsync', body, headers);
  return { replayed: response.headers.get('Idempotent-Replayed'), ...(await json(response)) };
}

function formWith(name: 'video' | 'audio', text: string): FormData {
  const body = form();
  body.set(name, new Blob([text]), `${name}.bin`);
  return body;
}

it('An equal request is answered with the finished result, which costs nothing.', async () => {
  const job = await submit();
  expect(job).toMatchObject({ status: 'completed', cached: true, cost_usd: 0, progress: 100, attempts: [] });
});

it('A reused result is a job of its own whose video survives the erasure of the first job.', async () => {
  const body = () => formWith('video', 'another clip');
  const first = await submit(body());
  await api.complete(first.id, content, 'v1');
  const { id, output_url } = await submit(body());
  expect(id).not.toBe(first.id);
  expect(output_url).toMatch(new RegExp(`/lipsync/${id}/output$`));
  expect((await api.fetch(`/lipsync/${first.id}`, { method: 'DELETE', headers: alice })).status).toBe(204);
  expect(await (await api.fetch(`/lipsync/${id}/output`, { headers: alice })).text()).toBe(content);
  expect((await api.fetch(`/lipsync/${id}`, { method: 'DELETE', headers: alice })).status).toBe(204);
  expect(await submit(body())).toMatchObject({ status: 'queued' });
});

it.each([
  ['an option', () => form({ sync_mode: 'bounce' }), alice],
  ['a lowest quality', () => form({ quality_windows: 'all' }), alice],
  ['one byte of the clip', () => formWith('video', 'cliq'), alice],
  ['one byte of the speech', () => formWith('audio', 'speecg'), alice],
  ['the API key', () => form(), bob],
  ['cache: false', () => form({ cache: 'false' }), alice],
])('Another value of %s renders again.', async (_, body, headers) => {
  expect(await submit(body(), headers)).toMatchObject({ status: 'queued', cached: false });
});

it('Another engine version renders again.', async () => {
  await cache.setEngineVersion('v2');
  expect(await submit()).toMatchObject({ status: 'queued' });
  await cache.setEngineVersion('v1');
  expect(await submit()).toMatchObject({ status: 'completed' });
});

it('A repeated request with an Idempotency-Key gets the job that reused the result.', async () => {
  const headers = { ...alice, 'Idempotency-Key': 'reused' };
  const first = await submit(form(), headers);
  expect(first).toMatchObject({ status: 'completed', cached: true, replayed: null });
  expect(await submit(form(), headers)).toMatchObject({ id: first.id, cached: true, replayed: 'true' });
});
