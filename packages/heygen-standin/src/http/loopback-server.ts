import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Express } from 'express';

export interface ListeningServer {
  /** Its origin, e.g. http://127.0.0.1:4010. */
  readonly url: string;
  /** Cuts every connection; resolves when the port is free. */
  close(): Promise<void>;
}

/** Serves the app on 127.0.0.1. Port 0 selects a free port. Throws the system's error when the port is in use. */
export async function listen(app: Express, port: number): Promise<ListeningServer> {
  const server = createServer(app);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('The server does not listen on a port.');
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Whether a URL points to this machine. The stand-in sends requests to no other host. */
export function isLoopbackUrl(url: string): boolean {
  return URL.canParse(url) && /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(new URL(url).hostname);
}
