import type { Express } from 'express';
import { once } from 'node:events';
import { createServer } from 'node:http';

export interface ListeningServer {
  /** Where it listens, e.g. http://127.0.0.1:4010. */
  readonly url: string;
  /** Cuts every connection; resolves when the port is free. */
  close(): Promise<void>;
}

/** Serves the app on this machine's own address only. Throws the system's error when `port` is taken; 0 is any free one. */
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
