import { afterAll, beforeAll, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const remove = (path: string) => api.fetch(path, { method: 'DELETE' });

it('DELETE of a queued job removes the job, its files and its Idempotency-Key.', async () => {
  const headers = { 'Idempotency-Key': 'erased' };
  const { id } = await json(await api.post('/lipsync', form(), headers));
  expect(await api.storedFiles()).toHaveLength(2);
  expect((await remove(`/lipsync/${id}`)).status).toBe(204);
  expect(await api.storedFiles()).toEqual([]);
  expect([(await api.fetch(`/lipsync/${id}`)).status, (await remove(`/lipsync/${id}`)).status]).toEqual([404, 404]);
  const again = await api.post('/lipsync', form(), headers);
  expect(again.headers.get('Idempotent-Replayed')).toBeNull();
  const next = await json(again);
  expect(next.id).not.toBe(id);
  expect((await remove(`/lipsync/${next.id}`)).status).toBe(204);
});

it('DELETE during a download of the output lets the download end.', async () => {
  const id = await api.recordJob();
  const content = 'x'.repeat(3_000_000);
  await api.complete(id, content);
  const download = await api.fetch(`/lipsync/${id}/output`);
  expect((await remove(`/lipsync/${id}`)).status).toBe(204);
  expect(await download.text()).toHaveLength(content.length);
  expect((await api.fetch(`/lipsync/${id}/output`)).status).toBe(404);
});

it('DELETE of a running job cancels it, and the job of another kind is unknown.', async () => {
  const id = await api.recordJob();
  await api.store.append(id, { type: 'run_started', atMs: Date.now() });
  expect((await remove(`/quality/${id}`)).status).toBe(404);
  const response = await remove(`/lipsync/${id}`);
  expect(response.status).toBe(202);
  expect(await json(response)).toMatchObject({ id, message: 'Cancel requested.' });
});

it('DELETE of a user erases the jobs of the user, also one whose id has special characters, and logs no user id.', async () => {
  const lines: unknown[] = [];
  const logged = { debug: () => undefined, warn: () => undefined, error: () => undefined };
  const own = await startApi({ logger: { ...logged, info: (bindings) => void lines.push(bindings) } });
  try {
    const userId = 'Zoë / 1?';
    const path = `/users/${encodeURIComponent(userId)}`;
    const job = async (fields: Record<string, string>) => (await json(await own.post('/lipsync', form(fields)))).id;
    const [ofUser, running, other] = [await job({ user_id: userId }), await job({ user_id: userId }), await job({})];
    await own.store.append(running, { type: 'run_started', atMs: Date.now() });
    const pending = await own.fetch(path, { method: 'DELETE' });
    expect([pending.status, await json(pending)]).toEqual([202, { user_id: userId, status: 'erasing' }]);
    await own.store.append(running, { type: 'canceled', atMs: Date.now() });
    expect((await own.fetch(path, { method: 'DELETE' })).status).toBe(204);
    expect((await own.fetch(path, { method: 'DELETE' })).status).toBe(204);
    const statuses = await Promise.all(
      [ofUser, running, other].map(async (id) => (await own.fetch(`/lipsync/${id}`)).status),
    );
    expect(statuses).toEqual([404, 404, 200]);
    expect(JSON.stringify(lines)).not.toMatch(/Zo|%2F/);
  } finally {
    await own.close();
  }
});

it.each(['/users/%E2%80%8B', `/users/${'x'.repeat(201)}`])('DELETE %s is refused.', async (path) => {
  const response = await remove(path);
  expect(response.status).toBe(422);
  expect(await json(response)).toMatchObject({ code: 'request_invalid', errors: [{ field: 'user_id' }] });
});
