import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fetchThenFail, makeTake } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';

const never = new AbortController().signal;

let bench: RunnerBench;
let server: Server | undefined;
/** Paths that were asked for, in order. */
let requests: string[];

beforeEach(async () => {
  bench = await openRunnerBench();
  requests = [];
});
afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await bench.remove();
});

/** Creates a job whose inputs are at a server that answers with `answer`; `request` counts from 1. */
async function acceptJobOf(answer: (request: number, ...args: Parameters<RequestListener>) => void): Promise<void> {
  server = createServer((request, response) => answer(requests.push(request.url ?? ''), request, response)).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  const url = (name: string) => ({ kind: 'url', url: `http://127.0.0.1:${address.port}/${name}` }) as const;
  await bench.accept({}, {}, { video: url('clip'), audio: url('speech') });
}

describe('Inputs at a URL', () => {
  it.each<[string, (...args: Parameters<RequestListener>) => void]>([
    ['answers 503', (_, response) => void response.writeHead(503).end()],
    ['resets the connection', (request) => request.socket.resetAndDestroy()],
    [
      'stops in the middle',
      (_, response) => void response.writeHead(200, { 'content-length': '9' }).write('half', () => response.destroy()),
    ],
  ])('A download is retried if the server %s.', async (_, fail) => {
    await acceptJobOf((count, request, response) =>
      count <= 2 ? fail(request, response) : void response.end('content'),
    );
    expect(await bench.runner(makeTake).run('job_1', { signal: never, canRun: () => true })).toMatchObject({
      status: 'completed',
    });
    expect(requests).toEqual(['/clip', '/clip', '/clip', '/speech']);
  });

  it('A download fails after three tries.', async () => {
    await acceptJobOf((_count, _request, response) => void response.writeHead(503).end());
    const record = await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({ code: 'fetch_failed' });
    expect(requests).toHaveLength(3);
  });

  it('A download is not retried if the server answers 404.', async () => {
    await acceptJobOf((_count, _request, response) => void response.writeHead(404).end());
    expect((await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true })).status).toBe(
      'failed',
    );
    expect(requests).toHaveLength(1);
  });

  it('A run that resumes after the first download does not repeat it.', async () => {
    const handBack = new AbortController();
    await acceptJobOf((count, _request, response) => {
      if (count === 2) handBack.abort();
      else response.end('content');
    });
    await expect(
      bench.runner(fetchThenFail).run('job_1', { signal: handBack.signal, canRun: () => true }),
    ).rejects.toMatchObject({ code: 'canceled' });
    expect(await bench.runner(makeTake).run('job_1', { signal: never, canRun: () => true })).toMatchObject({
      status: 'completed',
    });
    expect(requests).toEqual(['/clip', '/speech', '/speech']);
  });
});
