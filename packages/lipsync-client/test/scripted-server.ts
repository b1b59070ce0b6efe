import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { LipsyncClient } from '../src/index.ts';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server that answers each request with the next listener; the last one answers all further requests. */
export async function startServer(...listeners: readonly RequestListener[]) {
  const received: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    const listener = listeners[Math.min(received.length, listeners.length - 1)];
    const entry = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body: '' };
    received.push(entry);
    void text(request)
      .then((body) => {
        entry.body = body;
        listener?.(request, response);
      })
      .catch(() => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  const client = new LipsyncClient({
    baseUrl: `http://127.0.0.1:${port}`,
    apiKey: 'a-secret-of-a-test',
    retryDelayMs: 1,
    timeoutMs: 2_000,
    idleTimeoutMs: 500,
  });
  return { client, received, baseUrl: `http://127.0.0.1:${port}` };
}

/** Answers with JSON. */
export function answer(status: number, body: object, headers: Readonly<Record<string, string>> = {}): RequestListener {
  return (_request, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
}

/** Answers with a problem document. */
export function refuse(
  status: number,
  problem: object,
  headers: Readonly<Record<string, string>> = {},
): RequestListener {
  return answer(status, problem, { 'Content-Type': 'application/problem+json', ...headers });
}

/** Answers with the beginning of a response and closes the connection. */
export function breakAfter(headers: Readonly<Record<string, string>>, text: string): RequestListener {
  return (_request, response) => {
    response.writeHead(200, headers);
    response.write(text, () => setTimeout(() => response.destroy(), 20));
  };
}
