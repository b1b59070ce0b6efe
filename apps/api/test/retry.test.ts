import { batchItemId } from '@lipsync/core/host';
import { batchViewSchema } from '@lipsync/core/contract';
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

/** The batch, whose summary has to count exactly what its jobs show. */
async function showBatch(id: string) {
  const batch = batchViewSchema.parse(await json(await api.fetch(`/batches/${id}`)));
  const count = (status: string) => batch.results.filter((job) => job.status === status).length;
  const { success, failed, canceled } = batch.summary;
  expect([success, failed, canceled]).toEqual([count('completed'), count('failed'), count('canceled')]);
  return batch;
}

async function endsOf(batchId: string): Promise<number> {
  return (await api.store.readOutbox(1_000)).filter(({ jobId }) => jobId === batchId).length;
}

it('A retried job of a batch that has ended leaves the batch ended, and the summary follows the job.', async () => {
  const items = Array.from({ length: 2 }, () => ({
    video_url: 'https://example.org/clip.mp4',
    audio_url: 'https://example.org/speech.wav',
  }));
  const { id } = await json(await api.postJson('/batches', { items }));
  const [first, second] = [batchItemId(id, 0), batchItemId(id, 1)];
  await api.fail(first);
  // An open batch waits for the retried job.
  expect(await retry(first)).toMatchObject({ status: 202 });
  await api.complete(second, 'second');
  expect(await showBatch(id)).toMatchObject({ status: 'processing', summary: { total: 2, success: 1, failed: 0 } });
  await api.fail(first);
  const ended = await showBatch(id);
  expect(ended).toMatchObject({ status: 'completed', summary: { success: 1, failed: 1 } });

  expect(await retry(first)).toMatchObject({ status: 202, body: { status: 'queued' } });
  const { status, completed_at } = ended;
  expect(await showBatch(id)).toMatchObject({ status, completed_at, summary: { total: 2, success: 1, failed: 0 } });
  // The batch can no longer be canceled, but the job can.
  expect((await api.post(`/batches/${id}/cancel`)).status).toBe(409);
  await api.complete(first, 'first');
  expect(await showBatch(id)).toMatchObject({ status, completed_at, summary: { total: 2, success: 2, failed: 0 } });
  expect(await endsOf(id)).toBe(1);
  const { batches } = await json(await api.fetch('/batches?status=completed'));
  expect(batches).toMatchObject([{ id, summary: { success: 2, failed: 0 } }]);
});
