import { buffer, text } from 'node:stream/consumers';
import { LipsyncApiError, LipsyncClient } from '@lipsync/client';
import { batchItemId, newWebhookRecord } from '@lipsync/core/host';
import {
  batchSummaryViewSchema,
  batchViewSchema,
  costsViewSchema,
  deliveryPageViewSchema,
  estimateViewSchema,
  jobPageViewSchema,
  jobViewSchema,
  problemViewSchema,
  providersViewSchema,
  qualityJobPageViewSchema,
  qualityJobViewSchema,
} from '@lipsync/core/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type RunningApi } from './running-api.ts';

const key = { name: 'alice', secret: 'a-secret-of-a-test', isAdmin: false };
const files = { video: new File(['clip'], 'my clip.mp4'), audio: new Blob(['speech']) };
const urls = { video: 'https://example.org/clip.mp4', audio: 'https://example.org/speech.wav' };

describe('client of the API', () => {
  let api: RunningApi;
  let client: LipsyncClient;

  beforeAll(async () => {
    api = await startApi({ keys: [key] });
    client = new LipsyncClient({ baseUrl: `${api.url}/`, apiKey: key.secret });
  });
  afterAll(() => api.close());

  it('The client creates jobs from files and from URLs, with every kind of field, and shows them.', async () => {
    const uploaded = await client.create({
      ...files,
      method: 'preview',
      max_cost_usd: 1.5,
      allow_preview: true,
      metadata: { order: 7 },
      provider_options: { heygen: { mode: 'precision' } },
    });
    expect(jobViewSchema.parse(uploaded)).toMatchObject({
      status: 'queued',
      method: 'preview',
      metadata: { order: 7 },
    });
    const remote = await client.create({ ...urls, allow_preview: true, user_id: 'u1' });
    expect(await client.get(remote.id)).toEqual(remote);
    const page = jobPageViewSchema.parse(await client.list({ limit: 1, status: 'queued' }));
    expect(page.jobs.map(({ id }) => id)).toEqual([remote.id]);
    const all: string[] = [];
    for await (const { id } of client.listAll({ limit: 1 })) all.push(id);
    expect(all).toEqual([remote.id, uploaded.id]);
  });

  it('Two creates of the client with one key make one job, and another content under it is refused.', async () => {
    const options = { idempotencyKey: 'order-7' };
    const [one, two] = await Promise.all([client.create(files, options), client.create(files, options)]);
    expect(two.id).toBe(one.id);
    await expect(client.create({ ...files, method: 'preview' }, options)).rejects.toMatchObject({
      status: 422,
      code: 'idempotency_mismatch',
    });
  });

  it('The client follows a job to its end and downloads its output.', async () => {
    const { id } = await client.create(files);
    await expect(client.download(id)).rejects.toMatchObject({ code: 'not_found' });
    const states: string[] = [];
    const ended = client.waitFor(id, {
      onProgress: ({ status }) => {
        states.push(status);
        if (status === 'queued') void api.complete(id, 'a video');
      },
    });
    expect(await ended).toMatchObject({ id, status: 'completed', method_used: 'preview' });
    expect([states[0], states.at(-1)]).toEqual(['queued', 'completed']);
    expect(await client.waitFor(id)).toEqual(await ended);
    const { name, sizeBytes, stream } = await client.download(id);
    expect([name, sizeBytes, await text(stream)]).toEqual([expect.stringMatching(/^my clip.*\.mp4$/), 7, 'a video']);
  });

  it('The client cancels and erases jobs.', async () => {
    const { id } = await client.create(files);
    expect(await client.cancel(id)).toMatchObject({ status: 'canceled' });
    expect(await client.cancel(id)).toMatchObject({ status: 'canceled' });
    expect(await client.delete(id)).toBeUndefined();
    await expect(client.get(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('Estimate, costs, providers and quality jobs of the client have the documented shapes.', async () => {
    estimateViewSchema.parse(await client.estimate({ audio_duration_ms: 5_000, allow_preview: true }));
    for (const groupBy of costsViewSchema.shape.group_by.options) {
      const costs = await client.costs({ group_by: groupBy });
      expect(costsViewSchema.parse(costs).group_by).toBe(groupBy);
    }
    providersViewSchema.parse(await client.providers());
    const { id } = await client.quality.create({ video: files.video, quality_windows: 'all' });
    qualityJobViewSchema.parse(await client.quality.get(id));
    qualityJobPageViewSchema.parse(await client.quality.list());
    expect(await client.quality.cancel(id)).toMatchObject({ status: 'canceled' });
    expect(await client.quality.waitFor(id)).toMatchObject({ status: 'canceled' });
  });

  it('The client creates, pauses, resumes, cancels and erases a batch, and its refusal names the items.', async () => {
    const { batches } = client;
    const { id } = await batches.create({ method: 'preview', items: [{ ...urls, output_name: 'a.mp4' }, urls] });
    expect(batchViewSchema.parse(await batches.get(id)).summary).toMatchObject({ total: 2, success: 0 });
    expect((await batches.list({ limit: 1 })).batches).toMatchObject([{ id }]);
    expect(await batches.pause(id)).toMatchObject({ status: 'paused' });
    expect(await batches.resume(id)).toMatchObject({ id });
    await batches.cancel(id);
    expect(await batches.waitFor(id)).toMatchObject({ status: 'canceled', summary: { canceled: 2 } });
    expect(await batches.cancel(id)).toMatchObject({ status: 'canceled' });
    await batches.delete(id);
    const refused = batches.create({ items: [urls, { ...urls, audio: 'file:///x' }] });
    await expect(refused).rejects.toMatchObject({ errors: [{ field: 'items.1.audio_url' }] });
  });

  it('The client creates a batch from files with equal names and from URLs, and sends a shared file once.', async () => {
    const [one, two] = [new File(['clip'], 'clip.mp4'), new File(['another clip'], 'clip.mp4')];
    const { id } = await client.batches.create({
      metadata: { order: 'a,"b"' },
      items: [
        { video: one, audio: files.audio, user_id: 'a,"b"', metadata: { text: 'x,\n"y"' } },
        { video: two, audio: files.audio, output_name: 'second.mp4', start_ms: 7 },
        { ...urls, video: one, allow_preview: true },
      ],
    });
    const batch = batchViewSchema.parse(await client.batches.get(id));
    expect(batch.metadata).toEqual({ order: 'a,"b"' });
    expect(batch.results.map(({ output_name: name }) => name)).toEqual([
      '0001-clip.mp4',
      'second.mp4',
      '0003-clip.mp4',
    ]);
    expect(batch.results[0]?.metadata).toEqual({ text: 'x,\n"y"' });
    expect(batch.results.map(({ request }) => request)).toMatchObject([
      { video: 'clip.mp4', user_id: 'a,"b"' },
      { video: 'clip.mp4', start_ms: 7 },
      { video: 'clip.mp4', audio: urls.audio, allow_preview: true },
    ]);
    const keys = new Set<unknown>();
    for (const { id: jobId } of batch.results) keys.add(Object((await api.store.get(jobId))?.spec).audio?.key);
    expect(keys.size).toBe(2);
    await client.batches.delete(id);
  });

  it('The client follows the totals of a batch to its end.', async () => {
    const { id } = await client.batches.create({ items: [urls, urls] });
    const seen: unknown[] = [];
    for await (const { type, batch } of client.batches.subscribe(id)) {
      batchSummaryViewSchema.parse(batch);
      if (seen.length === 0) await api.complete(batchItemId(id, 0), 'a video');
      if (batch.summary.success === 1) await client.batches.cancel(id);
      seen.push(type);
    }
    expect([seen[0], seen.at(-1)]).toEqual(['progress', 'canceled']);
    expect(await client.batches.waitFor(id)).toMatchObject({ id, summary: { success: 1, canceled: 1 } });
  });

  it('The client downloads the finished videos of a batch as a zip, and retries a failed job.', async () => {
    const { id } = await client.batches.create({ items: [{ ...urls, output_name: 'a.mp4' }] });
    await api.complete(batchItemId(id, 0), 'a video');
    const { name, sizeBytes, stream } = await client.batches.download(id);
    const content = await buffer(stream);
    expect([name, sizeBytes, content.toString('latin1', 0, 2)]).toEqual([`${id}.zip`, content.length, 'PK']);
    await expect(client.batches.download('batch_1')).rejects.toMatchObject({ code: 'not_found' });
    const failed = await client.create(files);
    await api.fail(failed.id);
    expect(await client.retry(failed.id)).toMatchObject({ id: failed.id, status: 'queued' });
    await client.cancel(failed.id);
  });

  it('The client lists the deliveries of webhooks and sends a message again.', async () => {
    const url = 'https://example.org/hook';
    const message = { id: 'msg_1', url, event: 'lipsync.completed', subjectId: 'job_1', body: '{}', owner: key.name };
    await api.store.create(newWebhookRecord({ ...message, nowMs: 1_000 }));
    const page = deliveryPageViewSchema.parse(await client.deliveries.list({ job_id: 'job_1', limit: 5 }));
    expect(page.deliveries).toMatchObject([{ id: 'msg_1', url }]);
    expect((await client.deliveries.list({ status: 'failed' })).deliveries).toEqual([]);
    expect(await client.deliveries.replay('msg_1')).toMatchObject({ id: 'msg_1', status: 'queued' });
    await expect(client.deliveries.replay('msg_2')).rejects.toMatchObject({ code: 'not_found' });
    expect(await client.deliveries.listSwitchedOff()).toEqual({ receivers: [], next_cursor: null });
    await expect(client.deliveries.switchOn('x')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('The client erases all jobs of a user.', async () => {
    const { id } = await client.create({ ...urls, user_id: 'a user/1' });
    await client.cancel(id);
    await expect.poll(() => client.deleteUser('a user/1')).toBe('erased');
    await expect(client.get(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('Refusals of the API are typed errors of the client, and have the shape of a problem document.', async () => {
    // @ts-expect-error -- neither field is one of the request
    const refused = await client.create({ ...urls, color: 'red', start_ms: 'x' }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LipsyncApiError);
    expect(refused).toMatchObject({ status: 422, code: 'request_invalid', retryable: false });
    expect((refused as LipsyncApiError).errors.map(({ field }) => field).toSorted()).toEqual(['color', 'start_ms']);
    const stranger = new LipsyncClient({ baseUrl: api.url, apiKey: 'another-secret-of-a-test' });
    await expect(stranger.list()).rejects.toMatchObject({ status: 401, code: 'unauthorized' });
    problemViewSchema.parse(await (await fetch(`${api.url}/lipsync`)).json());
  });
});
