import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchItemId } from '@lipsync/core/host';
import { batchSummaryViewSchema, batchViewSchema, type BatchView } from '@lipsync/core/contract';
import { createClientConnection } from '@lipsync/queue';
import { json, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

function item(index: number, change: object = {}) {
  const base = 'https://example.org';
  return { video_url: `${base}/clip-${index}.mp4?token=secret`, audio_url: `${base}/speech.wav`, ...change };
}

const items = (count: number) => Array.from({ length: count }, (_, index) => item(index));

async function create(body: object, headers: Record<string, string> = {}) {
  const response = await api.post('/batches', JSON.stringify(body), { 'Content-Type': 'application/json', ...headers });
  expect(response.status).toBe(202);
  return { response, batch: await json(response) };
}

async function problemsOf(body: object): Promise<{ code: string; fields: string[] }> {
  const before = (await api.store.list({ kind: 'batch', limit: 100 })).records.length;
  const response = await api.postJson('/batches', body);
  const { code, errors, status } = await json(response);
  expect([response.status, status]).toEqual([status, response.status]);
  expect((await api.store.list({ kind: 'batch', limit: 100 })).records).toHaveLength(before);
  return { code, fields: errors.map(({ field }: { field: string }) => field) };
}

async function fail(id: string) {
  const { runs: run } = await api.store.append(id, { type: 'run_started', atMs: 1 });
  const message = 'No face.';
  await api.store.append(id, { type: 'failed', run, atMs: 2, code: 'clip_unusable', message, warnings: [] });
}

describe('POST /batches', () => {
  it('A body with thousands of unknown fields is refused without listing them all.', async () => {
    const junk = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`a${index}`, 1]));
    const top = await api.postJson('/batches', { ...junk, items: items(1) });
    expect([top.status, (await json(top)).detail]).toEqual([400, 'The body has more than 100 fields.']);
    expect((await problemsOf({ items: [item(0, junk), item(1)] })).fields).toEqual(['items.0']);
    const inOptions = await problemsOf({ items: items(1), provider_options: { heygen: junk } });
    expect([inOptions.code, inOptions.fields.length]).toEqual(['request_invalid', 100]);
    const many = Object.fromEntries(Object.entries(junk).slice(0, 50));
    expect((await problemsOf({ items: items(100).map((one) => ({ ...one, ...many })) })).fields).toHaveLength(2_000);
  });

  it.each([
    ['nested deeply', '['.repeat(2_000_000), 'The body is nested deeper than 200 levels.'],
    ['of millions of values', `{"items":[${'0,'.repeat(2_000_000)}0]}`, 'The body has more than 250000 values.'],
  ])('A body %s is refused before it is parsed.', async (_, body, detail) => {
    const response = await api.post('/batches', body, { 'Content-Type': 'application/json' });
    expect([response.status, (await json(response)).detail]).toEqual([400, detail]);
  });

  it('A batch becomes one lip-sync job for each item, behind single jobs and optimized for cost.', async () => {
    const { batch, response } = await create({
      items: [item(0), item(1, { optimize: 'speed', output_name: 'b.mp4' })],
    });
    expect(batchViewSchema.parse(batch)).toMatchObject({ status: 'queued', summary: { total: 2, success: 0 } });
    expect(response.headers.get('Location')).toBe(`/batches/${batch.id}`);
    expect(batch.results.map(({ output_name }: { output_name: string }) => output_name)).toEqual([
      '0001-clip-0.mp4',
      'b.mp4',
    ]);
    const records = await Promise.all([0, 1].map((index) => api.store.get(batchItemId(batch.id, index))));
    expect(records).toMatchObject([
      { kind: 'lipsync', batch: { id: batch.id, item: 0 }, spec: { options: { optimize: 'cost' } } },
      { kind: 'lipsync', batch: { id: batch.id, item: 1 }, spec: { options: { optimize: 'speed' } } },
    ]);
    const connection = createClientConnection({ url: api.redis.url, onError: () => undefined });
    expect(await connection.hget(`bull:lipsync-fetch:${batchItemId(batch.id, 0)}`, 'priority')).toBe('2512');
    connection.disconnect();
  });

  it('A batch of 500 items is accepted and completed although most of its items fail.', async () => {
    const { batch } = await create({ items: items(500), metadata: { campaign: 'spring' } });
    expect(batch.results).toHaveLength(500);
    await Promise.all(Array.from({ length: 499 }, (_, index) => fail(batchItemId(batch.id, index + 1))));
    expect(await json(await api.fetch(`/batches/${batch.id}`))).toMatchObject({
      status: 'processing',
      summary: { total: 500, success: 0, failed: 499, canceled: 0 },
    });
    await api.complete(batchItemId(batch.id, 0), 'video');
    const shown = batchViewSchema.parse(await json(await api.fetch(`/batches/${batch.id}`)));
    expect(shown).toMatchObject({ status: 'completed', metadata: { campaign: 'spring' } });
    expect(shown.summary).toEqual({
      total: 500,
      success: 1,
      failed: 499,
      canceled: 0,
      total_duration: 1,
      total_cost_usd: 0,
    });
    expect(JSON.stringify(await api.store.get(batch.id))).not.toContain('secret');
  });

  it('A cost limit of a batch holds for all of its jobs together, and one of an item for this item.', async () => {
    const { batch } = await create({ items: [item(0), item(1, { max_cost_usd: 0.5 })], max_cost_usd: 2 });
    expect(batch.max_cost_usd).toBe(2);
    expect(batch.results.map(({ request }: { request: { max_cost_usd?: number } }) => request.max_cost_usd)).toEqual([
      undefined,
      0.5,
    ]);
    const job = await api.store.get(batchItemId(batch.id, 1));
    expect(job?.batch).toMatchObject({ id: batch.id, capMicros: 2_000_000 });
    expect((await create({ items: items(1) })).batch.max_cost_usd).toBeNull();
  });

  it('All problems of all items are listed in one problem document, and nothing is stored.', async () => {
    const body = {
      sync_mode: 'sideways',
      items: [
        item(0),
        item(1, { video_url: 'ftp://example.org/a' }),
        7,
        item(3, { priority: 99, output_name: '../a' }),
      ],
    };
    expect(await problemsOf(body)).toEqual({
      code: 'request_invalid',
      fields: ['sync_mode', 'items.1.video_url', 'items.2', 'items.3.priority', 'items.3.output_name'],
    });
  });

  it.each([
    ['no items', { items: [] }, ['items']],
    ['501 items', { items: items(501) }, ['items']],
    ['no list', { items: 'all' }, ['items']],
    [
      'equal output names',
      { items: [item(0, { output_name: 'A.mp4' }), item(1, { output_name: 'a.mp4' })] },
      ['items.1.output_name'],
    ],
    ['an invalid cost limit', { items: items(1), max_cost_usd: -1 }, ['max_cost_usd']],
  ])('A batch with %s is refused.', async (_, body, fields) => {
    expect(await problemsOf(body)).toEqual({ code: 'request_invalid', fields });
  });

  it('A repeated request with an Idempotency-Key returns the same batch, and other content is refused.', async () => {
    const headers = { 'Idempotency-Key': 'batch-1' };
    const { batch } = await create({ items: items(2) }, headers);
    const { batch: repeated, response } = await create({ items: items(2) }, headers);
    expect([repeated.id, response.headers.get('Idempotent-Replayed')]).toEqual([batch.id, 'true']);
    const other = await api.post('/batches', JSON.stringify({ items: items(3) }), {
      'Content-Type': 'application/json',
      ...headers,
    });
    expect([other.status, (await json(other)).code]).toEqual([422, 'idempotency_mismatch']);
  });
});

describe('POST /batches with lines of JSON', () => {
  const send = (lines: readonly (object | string)[], headers: Record<string, string> = {}) =>
    api.post('/batches', lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'), {
      'Content-Type': 'application/x-ndjson',
      ...headers,
    });
  const refuse = async (lines: readonly (object | string)[]) => {
    const before = (await api.store.list({ kind: 'batch', limit: 100 })).records.length;
    const response = await send(lines);
    const { errors = [] } = await json(response);
    expect(response.status).toBe(422);
    expect((await api.store.list({ kind: 'batch', limit: 100 })).records).toHaveLength(before);
    return errors.map(({ field, message }: { field: string; message: string }) => `${field} ${message}`);
  };

  it('Each line is an item, a first line has fields for all items, and empty lines do not count.', async () => {
    const lines = ['', { batch: { sync_mode: 'bounce', user_id: 'lines' } }, item(0), '  \r', item(1), ''];
    for (const type of ['application/x-ndjson', 'application/jsonl; charset=utf-8']) {
      const response = await send(lines, { 'Content-Type': type });
      const batch = batchViewSchema.parse(await json(response));
      expect(batch).toMatchObject({ user_id: 'lines', summary: { total: 2 } });
      expect(batch.results.map(({ request }) => [request.sync_mode, request.optimize])).toEqual([
        ['bounce', 'cost'],
        ['bounce', 'cost'],
      ]);
    }
  });

  it('All problems of all lines are listed in one problem document, and nothing is stored.', async () => {
    const long = JSON.stringify(item(4, { metadata: { a: 'a'.repeat(65_536) } }));
    const lines = [
      { batch: { priority: 99 } },
      item(0),
      '{"video_url":',
      item(2, { sync_mode: 'sideways' }),
      '7',
      long,
    ];
    expect(await refuse(lines)).toEqual([
      expect.stringMatching(/^priority /),
      'items.1 must be one line of valid JSON',
      expect.stringMatching(/^items\.2\.sync_mode /),
      'items.3 must be an object',
      'items.4 must be at most 65536 bytes long',
    ]);
  });

  it.each([
    ['no line', [], /^items must not be empty$/],
    ['only the fields for all items', [{ batch: {} }], /^items must not be empty$/],
    ['501 items', items(501), /^items must have at most 500 entries$/],
    ['501 items and fields for all', [{ batch: {} }, ...items(501)], /^items must have at most 500 entries$/],
    ['other fields beside those for all items', [{ batch: {}, user_id: 'a' }, item(0)], /^batch must be/],
    ['items within the fields for all items', [{ batch: { items: [] } }, item(0)], /^batch must be/],
    ['the fields for all items in a later line', [item(0), { batch: {} }], /^items\.1\.batch /],
  ])('Lines with %s are refused.', async (_, lines, problem) => {
    expect(await refuse(lines)).toContainEqual(expect.stringMatching(problem));
  });

  it('500 items and fields for all items are accepted.', async () => {
    expect(await json(await send([{ batch: {} }, ...items(500)]))).toMatchObject({ summary: { total: 500 } });
  });

  it('A repeated request with an Idempotency-Key returns the same batch, and other lines are refused.', async () => {
    const headers = { 'Idempotency-Key': 'lines-1' };
    const { id } = await json(await send(items(2), headers));
    const repeated = await send(items(2), headers);
    expect([(await json(repeated)).id, repeated.headers.get('Idempotent-Replayed')]).toEqual([id, 'true']);
    const other = await send(items(3), headers);
    expect([other.status, (await json(other)).code]).toEqual([422, 'idempotency_mismatch']);
  });

  it('Lines of more than 4 MiB are refused with 413.', async () => {
    expect((await send(['\n'.repeat(4_194_305)])).status).toBe(413);
  });
});

describe('POST /batches/:id/pause and /resume', () => {
  it('A batch is paused and resumed, also by repeated requests, until it has ended.', async () => {
    const { batch } = await create({ items: items(2) });
    const change = async (action: string) => {
      const response = await api.post(`/batches/${batch.id}/${action}`);
      return [response.status, (await json(response)).status];
    };
    for (const action of ['pause', 'pause']) expect(await change(action)).toEqual([202, 'paused']);
    await api.store.append(batchItemId(batch.id, 0), { type: 'run_started', atMs: 1 });
    for (const action of ['resume', 'resume']) expect(await change(action)).toEqual([202, 'processing']);
    expect(await change('pause')).toEqual([202, 'paused']);
    expect(await change('cancel')).toEqual([202, 'processing']);
    const { runs } = (await api.store.get(batchItemId(batch.id, 0))) ?? { runs: 0 };
    const failed = { type: 'failed', run: runs, atMs: 2, code: 'canceled', message: '', warnings: [] } as const;
    await api.store.append(batchItemId(batch.id, 0), failed);
    expect(await change('pause')).toEqual([409, 409]);
  });
});

describe('lists', () => {
  it('GET /batches has the totals of every batch, filters by status, and GET /lipsync filters by batch.', async () => {
    const { batch } = await create({ items: items(3), user_id: 'lists' });
    const { batch: paused } = await create({ items: items(1), user_id: 'lists' });
    await api.post(`/batches/${paused.id}/pause`);
    await fail(batchItemId(batch.id, 1));
    const list = async (query: string) => json(await api.fetch(`/batches?user_id=lists${query}`));
    const { batches } = await list('');
    expect(batches.map((shown: unknown) => batchSummaryViewSchema.parse(shown))).toMatchObject([
      { id: paused.id, status: 'paused' },
      { id: batch.id, status: 'processing', summary: { total: 3, failed: 1 } },
    ]);
    expect((await list('&status=paused')).batches).toMatchObject([{ id: paused.id }]);
    expect((await list('&status=completed')).batches).toEqual([]);
    expect((await json(await api.fetch('/batches?status=failed'))).errors).toMatchObject([{ field: 'status' }]);
    const { jobs } = await json(await api.fetch(`/lipsync?batch=${batch.id}&status=failed`));
    expect(jobs).toMatchObject([{ id: batchItemId(batch.id, 1), batch: { id: batch.id, item: 1 } }]);
    const all = await json(await api.fetch(`/lipsync?batch=${batch.id}`));
    expect(all.jobs.map((job: { batch: { item: number } }) => job.batch.item)).toEqual([2, 1, 0]);
  });
});

describe('GET /batches/:id', () => {
  it('The jobs of a batch are shown in pages of items, each with the totals of the whole batch.', async () => {
    const { batch } = await create({ items: items(5) });
    await fail(batchItemId(batch.id, 4));
    await api.fetch(`/lipsync/${batchItemId(batch.id, 2)}`, { method: 'DELETE' });
    const show = async (query: string) => json(await api.fetch(`/batches/${batch.id}${query}`));
    const pages: unknown[] = [];
    for (let cursor: string | null = '0'; cursor !== null;) {
      const page: BatchView = batchViewSchema.parse(await show(`?limit=2&cursor=${cursor}`));
      expect(page.summary).toMatchObject({ total: 5, failed: 1, canceled: 1 });
      pages.push(page.results.map(({ item: index }) => index));
      cursor = page.next_cursor;
    }
    expect(pages).toEqual([[0, 1], [3], [4]]);
    expect(await show('?limit=5')).toEqual(await show(''));
    expect(await show('?cursor=9')).toMatchObject({ results: [], next_cursor: null });
    for (const query of ['?limit=0', '?limit=501', '?cursor=x'])
      expect(await show(query)).toMatchObject({ status: 422, code: 'request_invalid' });
  });
});

describe('DELETE /batches/:id', () => {
  it('The batch and its jobs are erased, and one with a running job once that has stopped.', async () => {
    const remove = (id: string) => api.fetch(`/batches/${id}`, { method: 'DELETE' });
    const { batch } = await create({ items: items(2) });
    expect((await remove(batch.id)).status).toBe(204);
    expect((await remove(batch.id)).status).toBe(404);
    expect(await api.store.get(batchItemId(batch.id, 1))).toBeUndefined();
    const { batch: running } = await create({ items: items(2) });
    await api.store.append(batchItemId(running.id, 0), { type: 'run_started', atMs: 1 });
    const response = await remove(running.id);
    expect([response.status, await json(response)]).toMatchObject([202, { status: 'processing', results: [{}, {}] }]);
  });
});

describe('POST /batches/:id/cancel', () => {
  it('Jobs that have not ended are canceled, and the batch ends once.', async () => {
    const { batch } = await create({ items: items(3) });
    await api.complete(batchItemId(batch.id, 1), 'video');
    const canceled = await api.post(`/batches/${batch.id}/cancel`);
    expect([canceled.status, await json(canceled)]).toMatchObject([
      202,
      { status: 'canceled', summary: { total: 3, success: 1, canceled: 2 } },
    ]);
    expect((await api.post(`/batches/${batch.id}/cancel`)).status).toBe(409);
    const ends = (await api.store.readOutbox(10_000)).filter(({ jobId }) => jobId === batch.id);
    expect(ends).toMatchObject([{ kind: 'batch', status: 'canceled' }]);
  });

  it('An unknown batch and the id of a job are not found.', async () => {
    const { batch } = await create({ items: items(1) });
    for (const id of ['batch_none', batchItemId(batch.id, 0)])
      expect((await api.post(`/batches/${id}/cancel`)).status).toBe(404);
    expect((await json(await api.fetch('/batches/batch_none'))).detail).toBe('Unknown batch. Check the id.');
  });
});

it('Without Redis a batch is refused with a retryable problem.', async () => {
  await api.redis.kill();
  const response = await api.postJson('/batches', { items: items(2) });
  expect([response.status, await json(response)]).toMatchObject([503, { code: 'resource_exhausted', retryable: true }]);
  await api.redis.restart();
});
