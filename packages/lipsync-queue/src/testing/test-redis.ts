import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A redis-server for one test file. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Kills the server with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port with the same data. */
  restart(): Promise<void>;
  /** Stops the server process without closing its connections; `resume` continues it. */
  suspend(): void;
  resume(): void;
  /** Kills the server and removes its data. */
  stop(): Promise<void>;
}

const startTimeoutMs = 10_000;

/**
 * Starts a real redis-server on a free loopback port, with an append-only file in a folder of its own that is synced at
 * every write, so that `kill` loses nothing. Needs `redis-server` on the path. The caller stops it.
 */
export async function startTestRedis(): Promise<TestRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'test-redis-'));
  const port = await freePort();
  let server = await start(dir, port);
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill: () => kill(server),
    restart: async () => {
      server = await start(dir, port);
    },
    suspend: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    stop: async () => {
      await kill(server);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function start(dir: string, port: number): Promise<ChildProcess> {
  const server = spawn(
    'redis-server',
    [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      dir,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      '--maxmemory-policy',
      'noeviction',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await untilReady(server);
    return server;
  } catch (error) {
    await kill(server);
    throw error;
  }
}

async function untilReady(server: ChildProcess): Promise<void> {
  const { stdout } = server;
  if (!stdout) throw new Error('redis-server has no stdout pipe');
  const signal = AbortSignal.timeout(startTimeoutMs);
  const failed = Promise.race([once(server, 'error', { signal }), once(server, 'exit', { signal })]);
  const ready = Promise.withResolvers<void>();
  createInterface({ input: stdout }).on('line', (line) => {
    if (line.includes('Ready to accept connections')) ready.resolve();
  });
  await Promise.race([
    ready.promise,
    failed.then((reason) => {
      throw new Error(`redis-server did not start: ${String(reason[0])}`);
    }),
  ]);
  failed.catch(() => undefined);
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const exited = once(server, 'exit');
  server.kill('SIGKILL');
  await exited;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('the system assigned no port');
  return address.port;
}
