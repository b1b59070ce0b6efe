import type { RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { answer, breakAfter, refuse, startServer } from './scripted-server.ts';

const eventStream = { 'Content-Type': 'text/event-stream' };

function event(id: number, progress: number, status = 'processing'): string {
  return `event: ${status === 'processing' ? 'progress' : status}\nid: ${id}\ndata: ${JSON.stringify({ id: 'job_1', status, progress })}\n\n`;
}

it('A subscription whose connection breaks resumes after the last event, and ends with the job.', async () => {
  const { client, received } = await startServer(
    breakAfter(eventStream, `: still here\n\n${event(1, 10)}${event(2, 20)}event: progress\nid: 3\nda`),
    breakAfter(eventStream, ''),
    (_request, response) => {
      response.writeHead(200, eventStream);
      // Characters and lines may arrive in parts.
      const rest = Buffer.from(event(3, 30).replace('job_1', 'jöb'));
      response.write(rest.subarray(0, rest.indexOf(0xc3) + 1));
      setTimeout(
        () =>
          response.end(Buffer.concat([rest.subarray(rest.indexOf(0xc3) + 1), Buffer.from(event(4, 100, 'completed'))])),
        20,
      );
    },
  );
  const seen: unknown[] = [];
  for await (const { type, job } of client.subscribe('job_1')) seen.push([type, job.id, job.progress]);
  expect(seen).toEqual([
    ['progress', 'job_1', 10],
    ['progress', 'job_1', 20],
    ['progress', 'jöb', 30],
    ['completed', 'job_1', 100],
  ]);
  expect(received.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2', '2']);
});

it('Without a free stream the job is polled.', async () => {
  const full = refuse(503, { code: 'resource_exhausted', retryable: true });
  const { client } = await startServer(
    full,
    answer(200, { id: 'job_1', status: 'processing', progress: 10 }),
    full,
    answer(200, { id: 'job_1', status: 'completed', progress: 100 }),
  );
  const progress: number[] = [];
  const ended = await client.waitFor('job_1', { onProgress: (job) => progress.push(job.progress) });
  expect(ended).toMatchObject({ status: 'completed' });
  expect(progress).toEqual([10, 100]);
});

it('While streams end at once without an event, as behind some proxies, the job is polled.', async () => {
  const empty: RequestListener = (_request, response) => response.writeHead(200, eventStream).end();
  const { client, received } = await startServer(
    empty,
    answer(200, { id: 'job_1', status: 'processing', progress: 10 }),
    empty,
    refuse(404, { code: 'not_found', retryable: false }),
  );
  await expect(client.waitFor('job_1')).rejects.toMatchObject({ code: 'not_found' });
  expect(received.map(({ path }) => path?.endsWith('/events'))).toEqual([true, false, true, false]);
});

it('A stream in which nothing arrives is opened again.', async () => {
  const silent = breakAfter(eventStream, '');
  const { client, received } = await startServer(
    (request, response) => {
      response.writeHead(200, eventStream).flushHeaders();
      request.once('close', () => undefined);
    },
    silent,
    (_request, response) => response.writeHead(200, eventStream).end(event(1, 100, 'completed')),
  );
  expect(await client.waitFor('job_1')).toMatchObject({ status: 'completed' });
  expect(received).toHaveLength(3);
});

it('A subscription to an unknown job fails at once.', async () => {
  const { client, received } = await startServer(refuse(404, { code: 'not_found', retryable: false }));
  await expect(client.waitFor('job_1')).rejects.toMatchObject({ code: 'not_found' });
  expect(received).toHaveLength(1);
});

it('A download whose connection breaks requests the rest of the same file.', async () => {
  const headers = {
    'Content-Length': '10',
    ETag: '"v1"',
    'Content-Disposition': `attachment; filename="x.mp4"; filename*=UTF-8''..%2Fgr%C3%BC%C3%9Fe.mp4`,
  };
  const { client, received } = await startServer(breakAfter(headers, '0123'), (_request, response) => {
    response.writeHead(206, { 'Content-Range': 'bytes 4-9/10' }).end('456789');
  });
  const { name, sizeBytes, stream } = await client.download('job_1');
  expect([name, sizeBytes]).toEqual(['grüße.mp4', 10]);
  expect(await text(stream)).toBe('0123456789');
  expect(received[1]?.headers).toMatchObject({ range: 'bytes=4-', 'if-range': '"v1"' });
});

it('A download of a file that has changed meanwhile fails.', async () => {
  const { client } = await startServer(
    breakAfter({ 'Content-Length': '10', ETag: '"v1"' }, '0123'),
    (_request, response) => response.end('another'),
  );
  const { stream } = await client.download('job_1');
  await expect(text(stream)).rejects.toMatchObject({ code: 'response_invalid' });
});

function batchEvent(id: string, status: string, success: number): string {
  const data = JSON.stringify({ id: 'batch_1', status, summary: { total: 2, success } });
  return `event: ${status === 'processing' ? 'progress' : status}\nid: ${id}\ndata: ${data}\n\n`;
}

it('A subscription to a batch whose connection breaks resumes after the last event, and ends with the batch.', async () => {
  const { client, received } = await startServer(
    breakAfter(eventStream, `${batchEvent('a', 'processing', 0)}${batchEvent('b', 'paused', 1)}`),
    (_request, response) => response.writeHead(200, eventStream).end(batchEvent('c', 'completed', 2)),
  );
  const seen: unknown[] = [];
  for await (const { type, batch } of client.batches.subscribe('batch_1'))
    seen.push([type, batch.status, batch.summary.success]);
  expect(seen).toEqual([
    ['progress', 'processing', 0],
    ['progress', 'paused', 1],
    ['completed', 'completed', 2],
  ]);
  expect(received.map(({ path, headers }) => [path, headers['last-event-id']])).toEqual([
    ['/batches/batch_1/events', undefined],
    ['/batches/batch_1/events', 'b'],
  ]);
});

it('Without a free stream the batch is polled, and its jobs are returned at the end only.', async () => {
  const full = refuse(503, { code: 'resource_exhausted', retryable: true });
  const batch = (status: string, success: number) => ({ id: 'batch_1', status, summary: { success }, results: [{}] });
  const { client } = await startServer(
    full,
    answer(200, batch('processing', 0)),
    full,
    answer(200, batch('canceled', 1)),
  );
  const totals: unknown[] = [];
  const ended = await client.batches.waitFor('batch_1', { onProgress: (state) => totals.push(state) });
  expect(totals).toEqual([
    { id: 'batch_1', status: 'processing', summary: { success: 0 } },
    { id: 'batch_1', status: 'canceled', summary: { success: 1 } },
  ]);
  expect(ended).toMatchObject({ status: 'canceled', results: [{}] });
});

it('A subscription to a batch that is deleted fails with not_found.', async () => {
  const { client } = await startServer(
    (_request, response) => response.writeHead(200, eventStream).end(batchEvent('a', 'processing', 0)),
    refuse(404, { code: 'not_found', retryable: false }),
  );
  await expect(client.batches.waitFor('batch_1')).rejects.toMatchObject({ code: 'not_found' });
});
