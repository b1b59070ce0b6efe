import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { LipsyncError } from '../errors/index.ts';

const limits = {
  /** Time for a client to send its headers. */
  headersTimeoutMs: 15_000,
  /** An idle connection is closed after this time; uploads may be slow, but not idle. */
  idleTimeoutMs: 60_000,
  /** The largest upload over a slow connection; bounds a client that sends a byte at a time. */
  requestTimeoutMs: 6 * 3_600_000,
  keepAliveTimeoutMs: 10_000,
  maxConnections: 4_096,
};

export interface ListeningServer {
  /** Base URL, e.g. http://127.0.0.1:3000. */
  readonly url: string;
  /** Accepts no new connections; closes open ones after their response, or after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 selects any free port. */
  readonly port: number;
  /** Names of the settings of both, for an error. */
  readonly settings: string;
}

/** Serves `listener` over HTTP. Throws `request_invalid` when the address is not available. */
export async function listen(
  listener: RequestListener,
  { host, port, settings }: ListenOptions,
): Promise<ListeningServer> {
  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
    },
    listener,
  );
  server.setTimeout(limits.idleTimeoutMs);
  server.maxConnections = limits.maxConnections;
  server.listen(port, host);
  await once(server, 'listening').catch((cause: unknown) => {
    throw new LipsyncError(
      'request_invalid',
      `${settings}: cannot listen on ${host} port ${port}. Another process may use it.`,
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
