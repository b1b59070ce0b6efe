import { jobViewSchema, qualityJobViewSchema } from '@lipsync/core/contract';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({}, { LIPSYNC_WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32, 7).toString('base64')}` });
});
afterAll(() => api.close());

describe('the request in a job', () => {
  it('A job names its files, and repeats its options with their defaults.', async () => {
    const body = form({ user_id: 'ann', priority: '2', start_ms: '5', metadata: '{"a":1}' });
    const job = jobViewSchema.parse(await json(await api.post('/lipsync', body)));
    expect(job.request).toEqual({
      video: 'clip.mp4',
      audio: 'speech.wav',
      method: 'auto',
      optimize: 'quality',
      provider_options: { heygen: { mode: 'speed' }, wav2lip: {}, preview: {} },
      sync_mode: 'loop',
      silence_mode: 'close',
      start_ms: 5,
      allow_preview: false,
      priority: 2,
      user_id: 'ann',
    });
  });

  it('A URL is named without its query, before and after the job has ended.', async () => {
    const urls = {
      video_url: 'https://example.org/clips/a.mp4?signature=hush#t',
      audio_url: 'https://example.org/a.wav',
      webhook_url: 'https://93.184.215.14/hook?token=hush',
    };
    const job = await json(await api.postJson('/lipsync', urls));
    const canceled = await json(await api.post(`/lipsync/${job.id}/cancel`));
    for (const { request } of [job, canceled])
      expect(request).toMatchObject({
        video: 'https://example.org/clips/a.mp4',
        audio: 'https://example.org/a.wav',
        webhook_url: 'https://93.184.215.14/hook',
      });
    expect(JSON.stringify([job, canceled])).not.toContain('hush');
  });

  it('A quality job repeats its request too.', async () => {
    const body = new FormData();
    body.append('video', new Blob(['clip']), 'take.mp4');
    body.append('source', new Blob(['clip']), 'clip.mp4');
    const job = qualityJobViewSchema.parse(await json(await api.post('/quality', body)));
    expect(job.request).toEqual({ video: 'take.mp4', source: 'clip.mp4', quality_windows: 'spread', priority: 5 });
  });
});

describe('the expected completion of a job', () => {
  it('It is null until this installation has made takes, and then follows from the queue and their time.', async () => {
    const send = async (to: RunningApi) => json(await to.post('/lipsync', form({ method: 'preview' })));
    expect((await send(api)).expected_completion_at).toBeNull();

    const measured = await startApi();
    await using _ = { [Symbol.asyncDispose]: () => measured.close() };
    const connection = createClientConnection({ url: measured.redis.url, onError: () => undefined });
    const state = new RedisStateStore({ connection });
    const measurement = { factor: 1, typicalMs: 40_000, learnedAtMs: Date.now() };
    await state.transact(['pace/preview'], () => ({
      result: undefined,
      writes: new Map([['pace/preview', measurement]]),
    }));
    connection.disconnect();
    const sentAtMs = Date.now();
    const job = await send(measured);
    expect(Date.parse(job.expected_completion_at) - sentAtMs).toBeGreaterThan(39_000);
    expect(Date.parse(job.expected_completion_at) - sentAtMs).toBeLessThan(60_000);
    const item = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };
    const batch = await json(await measured.postJson('/batches', { method: 'preview', items: [item, item, item] }));
    const [first, second, third] = batch.results.map((one: { expected_completion_at: string }) =>
      Date.parse(one.expected_completion_at),
    );
    expect(first - sentAtMs).toBeGreaterThan(39_000);
    expect([second - first > 30_000, third - second > 30_000]).toEqual([true, true]);
    await measured.post(`/lipsync/${job.id}/cancel`);
    expect((await json(await measured.fetch(`/lipsync/${job.id}`))).expected_completion_at).toBeNull();
  });
});
