import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobViewSchema } from '@lipsync/core/contract';
import { eventsOf, json, startApi, type ReceivedEvent, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi({ heartbeatMs: 50, maxEventStreams: 2 });
});
afterAll(() => api.close());

function open(id: string, headers: Record<string, string> = {}): Promise<Response> {
  return api.fetch(`/lipsync/${id}/events`, { headers });
}

async function allOf(events: AsyncIterable<ReceivedEvent>): Promise<ReceivedEvent[]> {
  const received = [];
  for await (const event of events) received.push(event);
  return received;
}

describe('GET /lipsync/:id/events', () => {
  it('The event stream of a job sends progress and a final event, then closes.', async () => {
    const id = await api.recordJob();
    const response = await open(id);
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = eventsOf(response);
    expect((await events.next()).value).toMatchObject({ event: 'progress', data: { status: 'queued', progress: 0 } });
    await api.store.append(id, { type: 'run_started', atMs: Date.now() });
    await api.store.append(id, { type: 'progressed', run: 1, stage: 'rendering', progress: 40, message: 'Rendering.' });
    await api.complete(id, 'video');
    const rest = await allOf(events);
    expect(rest.at(-1)).toMatchObject({
      event: 'completed',
      data: { status: 'completed', progress: 100, output_url: `/lipsync/${id}/output` },
    });
    expect(rest.slice(0, -1).every(({ event }) => event === 'progress')).toBe(true);
    const ids = rest.map((event) => Number(event.id));
    expect(ids).toEqual(ids.toSorted((left, right) => left - right));
    for (const { data } of rest) jobViewSchema.parse(data);
  });

  it.each([
    ['failed', { type: 'failed', run: 0, atMs: 1, code: 'clip_unusable', message: 'No face.', warnings: [] }],
    ['canceled', { type: 'canceled', atMs: 1 }],
  ] as const)('The event stream of a %s job sends only its final event.', async (name, end) => {
    const id = await api.recordJob();
    await api.store.append(id, end);
    const events = await allOf(eventsOf(await open(id)));
    expect(events.map(({ event }) => event)).toEqual([name]);
  });

  it('The event stream of a job ends when the job is deleted.', async () => {
    const id = await api.recordJob();
    const events = eventsOf(await open(id));
    await events.next();
    await api.fetch(`/lipsync/${id}`, { method: 'DELETE' });
    expect((await allOf(events)).every(({ event }) => event !== 'completed')).toBe(true);
  });

  it('An event stream resumes after Last-Event-ID.', async () => {
    const id = await api.recordJob();
    const record = await api.store.append(id, { type: 'run_started', atMs: Date.now() });
    const events = eventsOf(await open(id, { 'Last-Event-ID': String(record.revision) }));
    await api.complete(id, 'video');
    const seen = await allOf(events);
    expect(seen.every((event) => Number(event.id) > record.revision)).toBe(true);
    expect(seen.at(-1)).toMatchObject({ event: 'completed' });
  });

  it('An event stream whose client has received the final event answers 204, so that browsers do not reconnect.', async () => {
    const id = await api.recordJob();
    const { revision } = await api.store.append(id, { type: 'canceled', atMs: 1 });
    expect((await open(id, { 'Last-Event-ID': String(revision) })).status).toBe(204);
  });

  it('An idle event stream sends heartbeat comments.', async () => {
    const id = await api.recordJob();
    const response = await open(id);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (reader && !text.includes(': still here')) text += (await reader.read()).value ?? '';
    expect(text).toContain(': still here');
    await reader?.cancel();
  });

  it('The number of event streams is limited, and a closed connection frees its stream.', async () => {
    const id = await api.recordJob();
    const callers = [new AbortController(), new AbortController()];
    for (const caller of callers) await api.fetch(`/lipsync/${id}/events`, { signal: caller.signal });
    const refused = await open(id);
    expect(refused.status).toBe(503);
    expect(await json(refused)).toMatchObject({ code: 'resource_exhausted', retryable: true });
    callers[0]?.abort();
    await expect
      .poll(async () => {
        const again = await open(id);
        await again.body?.cancel();
        return again.status;
      })
      .toBe(200);
    callers[1]?.abort();
  });
});
