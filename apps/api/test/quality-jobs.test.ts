import { afterAll, beforeAll, expect, it } from 'vitest';
import { qualityJobViewSchema } from '@lipsync/core/contract';
import { eventsOf, form, json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

function videoForm(fields: Record<string, string> = {}, files: readonly string[] = []): FormData {
  const body = new FormData();
  body.append('video', new Blob(['a video']), 'take.mp4');
  for (const name of files) body.append(name, new Blob([`content of ${name}`]), `${name}.bin`);
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

async function accept(body: FormData = videoForm()): Promise<string> {
  const response = await api.post('/quality', body);
  expect(response.status).toBe(202);
  const job = qualityJobViewSchema.parse(await response.json());
  expect(response.headers.get('location')).toBe(`/quality/${job.id}`);
  return job.id;
}

async function problemFields(response: Response): Promise<readonly string[]> {
  return (await json(response)).errors.map(({ field }: { field: string }) => field).toSorted();
}

it('POST /quality accepts a video alone, and queues its job in the render lane with its id only.', async () => {
  const id = await accept();
  expect(await api.queuedPayload(id)).toEqual({ jobId: id });
  expect(await api.store.get(id)).toMatchObject({
    kind: 'quality',
    needs: 'inline',
    spec: { options: { qualityWindows: 'spread' }, video: { kind: 'artifact', name: 'take.mp4' } },
  });
});

it('POST /quality accepts the source clip, the speech and the options.', async () => {
  const fields = {
    audio_track: '2',
    quality_windows: 'all',
    metadata: '{"order":7}',
    priority: '2',
    deadline_ms: '60000',
  };
  const id = await accept(videoForm(fields, ['audio', 'source']));
  expect(await api.store.get(id)).toMatchObject({
    spec: {
      options: { audioTrack: 2, qualityWindows: 'all', metadata: { order: 7 }, priority: 2, deadlineMs: 60_000 },
      audio: { kind: 'artifact', name: 'audio.bin' },
      source: { kind: 'artifact', name: 'source.bin' },
    },
  });
});

it('A quality request with URLs is queued in the fetch lane and shown without any URL.', async () => {
  const response = await api.postJson('/quality', {
    video_url: 'https://1.1.1.1/take.mp4?key=hush',
    source_url: 'https://1.1.1.1/clip.mp4',
  });
  expect(response.status).toBe(202);
  const text = await response.text();
  expect(text).not.toContain('hush');
  const { id } = JSON.parse(text);
  expect(await api.queuedPayload(id)).toBeUndefined();
  expect(await api.store.get(id)).toMatchObject({ spec: { video: { kind: 'url' }, source: { kind: 'url' } } });
});

it('A quality request is refused with every problem at once, and none of its files is kept.', async () => {
  const before = await api.storedFiles();
  const body = videoForm({ method: 'preview', quality_windows: 'some', min_sync_score: '0.5' }, ['thumbnail']);
  body.delete('video');
  const response = await api.post('/quality', body);
  expect(response.status).toBe(422);
  expect(await problemFields(response)).toEqual(['method', 'min_sync_score', 'quality_windows', 'thumbnail', 'video']);
  expect(await api.storedFiles()).toEqual(before);
});

it.each([
  ['a missing URL', {}, 'request_invalid', ['video_url']],
  ['a private URL', { video_url: 'http://10.0.0.1/a.mp4' }, 'url_forbidden', ['video_url']],
  [
    'a private URL of an optional input',
    { video_url: 'https://1.1.1.1/a.mp4', source_url: 'http://127.0.0.1/' },
    'url_forbidden',
    ['source_url'],
  ],
  ['an unknown field', { video_url: 'https://1.1.1.1/a.mp4', Video: 1 }, 'request_invalid', ['Video']],
])('A quality request with %s is refused.', async (_, body, code, fields) => {
  const response = await api.postJson('/quality', body);
  const problem = await response.clone().json();
  expect(problem).toMatchObject({ code });
  expect(await problemFields(response)).toEqual(fields);
});

it('A quality request of another type is refused with the way to send a video.', async () => {
  const response = await api.post('/quality', 'video', { 'Content-Type': 'text/plain' });
  expect(response.status).toBe(415);
  expect((await json(response)).detail).toBe(
    'Send multipart/form-data with the file "video", or application/json with "video_url".',
  );
});

it('A video above the size limit is refused and leaves no file.', async () => {
  const before = await api.storedFiles();
  const body = new FormData();
  body.append('video', new Blob([new Uint8Array(api.maxUploadBytes + 1)]), 'huge.mp4');
  const response = await api.post('/quality', body);
  expect(response.status).toBe(413);
  expect(await json(response)).toMatchObject({ code: 'payload_too_large' });
  expect(await api.storedFiles()).toEqual(before);
});

it('Jobs of each kind are listed and found under their own path only.', async () => {
  const qualityId = await accept();
  const { id: lipsyncId } = await json(await api.post('/lipsync', form()));
  const listed = async (path: string): Promise<readonly string[]> =>
    (await json(await api.fetch(path))).jobs.map(({ id }: { id: string }) => id);
  expect(await listed('/quality?status=queued')).toContain(qualityId);
  expect(await listed('/quality')).not.toContain(lipsyncId);
  expect(await listed('/lipsync')).toContain(lipsyncId);
  expect(await listed('/lipsync')).not.toContain(qualityId);
  for (const path of [`/lipsync/${qualityId}`, `/lipsync/${qualityId}/output`, `/quality/${lipsyncId}`])
    expect((await api.fetch(path)).status).toBe(404);
  expect((await api.fetch(`/quality/${lipsyncId}/events`)).status).toBe(404);
  expect((await api.post(`/quality/${lipsyncId}/cancel`)).status).toBe(404);
});

it('A queued quality job is canceled at once, and its event stream ends with that.', async () => {
  const id = await accept();
  const stream = await api.fetch(`/quality/${id}/events`);
  const response = await api.post(`/quality/${id}/cancel`);
  expect(response.status).toBe(202);
  expect(qualityJobViewSchema.parse(await response.json())).toMatchObject({ status: 'canceled', quality: null });
  const events = [];
  for await (const event of eventsOf(stream)) events.push(event);
  expect(events.at(-1)).toMatchObject({ event: 'canceled', data: { id, status: 'canceled' } });
  expect((await api.post(`/quality/${id}/cancel`)).status).toBe(409);
});

it('A completed quality job is shown with its quality in snake_case.', async () => {
  const id = await accept();
  const { runs } = await api.store.append(id, { type: 'run_started', atMs: Date.now() });
  const sync = {
    method: 'lip_audio_correlation',
    offsetMs: -200,
    offsetIntervalMs: [-220, -180],
    strength: 0.8,
    lseC: null,
    lseD: null,
    windows: 5,
    reason: null,
  } as const;
  const quality = {
    syncScore: null,
    audioQuality: null,
    videoQuality: 0.5,
    grade: 'unknown',
    sync,
    parts: { sharpness: { value: null, unit: 'ratio', score: null, reason: 'There is no source clip.' } },
    source: null,
    labels: [],
    methodVersion: 'test',
    models: {},
  } as const;
  const result = { quality, durationMs: 5_000 };
  await api.store.append(id, { type: 'completed', run: runs, atMs: Date.now(), result, warnings: [] });
  const job = qualityJobViewSchema.parse(await json(await api.fetch(`/quality/${id}`)));
  expect(job).toMatchObject({
    status: 'completed',
    duration: 5,
    quality: { sync_score: null, video_quality: 0.5, sync: { offset_ms: -200, offset_interval_ms: [-220, -180] } },
  });
});

it('A repeated quality request with the same Idempotency-Key returns the job of the first.', async () => {
  const headers = { 'Idempotency-Key': 'quality-1' };
  const first = await json(await api.post('/quality', videoForm(), headers));
  const again = await api.post('/quality', videoForm(), headers);
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect((await json(again)).id).toBe(first.id);
  expect((await api.post('/quality', videoForm({ priority: '1' }), headers)).status).toBe(422);
  expect((await api.post('/lipsync', form(), headers)).status).toBe(422);
});
