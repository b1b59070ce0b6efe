/**
 * `node tcp-forward.ts FROM=TO…`: forwards TCP connections from one address to another, each `host:port`, until it is
 * killed. It connects a network namespace with the host.
 */
import { createConnection, createServer, type Server } from 'node:net';
import { once } from 'node:events';

/** Forwards connections; resolves when it listens. The caller closes the server. */
export async function forwardTcp(from: string, to: string): Promise<Server> {
  const [fromHost = '', fromPort = ''] = from.split(':');
  const [toHost = '', toPort = ''] = to.split(':');
  const server = createServer((incoming) => {
    const outgoing = createConnection({ host: toHost, port: Number(toPort) });
    const close = (): void => void (incoming.destroy(), outgoing.destroy());
    for (const socket of [incoming, outgoing]) socket.on('error', close).on('close', close).setNoDelay(true);
    incoming.pipe(outgoing).pipe(incoming);
  });
  server.listen({ host: fromHost, port: Number(fromPort) });
  await once(server, 'listening');
  return server;
}

if (import.meta.main) {
  for (const pair of process.argv.slice(2)) {
    const [from = '', to = ''] = pair.split('=');
    await forwardTcp(from, to);
  }
  process.stdout.write('forwarding\n');
}
