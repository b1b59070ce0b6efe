import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rename } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ArtifactInputFetcher } from '../../src/jobs/input-fetcher.ts';
import { parseAllowedHosts } from '../../src/net/index.ts';
import { thisProcess } from '../../src/processes/process-owner.ts';
import { processFolderName } from '../../src/processes/workspace.ts';
import { fetchThenFail, makeTake, neverCalled } from './pipeline-scripts.ts';
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
async function acceptJobOf(
  answer: (request: number, ...args: Parameters<RequestListener>) => void,
  query = '',
): Promise<void> {
  server = createServer((request, response) => answer(requests.push(request.url ?? ''), request, response)).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  const url = (name: string) => ({ kind: 'url', url: `http://127.0.0.1:${address.port}/${name}${query}` }) as const;
  await bench.accept({}, {}, { video: url('clip'), audio: url('speech') });
}

/** Sends a byte every 20 ms. */
const drip: RequestListener = (_request, response) => {
  const timer = setInterval(() => response.write('.'), 20);
  response.on('close', () => clearInterval(timer));
};

async function partialFiles(): Promise<string[]> {
  const names = await readdir(dirname(bench.workFolder), { recursive: true });
  return names.filter((name) => name.endsWith('.part'));
}

/** The run of this process that is under way leaves its workspace as one of a killed process would. */
async function leaveToDeadProcess(jobFolder: string): Promise<void> {
  const dead = processFolderName({ ...(await thisProcess()), pid: spawnSync('true').pid });
  for (const name of await readdir(jobFolder)) await rename(join(jobFolder, name), join(jobFolder, `1-${dead}`));
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

  it('A download fails after four tries with fetch_failed, which names the field and the host but not the query.', async () => {
    await acceptJobOf((_count, _request, response) => void response.writeHead(503).end(), '?X-Amz-Signature=hush');
    const record = await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({
      code: 'fetch_failed',
      message: expect.stringMatching(
        /^video_url \(127\.0\.0\.1:\d+\): the server responded with status 503\. Try again/,
      ),
    });
    expect(JSON.stringify(record)).not.toContain('hush');
    expect(record.spec.video).toMatchObject({ kind: 'url', url: expect.stringMatching(/\/clip$/) });
    expect(requests).toHaveLength(4);
  });

  it('The query of a URL is kept while a later run may need it.', async () => {
    const handBack = new AbortController();
    await acceptJobOf(() => handBack.abort(), '?token=hush');
    const run = bench.runner(fetchThenFail).run('job_1', { signal: handBack.signal, canRun: () => true });
    await expect(run).rejects.toMatchObject({ code: 'canceled' });
    expect((await bench.store.get('job_1'))?.spec.video).toMatchObject({ url: expect.stringContaining('?token=hush') });
  });

  it.each<[string, RequestListener]>([
    ['sends a byte now and then', drip],
    ['never answers', () => undefined],
    ['stalls in the middle', (_request, response) => void response.write('half')],
  ])('A download is given up with fetch_timeout after one request if the server %s.', async (_, answer) => {
    await acceptJobOf((_count, request, response) => answer(request, response));
    const limits = { responseTimeoutMs: 200, rateWindowMs: 200 };
    const inputs = new ArtifactInputFetcher({
      artifacts: bench.artifacts,
      maxBytes: 1_000,
      allowedPrivateHosts: parseAllowedHosts(['127.0.0.1']),
      minBytesPerSecond: 1_000,
      limits,
    });
    const record = await bench.runner(fetchThenFail, { inputs }).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({ code: 'fetch_timeout', message: expect.stringContaining('video_url') });
    expect(requests).toEqual(['/clip']);
  });

  it.each<[string, string | undefined, string, string]>([
    [
      'a share page',
      'text/html; charset=utf-8',
      '<!doctype html><title>clip.mp4 - Drive</title>',
      'a web page (text/html)',
    ],
    ['a page of an undeclared type', undefined, '\n  <html><body>Sign in</body></html>', 'a web page'],
    ['a page declared as a video', 'video/mp4', '\ufeff<!-- x --><html>', 'a web page'],
    ['a bare text declared as a page', 'text/html', 'Please sign in.', 'a web page (text/html)'],
    ['a JSON error', 'application/json', '{"error":"no such file"}', 'JSON (application/json)'],
    [
      'an XML error',
      'application/xml',
      '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
      'XML (application/xml)',
    ],
    ['a JSON error of a vendor type', 'application/problem+json', '[]', 'JSON (application/problem+json)'],
  ])('A server that sends %s instead of a clip is named, with one request.', async (_, type, body, kind) => {
    await acceptJobOf((_count, _request, response) =>
      response.writeHead(200, type === undefined ? {} : { 'content-type': type }).end(body),
    );
    const record = await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({ code: 'clip_unusable', message: expect.stringContaining(`sent ${kind},`) });
    expect(record.error?.message).toContain('address of the file itself');
    expect(requests).toEqual(['/clip']);
  });

  it('A link that redirects to a login page is refused as a web page, without a retry.', async () => {
    await acceptJobOf((_count, { url }, response) =>
      url === '/login'
        ? response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in')
        : response.writeHead(302, { location: '/login' }).end(),
    );
    const record = await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({ code: 'clip_unusable', message: expect.stringContaining('web page') });
    expect(requests).toEqual(['/clip', '/login']);
  });

  it('A web page instead of the speech is speech_unusable.', async () => {
    await acceptJobOf((count, _request, response) => void response.end(count === 1 ? 'content' : '<html>'));
    const record = await bench.runner(fetchThenFail).run('job_1', { signal: never, canRun: () => true });
    expect(record.error).toMatchObject({ code: 'speech_unusable', message: expect.stringContaining('audio_url') });
  });

  it.each([
    ['binary content', 'text/html', Buffer.from([0, 0, 0, 24, 0x66, 0x74, 0x79, 0x70])],
    ['text that does not begin like a page', 'application/octet-stream', Buffer.from('content')],
    ['binary content that begins with a bracket', 'application/octet-stream', Buffer.from([0x3c, 0x68, 0, 1])],
  ])('A response with %s is stored, whatever its declared type.', async (_, type, body) => {
    await acceptJobOf((_count, _request, response) => response.writeHead(200, { 'content-type': type }).end(body));
    const record = await bench.runner(makeTake).run('job_1', { signal: never, canRun: () => true });
    expect(record.status).toBe('completed');
  });

  it('A run after a killed one deletes the partial download that the killed run left.', async () => {
    const started = Promise.withResolvers<void>();
    await acceptJobOf((count, _request, response) => {
      if (count > 1) return response.end('content');
      response.writeHead(200, { 'content-length': '9' }).write('half');
      return setTimeout(started.resolve, 100);
    });
    const killed = bench.runner(neverCalled).run('job_1', { signal: never, canRun: (work) => work === 'fetch' });
    await started.promise;
    expect((await partialFiles()).map((path) => basename(path))).toEqual(['video.part']);
    await leaveToDeadProcess(join(bench.workFolder, 'job_1'));
    await bench.runner(makeTake).run('job_1', { signal: never, canRun: () => true });
    expect(await partialFiles()).toEqual([]);
    server?.closeAllConnections();
    await killed;
  });

  it('A host that only fetches stores the inputs and transfers the job to the host that it needs.', async () => {
    await acceptJobOf((_count, _request, response) => void response.end('content'));
    const fetched = await bench.runner(neverCalled).run('job_1', { signal: never, canRun: (work) => work === 'fetch' });
    expect(fetched).toMatchObject({ status: 'queued', needs: 'inline', runs: 1, spec: { video: { name: 'clip' } } });
    const record = await bench.runner(makeTake).run('job_1', { signal: never, canRun: (work) => work === 'inline' });
    expect(record).toMatchObject({ status: 'completed', runs: 2 });
    expect(requests).toEqual(['/clip', '/speech']);
  });

  it('A host that does not fetch leaves a job alone whose inputs are not fetched.', async () => {
    await acceptJobOf((_count, _request, response) => void response.end('content'));
    const record = await bench.runner(neverCalled).run('job_1', { signal: never, canRun: (work) => work !== 'fetch' });
    expect(record).toMatchObject({ status: 'queued', runs: 0 });
    expect(requests).toEqual([]);
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
