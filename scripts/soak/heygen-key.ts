import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { shortenSample } from '../lib/short-sample.ts';
import { paceByReads, startHeygenStack, type HeygenStack } from './heygen-stack.ts';

const timeLimitMs = 10 * 60_000;

/**
 * Runs jobs at a vendor that repeats the API key in its responses and links to another host, then searches for the key
 * in API responses, logs, stored files and requests to other hosts.
 */
export async function proveHeygenKey(): Promise<boolean> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const foreign = await startForeignHost();
  const stack = await startHeygenStack(
    {
      standin: { settings: { pace: paceByReads }, separateDownloadOrigin: true },
      environment: { LIPSYNC_ALLOWED_PRIVATE_HOSTS: '127.0.0.1' },
    },
    signal,
  );
  const worker = await stack.startWorker();
  try {
    const responses = await provokeLeaks(stack, foreign.url);
    responses.push(...(await readAllPages(stack, signal)));
    await worker.stop();
    const { apiKey, control } = stack.standin;
    const rows: readonly (readonly [string, number, number])[] = [
      [
        'API responses, including errors and events',
        responses.length,
        responses.filter((text) => text.includes(apiKey)).length,
      ],
      ['log lines', stack.lines.length, stack.lines.filter((line) => line.includes(apiKey)).length],
      ...(await searchFiles(stack.rootDir, apiKey)),
      [
        'requests to HeyGen’s storage',
        control.log().filter(({ route }) => route === 'download' || route === 'put').length,
        control.leaks().length,
      ],
      [
        'requests to a foreign host',
        foreign.requests.length,
        foreign.requests.filter((text) => text.includes(apiKey)).length,
      ],
    ];
    console.log('| searched | count | with the key |\n|---|---|---|');
    for (const [name, count, found] of rows) console.log(`| ${name} | ${count} | ${found} |`);
    return rows.every(([, count, found]) => count > 0 && found === 0);
  } finally {
    await worker.stop();
    await stack.stop();
    await foreign.close();
  }
}

/** Runs one job for each way in which the vendor may reveal the key. Returns the API's responses about them. */
async function provokeLeaks(stack: HeygenStack, foreignUrl: string): Promise<string[]> {
  const { control, apiKey } = stack.standin;
  const sample = await shortenSample(stack.folder, 1);
  const message = `Key ${apiKey} (X-Api-Key: ${apiKey}) at https://${apiKey}@example.org/?key=${apiKey}`;
  const scripts = [
    () => undefined,
    () =>
      control.addFaults({
        match: { route: 'create' },
        fault: { kind: 'error', status: 400, code: 'invalid_parameter', message },
      }),
    () =>
      control.addFaults({ match: { route: 'create' }, fault: { kind: 'error', status: 400, code: apiKey, message } }),
    () => control.addFaults({ match: { route: 'create' }, fault: { kind: 'fail', message } }),
    () => control.addFaults({ match: { route: 'upload' }, fault: { kind: 'drop' } }),
    () => control.addFaults({ match: { route: 'get' }, fault: { kind: 'status_word', word: apiKey } }),
    () =>
      control.addFaults({
        match: { route: 'get' },
        fault: { kind: 'video_url', url: `${foreignUrl}/video.mp4` },
        times: 'always',
      }),
    () =>
      control.addFaults({
        match: { route: 'download' },
        fault: { kind: 'redirect', location: `${foreignUrl}/redirected.mp4` },
        times: 'always',
      }),
    () =>
      control.addFaults({
        match: { route: 'create' },
        fault: { kind: 'error', status: 401, code: 'unauthorized', message },
      }),
  ];
  const responses: string[] = [];
  for (const script of scripts) {
    control.clearFaults();
    script();
    // Failures of earlier jobs must not block this one.
    await stack.state.transact(['breaker/heygen'], () => ({
      result: undefined,
      writes: new Map([['breaker/heygen', null]]),
    }));
    const { id } = await stack.submit(sample, { method: 'heygen' });
    const job = await stack.waitFor(id);
    responses.push(JSON.stringify(job), await (await fetch(`${stack.url}/lipsync/${id}/events`)).text());
    process.stderr.write(`${job.status} ${job.error?.code ?? ''} ${job.error?.message ?? ''}\n`);
  }
  return responses;
}

/** Reads every page of the API and of the queue board. */
async function readAllPages({ url }: HeygenStack, signal: AbortSignal): Promise<string[]> {
  const queuesPath = '/admin/queues/api/queues';
  const paths = [
    '/lipsync?limit=100',
    '/providers',
    '/costs',
    '/costs?group_by=method',
    '/ready',
    '/health',
    '/lipsync/none',
    '/admin/queues',
    queuesPath,
  ];
  const queues = z
    .object({ queues: z.array(z.object({ name: z.string() })) })
    .parse(await (await fetch(`${url}${queuesPath}`, { signal })).json());
  for (const { name } of queues.queues) {
    for (const status of ['latest', 'completed', 'failed', 'delayed'])
      paths.push(`${queuesPath}?activeQueue=${encodeURIComponent(name)}&status=${status}&page=1&jobsPerPage=100`);
  }
  return Promise.all(paths.map(async (path) => (await fetch(`${url}${path}`, { signal })).text()));
}

/** Searches all stored files. The append-only file of Redis contains every record and queue entry. */
async function searchFiles(folder: string, key: string): Promise<readonly (readonly [string, number, number])[]> {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name));
  const withKey = await Promise.all(paths.map(async (path) => (await readFile(path)).includes(key)));
  const count = (isMatch: (path: string) => boolean): readonly [number, number] => [
    paths.filter(isMatch).length,
    paths.filter((path, index) => isMatch(path) && withKey[index]).length,
  ];
  const isRedis = (path: string): boolean => path.includes('appendonly');
  return [
    ['files of Redis', ...count(isRedis)],
    ['other stored files', ...count((path) => !isRedis(path))],
  ];
}

async function startForeignHost(): Promise<{
  readonly url: string;
  readonly requests: readonly string[];
  close(): Promise<void>;
}> {
  const requests: string[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    requests.push([request.method, request.url, ...request.rawHeaders].join(' '));
    response.writeHead(404).end();
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  return {
    requests,
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
