import { afterAll, beforeAll, expect, it } from 'vitest';
import { batchItemId } from '@lipsync/core/host';
import { batchSummaryViewSchema } from '@lipsync/core/contract';
import { eventsOf, json, startApi, type ReceivedEvent, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

async function createBatch(count: number): Promise<string> {
  const item = { video_url: 'https://example.org/clip.mp4', audio_url: 'https://example.org/speech.wav' };
  return (await json(await api.postJson('/batches', { items: Array.from({ length: count }, () => item) }))).id;
}

function open(id: string, lastEventId?: string): Promise<Response> {
  const headers: Record<string, string> = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
  return api.fetch(`/batches/${id}/events`, { headers });
}

/** The next event; its data is a batch without its jobs. */
async function next(events: AsyncGenerator<ReceivedEvent, void>): Promise<ReceivedEvent> {
  const { value } = await events.next();
  if (!value) throw new Error('The stream has ended.');
  batchSummaryViewSchema.parse(value.data);
  return value;
}

async function allOf(events: AsyncIterable<ReceivedEvent>): Promise<ReceivedEvent[]> {
  const received = [];
  for await (const event of events) received.push(event);
  return received;
}

const start = (id: string) => api.store.append(id, { type: 'run_started', atMs: 1 });

async function fail(id: string): Promise<void> {
  const { runs: run } = await start(id);
  await api.store.append(id, {
    type: 'failed',
    run,
    atMs: 2,
    code: 'clip_unusable',
    message: 'No face.',
    warnings: [],
  });
}

it('The event stream of a batch sends its totals after each change and a final event, then closes.', async () => {
  const id = await createBatch(2);
  const events = eventsOf(await open(id));
  expect(await next(events)).toMatchObject({ event: 'progress', data: { status: 'queued', summary: { total: 2 } } });
  const startedAtMs = performance.now();
  await start(batchItemId(id, 0));
  expect(await next(events)).toMatchObject({ event: 'progress', data: { status: 'processing' } });
  // A change is announced; without a notification it would be seen after 3 s.
  expect(performance.now() - startedAtMs).toBeLessThan(2_500);
  await fail(batchItemId(id, 0));
  expect(await next(events)).toMatchObject({ event: 'progress', data: { summary: { success: 0, failed: 1 } } });
  await api.complete(batchItemId(id, 1), 'video');
  const last = await next(events);
  expect(last).toMatchObject({ event: 'completed', data: { status: 'completed', summary: { success: 1, failed: 1 } } });
  expect((await events.next()).done).toBe(true);
  // 204 stops a browser from reconnecting.
  expect((await open(id, last.id)).status).toBe(204);
  expect(await next(eventsOf(await open(id, 'other')))).toEqual(last);
});

it('An event stream of a batch that resumes after Last-Event-ID does not repeat that event.', async () => {
  const id = await createBatch(2);
  const first = await next(eventsOf(await open(id)));
  const events = eventsOf(await open(id, first.id));
  await api.post(`/batches/${id}/pause`);
  expect(await next(events)).toMatchObject({ event: 'progress', data: { status: 'paused' } });
  await api.post(`/batches/${id}/cancel`);
  const rest = await allOf(events);
  expect(rest.at(-1)).toMatchObject({ event: 'canceled', data: { status: 'canceled', summary: { canceled: 2 } } });
});

it('The event stream of a batch ends when the batch is deleted.', async () => {
  const id = await createBatch(1);
  const events = eventsOf(await open(id));
  await next(events);
  await api.fetch(`/batches/${id}`, { method: 'DELETE' });
  const rest = await allOf(events);
  expect(rest.every(({ event }) => event !== 'completed')).toBe(true);
});

it('An unknown batch and the id of a job have no events of a batch.', async () => {
  const id = await createBatch(1);
  for (const unknown of ['batch_none', batchItemId(id, 0)]) expect((await open(unknown)).status).toBe(404);
});
