import type { Express } from 'express';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { LipsyncError } from '@lipsync/core';

const limits = {
  /** A caller who needs longer to send its headers is not one. */
  headersTimeoutMs: 15_000,
  /** A connection on which nothing moves for this long is closed; uploads may be slow, not idle. */
  idleTimeoutMs: 60_000,
  /** The largest upload over a slow line; what it guards against is a trickle that never ends. */
  requestTimeoutMs: 6 * 3_600_000,
  keepAliveTimeoutMs: 10_000,
  maxConnections: 2_048,
};

export interface ListeningServer {
  /** Where it listens, e.g. http://127.0.0.1:3000. */
  readonly url: string;
  /** Takes no new connections, lets running answers end for `graceMs`, then cuts them. */
  stop(graceMs: number): Promise<void>;
}

/** Serves the app on `host` and `port` (0: any free one). Throws `request_invalid` when that cannot be listened on. */
export async function listen(
  app: Express,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<ListeningServer> {
  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
    },
    app,
  );
  server.setTimeout(limits.idleTimeoutMs);
  server.maxConnections = limits.maxConnections;
  server.listen(port, host);
  await once(server, 'listening').catch((cause: unknown) => {
    throw new LipsyncError(
      'request_invalid',
      `HOST, PORT: cannot listen on ${host} port ${port}. Is it taken by another process?`,
      { cause },
    );
  });
  return { url: urlOf(server), stop: (graceMs) => stop(server, graceMs) };
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('The server does not listen on a port.');
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
