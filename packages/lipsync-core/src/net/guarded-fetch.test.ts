import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseAllowedHosts } from './allowed-hosts.ts';
import { fetchGuarded, type FetchedFile, type GuardedFetchOptions } from './guarded-fetch.ts';

const loopback = parseAllowedHosts(['127.0.0.1']);
const running: (Server | TcpServer)[] = [];

afterEach(async () => {
  for (const server of running.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

describe('a fetched file', () => {
  it('comes with its length, type and final address', async () => {
    const origin = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4', 'content-length': '4' }).end('clip');
    });
    const file = await fetchFile(`${origin}/clip.mp4?x=1#part`);
    expect(file).toMatchObject({ contentLength: 4, contentType: 'video/mp4', finalUrl: `${origin}/clip.mp4?x=1#part` });
    expect((await buffer(file.stream)).toString()).toBe('clip');
  });

  it('has unknown length when the server does not say', async () => {
    const origin = await serve((_request, response) => void response.write('clip', () => response.end()));
    const file = await fetchFile(origin);
    expect(file).toMatchObject({ contentLength: null, contentType: null });
    expect((await buffer(file.stream)).toString()).toBe('clip');
  });

  it('is asked for uncompressed and without anything that tells of us', async () => {
    const origin = await serve((request, response) => response.end(JSON.stringify(request.headers)));
    const { stream } = await fetchFile(origin);
    const headers: unknown = JSON.parse((await buffer(stream)).toString());
    expect(headers).toEqual({
      host: new URL(origin).host,
      connection: expect.any(String),
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'lipsync',
    });
  });

  it('is refused when it comes compressed all the same', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    );
    await expect(fetchFile(origin)).rejects.toMatchObject({ code: 'request_invalid', details: { reason: 'encoding' } });
  });

  it.each([
    [404, false],
    [403, false],
    [204, false],
    [206, false],
    [429, true],
    [503, true],
  ])('is not what comes with status %i (worth another try: %s)', async (status, retryable) => {
    const origin = await serve((_request, response) => response.writeHead(status).end());
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'status', status, retryable },
    });
  });

  it('cannot come from a port where nobody listens', async () => {
    await expect(fetchFile('http://127.0.0.1:1/')).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'unreachable' },
    });
  });

  it('cannot come from a host that does not exist', async () => {
    const unknown = async (): Promise<never> => {
      throw new Error('ENOTFOUND');
    };
    await expect(fetchFile('http://nowhere.example/', { resolveHost: unknown })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('nowhere.example'),
      details: { reason: 'unknown_host' },
    });
  });
});

describe('private addresses', () => {
  it('are refused before anything is sent to them', async () => {
    let requests = 0;
    const origin = await serve((_request, response) => {
      requests += 1;
      response.end();
    });
    await expect(fetchFile(origin, { allowedPrivateHosts: parseAllowedHosts([]) })).rejects.toMatchObject({
      code: 'url_forbidden',
    });
    expect(requests).toBe(0);
  });

  it.each([
    [['127.0.0.1']],
    [['93.184.216.34', '127.0.0.1']],
    [['10.0.0.1', '93.184.216.34']],
    [['::1']],
    [['::ffff:127.0.0.1']],
  ])('are refused when a name leads to %j', async (addresses) => {
    const resolveHost = async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }) as const);
    await expect(
      fetchFile('http://rebound.example/', { resolveHost, allowedPrivateHosts: parseAllowedHosts([]) }),
    ).rejects.toMatchObject({ code: 'url_forbidden' });
  });

  it('are not reached by a name whose second answer differs from its first', async () => {
    const origin = await serve((_request, response) => response.end('the first answer'));
    const answers = ['127.0.0.1', '10.0.0.1'];
    const resolveHost = async () => [{ address: answers.shift() ?? 'none left', family: 4 as const }];
    const { stream } = await fetchFile(origin.replace('127.0.0.1', 'rebound.example'), { resolveHost });
    expect((await buffer(stream)).toString()).toBe('the first answer');
    expect(answers).toEqual(['10.0.0.1']);
  });

  it('are reached by a name that is allowed', async () => {
    const origin = await serve((_request, response) => response.end('inside'));
    const options = {
      resolveHost: async () => [{ address: '127.0.0.1', family: 4 as const }],
      allowedPrivateHosts: parseAllowedHosts(['minio.internal']),
    };
    const { stream } = await fetchFile(origin.replace('127.0.0.1', 'minio.internal'), options);
    expect((await buffer(stream)).toString()).toBe('inside');
  });
});

describe('redirects', () => {
  it('are followed up to five times, relative ones too', async () => {
    const origin = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end('arrived');
      else response.writeHead(302, { location: `/${left - 1}` }).end('go on');
    });
    const file = await fetchFile(`${origin}/5`);
    expect(file.finalUrl).toBe(`${origin}/0`);
    expect((await buffer(file.stream)).toString()).toBe('arrived');
    await expect(fetchFile(`${origin}/6`)).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'redirects' },
    });
  });

  it.each([
    'http://10.0.0.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://localhost/',
    'file:///etc/passwd',
    'http://user:word@127.0.0.1/',
  ])('to %s are refused', async (location) => {
    const origin = await serve((_request, response) => response.writeHead(302, { location }).end());
    await expect(fetchFile(origin)).rejects.toMatchObject({ code: 'url_forbidden' });
  });

  it('to a name that leads to a private address are refused', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(307, { location: 'http://inside.example/' }).end(),
    );
    const resolveHost = async () => [{ address: '192.168.0.1', family: 4 as const }];
    await expect(fetchFile(origin, { resolveHost })).rejects.toMatchObject({ code: 'url_forbidden' });
  });

  it('to nowhere are refused', async () => {
    const origin = await serve((_request, response) => response.writeHead(302, { location: 'http://[' }).end());
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'redirects' },
    });
  });
});

describe('limits', () => {
  it('let a file through that is exactly as large as allowed', async () => {
    const origin = await serve((_request, response) => response.end(Buffer.alloc(1_000)));
    const { stream } = await fetchFile(origin, { maxBytes: 1_000 });
    expect((await buffer(stream)).byteLength).toBe(1_000);
  });

  it('refuse a file that is announced as larger, without reading it', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': '1001' }).write('x'),
    );
    await expect(fetchFile(origin, { maxBytes: 1_000 })).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('end a body that has no end, and its connection', async () => {
    const sent = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(10_000)), 1);
      response.on('close', () => {
        clearInterval(timer);
        sent.resolve();
      });
    });
    const { stream } = await fetchFile(origin, { maxBytes: 100_000 });
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'payload_too_large' });
    await sent.promise;
  });

  it('end a server that never answers', async () => {
    const origin = await serve(() => undefined);
    await expect(fetchFile(origin, { idleTimeoutMs: 100 })).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'stalled', retryable: true },
    });
  });

  it('end a body that stops', async () => {
    const origin = await serve((_request, response) => void response.write('half'));
    const { stream } = await fetchFile(origin, { idleTimeoutMs: 100 });
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'request_invalid', details: { reason: 'stalled' } });
  });

  it('end a body that drips for ever', async () => {
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const { stream } = await fetchFile(origin, { timeoutMs: 300 });
    await expect(buffer(stream)).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'time_limit', retryable: true },
    });
  });

  it('end a name that is never resolved', async () => {
    const resolveHost = () => new Promise<never>(() => undefined);
    await expect(fetchFile('http://slow.example/', { resolveHost, timeoutMs: 100 })).rejects.toMatchObject({
      details: { reason: 'time_limit' },
    });
  });
});

describe('a broken body', () => {
  it('shorter than announced is a failure, not an end', async () => {
    const origin = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'));
    const { stream } = await fetchFile(origin);
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'request_invalid', details: { retryable: true } });
  });

  it('without its last chunk is a failure, not an end', async () => {
    const origin = await serveRaw((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'),
    );
    const { stream } = await fetchFile(origin);
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'request_invalid', details: { retryable: true } });
  });

  it('that is not HTTP is a failure', async () => {
    const origin = await serveRaw((socket) => socket.end('SSH-2.0-something\r\n'));
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'request_invalid',
      details: { reason: 'unreachable' },
    });
  });
});

describe('whoever asked', () => {
  it('can stop before the answer', async () => {
    const origin = await serve(() => undefined);
    const fetching = fetchFile(origin, { signal: AbortSignal.timeout(50) });
    await expect(fetching).rejects.toMatchObject({ code: 'canceled' });
  });

  it('can stop in the middle of the body, which closes the connection', async () => {
    const closed = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      response.on('close', closed.resolve);
      response.write('half');
    });
    const controller = new AbortController();
    const { stream } = await fetchFile(origin, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'canceled' });
    await closed.promise;
  });

  it('can drop the stream unread, which closes the connection', async () => {
    const closed = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      response.on('close', () => closed.resolve());
      response.write(Buffer.alloc(1_000));
    });
    const { stream } = await fetchFile(origin);
    stream.destroy();
    await expect(closed.promise).resolves.toBeUndefined();
  });

  it('may read slowly without losing the connection', async () => {
    const origin = await serve((_request, response) => response.end(Buffer.alloc(2_000_000)));
    const { stream } = await fetchFile(origin, { maxBytes: 4_000_000, idleTimeoutMs: 100 });
    await delay(400);
    expect((await buffer(stream)).byteLength).toBe(2_000_000);
  });
});

function fetchFile(url: string, options: Partial<GuardedFetchOptions> = {}): Promise<FetchedFile> {
  return fetchGuarded(url, {
    maxBytes: 10_000,
    timeoutMs: 5_000,
    idleTimeoutMs: 2_000,
    allowedPrivateHosts: loopback,
    ...options,
  });
}

async function serve(listener: RequestListener): Promise<string> {
  return listen(createHttpServer(listener));
}

async function serveRaw(onRequest: (socket: Socket) => void): Promise<string> {
  return listen(
    createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => onRequest(socket));
    }),
  );
}

async function listen(server: Server | TcpServer): Promise<string> {
  running.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return `http://127.0.0.1:${address.port}`;
}
