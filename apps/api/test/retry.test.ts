import { afterAll, beforeAll, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const retry = async (id: string) => {
  const response = await api.post(`/lipsync/${id}/retry`);
  return { status: response.status, body: await json(response) };
};

async function createFailed(): Promise<string> {
  const { id } = await json(await api.post('/lipsync', form()));
  const { runs: run } = await api.store.append(id, { type: 'run_started', atMs: Date.now() });
  const failed = { type: 'failed', run, atMs: Date.now(), code: 'media_failed', message: 'It broke.' } as const;
  await api.store.append(id, { ...failed, warnings: [] });
  return id;
}

it('A retry of a failed job answers 202 with the queued job, also when it is repeated.', async () => {
  const id = await createFailed();
  const queued = { status: 202, body: { id, status: 'queued', error: null, completed_at: null } };
  expect(await retry(id)).toMatchObject(queued);
  expect(await retry(id)).toMatchObject(queued);
});

it('A retry of a job that has not failed answers 409, and one of an unknown job or of another kind 404.', async () => {
  const { id } = await json(await api.post('/lipsync', form()));
  expect(await retry(id)).toMatchObject({ status: 409, body: { code: 'conflict', retryable: false } });
  expect(await retry('job_unknown')).toMatchObject({ status: 404, body: { code: 'not_found' } });
  expect((await api.post(`/quality/${id}/retry`)).status).toBe(404);
});

it('A retry answers 410 when a stored input is gone, and changes nothing.', async () => {
  const id = await createFailed();
  const record = await api.store.get(id);
  if (record?.spec.video?.kind !== 'artifact') throw new Error('The job has no stored clip.');
  await api.artifacts.delete(record.spec.video.key);
  expect(await retry(id)).toMatchObject({ status: 410, body: { code: 'inputs_gone', retryable: false } });
  expect(await api.store.get(id)).toEqual(record);
});

it('A retry answers 410 with the reason when the inputs were deleted because of their age, also while another job keeps them.', async () => {
  const id = await createFailed();
  await api.store.append(id, { type: 'files_deleted', files: 'inputs', atMs: Date.now() });
  const detail = expect.stringContaining('deleted because of its age');
  expect(await retry(id)).toMatchObject({ status: 410, body: { code: 'inputs_gone', detail } });
});
