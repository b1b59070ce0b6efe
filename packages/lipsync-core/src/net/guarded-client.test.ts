import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer, json, text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  GuardedClient,
  type GuardedClientOptions,
  type GuardedResponse,
  type RequestLimits,
} from './guarded-client.ts';
import { toRequestError } from './request-errors.ts';
import { parseAllowedHosts } from './allowed-hosts.ts';

const loopback = parseAllowedHosts(['127.0.0.1']);
const limits = { maxResponseBytes: 10_000, timeoutMs: 5_000, idleTimeoutMs: 2_000 };
const never = new AbortController().signal;
const running: (Server | TcpServer)[] = [];

afterEach(async () => {
  for (const server of running.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

describe('download', () => {
  it('A download returns the length, type, final URL and content of the file.', async () => {
    const origin = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'video/mp4', 'content-length': '4' }).end('clip');
    });
    const file = await fetchFile(`${origin}/clip.mp4?x=1#part`);
    expect(file).toMatchObject({ contentLength: 4, contentType: 'video/mp4', finalUrl: `${origin}/clip.mp4?x=1#part` });
    expect((await buffer(file.body)).toString()).toBe('clip');
  });

  it('Length and type are null when the server does not send them.', async () => {
    const origin = await serve((_request, response) => void response.write('clip', () => response.end()));
    const file = await fetchFile(origin);
    expect(file).toMatchObject({ contentLength: null, contentType: null });
    expect((await buffer(file.body)).toString()).toBe('clip');
  });

  it('A download requests uncompressed content and sends no identifying headers.', async () => {
    const origin = await serve((request, response) => response.end(JSON.stringify(request.headers)));
    const { body } = await fetchFile(origin);
    const headers: unknown = JSON.parse((await buffer(body)).toString());
    expect(headers).toEqual({
      host: new URL(origin).host,
      connection: expect.any(String),
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'lipsync',
    });
  });

  it('A compressed response is refused.', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    );
    await expect(fetchFile(origin)).rejects.toMatchObject({ code: 'request_invalid', reason: 'encoding' });
  });

  it.each([
    [404, false],
    [403, false],
    [204, false],
    [206, false],
    [429, true],
    [503, true],
  ])('A download with status %i fails (retryable: %s).', async (status, retryable) => {
    const origin = await serve((_request, response) => response.writeHead(status).end());
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: retryable ? 'fetch_failed' : 'request_invalid',
      reason: 'status',
      status,
      retryable,
    });
  });

  it('A download from a closed port fails as unreachable.', async () => {
    await expect(fetchFile('http://127.0.0.1:1/')).rejects.toMatchObject({
      code: 'fetch_failed',
      reason: 'unreachable',
      message: expect.stringContaining('refused the connection'),
    });
  });

  it.each(['SSH-2.0-OpenSSH_9.6\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n'])(
    'A server that answers %j is reported as one that does not speak HTTP.',
    async (answer) => {
      const origin = await serveRaw((socket) => socket.end(answer));
      await expect(fetchFile(origin)).rejects.toMatchObject({
        code: 'fetch_failed',
        message: expect.stringContaining('the response of the server is not valid HTTP'),
      });
    },
  );

  it.each([401, 403])('A download with status %i names a login and an expired signature as causes.', async (status) => {
    const origin = await serve((_request, response) => response.writeHead(status).end());
    await expect(fetchFile(origin)).rejects.toThrow(/needs a login, or its signature is invalid or expired/);
  });

  it('A server with an invalid certificate is named as such.', async () => {
    const signals = { caller: undefined, timeLimit: never, responseLimit: never };
    const cause = Object.assign(new Error('certificate has expired'), { code: 'CERT_HAS_EXPIRED' });
    expect(toRequestError(cause, signals)).toMatchObject({
      code: 'fetch_failed',
      message: expect.stringContaining('certificate of the server is not valid (CERT_HAS_EXPIRED)'),
    });
  });

  it('A download fails as transient when the resolver cannot answer at the moment.', async () => {
    const unavailable = async (): Promise<never> => {
      throw Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' });
    };
    await expect(fetchFile('http://nowhere.example/', { resolveHost: unavailable })).rejects.toMatchObject({
      code: 'fetch_failed',
      message: expect.stringContaining('nowhere.example'),
    });
  });

  it('A download from an unknown host fails and names the host.', async () => {
    const unknown = async (): Promise<never> => {
      throw new Error('ENOTFOUND');
    };
    await expect(fetchFile('http://nowhere.example/', { resolveHost: unknown })).rejects.toMatchObject({
      code: 'request_invalid',
      message: expect.stringContaining('nowhere.example'),
      reason: 'unknown_host',
    });
  });
});

describe('request', () => {
  /** Answers with the method, headers and body that it received. */
  const echo: RequestListener = (request, response) => {
    void text(request).then((body) =>
      response.writeHead(202).end(JSON.stringify({ method: request.method, headers: request.headers, body })),
    );
  };

  it.each([
    ['text', () => 'payload'],
    ['bytes', () => Buffer.from('payload')],
    ['a stream', () => Readable.from([Buffer.from('pay'), Buffer.from('load')])],
  ])('POST sends its headers and a body that is %s, and returns the status.', async (_kind, makeBody) => {
    const origin = await serve(echo);
    const { status, body } = await client().request(`${origin}/hook`, {
      ...limits,
      method: 'POST',
      headers: { 'x-signature': 'abc', 'content-length': '7' },
      body: makeBody(),
    });
    expect(status).toBe(202);
    expect(await json(body)).toMatchObject({
      method: 'POST',
      headers: { 'x-signature': 'abc', 'user-agent': 'lipsync', 'content-length': '7' },
      body: 'payload',
    });
  });

  it.each([404, 500])('A response with status %i is returned, not thrown.', async (status) => {
    const origin = await serve((_request, response) => response.writeHead(status).end('reason'));
    const response = await client().request(origin, { ...limits, method: 'DELETE' });
    expect([response.status, await text(response.body)]).toEqual([status, 'reason']);
  });

  it.each([301, 302, 303, 307, 308])(
    'POST returns a redirect with status %i and does not follow it.',
    async (status) => {
      let requests = 0;
      const other = await serve((_request, response) => {
        requests += 1;
        response.end();
      });
      const origin = await serve((request, response) => {
        request.resume();
        response.writeHead(status, { location: other }).end();
      });
      const response = await client().request(origin, { ...limits, method: 'POST', body: 'secret' });
      expect([response.status, response.finalUrl]).toEqual([status, `${origin}/`]);
      response.body.destroy();
      expect(requests).toBe(0);
    },
  );

  it('POST to a private address is refused before the body is sent.', async () => {
    let requests = 0;
    const origin = await serve((_request, response) => {
      requests += 1;
      response.end();
    });
    const publicOnly = new GuardedClient({ resolveHost: async () => [{ address: '127.0.0.1', family: 4 }] });
    for (const url of [origin, origin.replace('127.0.0.1', 'hook.example')]) {
      const sending = publicOnly.request(url, { ...limits, method: 'POST', body: 'secret' });
      await expect(sending).rejects.toMatchObject({ code: 'url_forbidden' });
    }
    expect(requests).toBe(0);
  });

  it('A private address is reached when its origin is trusted, and only with the same port.', async () => {
    const [trusted, other] = [await serve(echo), await serve(echo)];
    const guarded = new GuardedClient({ trustedOrigin: trusted });
    const response = await guarded.request(`${trusted}/hook`, { ...limits, method: 'POST', body: 'payload' });
    expect(await json(response.body)).toMatchObject({ body: 'payload' });
    await expect(guarded.request(other, { ...limits, method: 'POST' })).rejects.toMatchObject({
      code: 'url_forbidden',
    });
  });

  it('The response to a POST is limited in size.', async () => {
    const origin = await serve((_request, response) => response.write(Buffer.alloc(200)));
    const { body } = await client().request(origin, { ...limits, method: 'POST', body: 'x', maxResponseBytes: 100 });
    await expect(buffer(body)).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('A POST that the server never answers is stopped by the idle time limit.', async () => {
    const origin = await serve(() => undefined);
    const sending = client().request(origin, { ...limits, method: 'POST', body: 'x', idleTimeoutMs: 100 });
    await expect(sending).rejects.toMatchObject({ code: 'fetch_timeout', reason: 'stalled', retryable: true });
  });

  it('A canceled POST rejects with canceled and destroys its body stream.', async () => {
    const origin = await serve(() => undefined);
    const endless = new Readable({ read: () => undefined });
    endless.push('half');
    const sending = client().request(origin, {
      ...limits,
      method: 'POST',
      body: endless,
      signal: AbortSignal.timeout(50),
    });
    await expect(sending).rejects.toMatchObject({ code: 'canceled' });
    expect(endless.destroyed).toBe(true);
  });
});

describe('private addresses', () => {
  it('A private address is refused before a request is sent.', async () => {
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
  ])('A host name that resolves to %j is refused.', async (addresses) => {
    const resolveHost = async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }) as const);
    await expect(
      fetchFile('http://rebound.example/', { resolveHost, allowedPrivateHosts: parseAllowedHosts([]) }),
    ).rejects.toMatchObject({ code: 'url_forbidden' });
  });

  it('A host name is resolved once, so a different second answer has no effect.', async () => {
    const origin = await serve((_request, response) => response.end('the first answer'));
    const answers = ['127.0.0.1', '10.0.0.1'];
    const resolveHost = async () => [{ address: answers.shift() ?? 'none left', family: 4 as const }];
    const { body } = await fetchFile(origin.replace('127.0.0.1', 'rebound.example'), { resolveHost });
    expect((await buffer(body)).toString()).toBe('the first answer');
    expect(answers).toEqual(['10.0.0.1']);
  });

  it.each(['minio.internal', 'minio.internal:PORT', '127.0.0.1:PORT', '127.0.0.0/8:PORT'])(
    'A private address is reached through the allowed host %s.',
    async (entry) => {
      const origin = await serve((_request, response) => response.end('inside'));
      const options = {
        resolveHost: async () => [{ address: '127.0.0.1', family: 4 as const }],
        allowedPrivateHosts: parseAllowedHosts([entry.replace('PORT', new URL(origin).port)]),
      };
      const { body } = await fetchFile(origin.replace('127.0.0.1', 'minio.internal'), options);
      expect((await buffer(body)).toString()).toBe('inside');
    },
  );

  it.each(['minio.internal:1', '127.0.0.1:1', '127.0.0.0/8:1'])(
    'A private address is refused when the host is allowed for another port: %s.',
    async (entry) => {
      const origin = await serve((_request, response) => response.end('inside'));
      const options = {
        resolveHost: async () => [{ address: '127.0.0.1', family: 4 as const }],
        allowedPrivateHosts: parseAllowedHosts([entry]),
      };
      const fetching = fetchFile(origin.replace('127.0.0.1', 'minio.internal'), options);
      await expect(fetching).rejects.toMatchObject({ code: 'url_forbidden' });
    },
  );
});

describe('redirects', () => {
  it('A download follows up to five redirects, including relative ones.', async () => {
    const origin = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end('arrived');
      else response.writeHead(302, { location: `/${left - 1}` }).end('redirected');
    });
    const file = await fetchFile(`${origin}/5`);
    expect(file.finalUrl).toBe(`${origin}/0`);
    expect((await buffer(file.body)).toString()).toBe('arrived');
    await expect(fetchFile(`${origin}/6`)).rejects.toMatchObject({
      code: 'request_invalid',
      reason: 'redirects',
    });
  });

  it.each([
    'http://10.0.0.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://localhost/',
    'file:///etc/passwd',
    'http://user:secret@127.0.0.1/',
  ])('A redirect to %s is refused, and the message names it.', async (location) => {
    const origin = await serve((_request, response) => response.writeHead(302, { location }).end());
    const host = new URL(location).host || 'another URL';
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'url_forbidden',
      message: expect.stringContaining(`It redirects to ${host}. The URL `),
    });
  });

  it('A redirect to a host name with a private address is refused.', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(307, { location: 'http://inside.example/' }).end(),
    );
    const resolveHost = async () => [{ address: '192.168.0.1', family: 4 as const }];
    await expect(fetchFile(origin, { resolveHost })).rejects.toMatchObject({
      code: 'url_forbidden',
      message: expect.stringContaining('It redirects to inside.example.'),
    });
  });

  it('A redirect to an invalid URL is refused.', async () => {
    const origin = await serve((_request, response) => response.writeHead(302, { location: 'http://[' }).end());
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'request_invalid',
      reason: 'redirects',
    });
  });
});

describe('limits', () => {
  it('A file of exactly the maximum size is downloaded.', async () => {
    const origin = await serve((_request, response) => response.end(Buffer.alloc(1_000)));
    const { body } = await fetchFile(origin, { maxResponseBytes: 1_000 });
    expect((await buffer(body)).byteLength).toBe(1_000);
  });

  it('A file that is announced as too large is refused without being read.', async () => {
    const origin = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': '1001' }).write('x'),
    );
    await expect(fetchFile(origin, { maxResponseBytes: 1_000 })).rejects.toMatchObject({ code: 'payload_too_large' });
  });

  it('An endless body is stopped at the size limit and its connection is closed.', async () => {
    const sent = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(10_000)), 1);
      response.on('close', () => {
        clearInterval(timer);
        sent.resolve();
      });
    });
    const { body } = await fetchFile(origin, { maxResponseBytes: 100_000 });
    await expect(buffer(body)).rejects.toMatchObject({ code: 'payload_too_large' });
    await sent.promise;
  });

  it('A server that never answers is stopped by the idle time limit.', async () => {
    const origin = await serve(() => undefined);
    await expect(fetchFile(origin, { idleTimeoutMs: 100 })).rejects.toMatchObject({
      code: 'fetch_timeout',
      reason: 'stalled',
      retryable: true,
    });
  });

  it('Redirects that take too long together are stopped by the response time limit.', async () => {
    const origin = await serve((_request, response) => {
      setTimeout(() => response.writeHead(302, { location: '/next' }).end(), 100);
    });
    const fetching = fetchFile(origin, { idleTimeoutMs: 5_000, responseTimeoutMs: 250 });
    await expect(fetching).rejects.toMatchObject({ code: 'fetch_timeout', reason: 'stalled' });
  });

  it('The response time limit does not bound the body.', async () => {
    const origin = await serve((_request, response) => {
      response.write('half');
      setTimeout(() => response.end('half'), 300);
    });
    const { body } = await fetchFile(origin, { responseTimeoutMs: 150 });
    expect((await buffer(body)).toString()).toBe('halfhalf');
  });

  it('A body below the minimum rate is stopped after one window, although it never stalls.', async () => {
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => response.write('.'), 10);
      response.on('close', () => clearInterval(timer));
    });
    const { body } = await fetchFile(origin, { minRate: { bytesPerSecond: 1_000, windowMs: 300 } });
    await expect(buffer(body)).rejects.toMatchObject({ code: 'fetch_timeout', reason: 'too_slow', retryable: true });
  });

  it('A caller that reads slowly does not make the server too slow.', async () => {
    const origin = await serve((_request, response) => response.end(Buffer.alloc(500_000)));
    const { body } = await fetchFile(origin, {
      maxResponseBytes: 1_000_000,
      minRate: { bytesPerSecond: 50_000_000, windowMs: 200 },
    });
    let bytes = 0;
    for await (const chunk of body) {
      bytes += (chunk as Buffer).byteLength;
      await delay(50);
    }
    expect(bytes).toBe(500_000);
  });

  it('A body that stalls is stopped by the idle time limit.', async () => {
    const origin = await serve((_request, response) => void response.write('half'));
    const { body } = await fetchFile(origin, { idleTimeoutMs: 100 });
    await expect(buffer(body)).rejects.toMatchObject({ code: 'fetch_timeout', reason: 'stalled' });
  });

  it('A body that arrives too slowly is stopped by the time limit.', async () => {
    const origin = await serve((_request, response) => {
      const timer = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const { body } = await fetchFile(origin, { timeoutMs: 300 });
    await expect(buffer(body)).rejects.toMatchObject({
      code: 'fetch_timeout',
      reason: 'time_limit',
      retryable: true,
    });
  });

  it('A host name that never resolves is stopped by the time limit.', async () => {
    const resolveHost = () => new Promise<never>(() => undefined);
    await expect(fetchFile('http://slow.example/', { resolveHost, timeoutMs: 100 })).rejects.toMatchObject({
      reason: 'time_limit',
    });
  });
});

describe('a broken body', () => {
  it('A body shorter than announced fails.', async () => {
    const origin = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'));
    const { body } = await fetchFile(origin);
    await expect(buffer(body)).rejects.toMatchObject({ code: 'fetch_failed', retryable: true });
  });

  it('A chunked body without its last chunk fails.', async () => {
    const origin = await serveRaw((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'),
    );
    const { body } = await fetchFile(origin);
    await expect(buffer(body)).rejects.toMatchObject({ code: 'fetch_failed', retryable: true });
  });

  it('A response that is not HTTP fails.', async () => {
    const origin = await serveRaw((socket) => socket.end('SSH-2.0-something\r\n'));
    await expect(fetchFile(origin)).rejects.toMatchObject({
      code: 'fetch_failed',
      reason: 'unreachable',
    });
  });
});

describe('cancellation', () => {
  it('The caller can cancel before the response.', async () => {
    const origin = await serve(() => undefined);
    const fetching = fetchFile(origin, { signal: AbortSignal.timeout(50) });
    await expect(fetching).rejects.toMatchObject({ code: 'canceled' });
  });

  it('Canceling during the body closes the connection.', async () => {
    const closed = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      response.on('close', closed.resolve);
      response.write('half');
    });
    const controller = new AbortController();
    const { body } = await fetchFile(origin, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(buffer(body)).rejects.toMatchObject({ code: 'canceled' });
    await closed.promise;
  });

  it('Destroying an unread body closes the connection.', async () => {
    const closed = Promise.withResolvers<void>();
    const origin = await serve((_request, response) => {
      response.on('close', () => closed.resolve());
      response.write(Buffer.alloc(1_000));
    });
    const { body } = await fetchFile(origin);
    body.destroy();
    await expect(closed.promise).resolves.toBeUndefined();
  });

  it('A caller that reads slowly does not lose the connection.', async () => {
    const origin = await serve((_request, response) => response.end(Buffer.alloc(2_000_000)));
    const { body } = await fetchFile(origin, { maxResponseBytes: 4_000_000, idleTimeoutMs: 100 });
    await delay(400);
    expect((await buffer(body)).byteLength).toBe(2_000_000);
  });
});

type Options = Partial<RequestLimits & GuardedClientOptions>;

function fetchFile(url: string, options: Options = {}): Promise<GuardedResponse> {
  return client(options).download(url, { ...limits, ...options });
}

function client(options: GuardedClientOptions = {}): GuardedClient {
  return new GuardedClient({ allowedPrivateHosts: loopback, ...options });
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
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return `http://127.0.0.1:${address.port}`;
}
