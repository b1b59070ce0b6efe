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
