import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { S3Settings } from '../storage/artifact-store-settings.ts';
import { S3Bucket } from '../storage/s3/s3-bucket.ts';
import { startS3Proxy, type S3Proxy } from './s3-proxy.ts';

/** An object store for one test file: s3rver behind a proxy that fills its gaps and injects faults. */
export interface TestS3 {
  readonly proxy: S3Proxy;
  /** Settings of a store that no other prefix shares. */
  settings(prefix?: string): S3Settings;
  /** The settings as environment variables. */
  environment(prefix?: string): Readonly<Record<string, string>>;
  /** Opens the bucket without the store. */
  open(prefix?: string): S3Bucket;
  /** Kills the server and removes its data. */
  stop(): Promise<void>;
}

const bucket = 'artifacts';
const startTimeoutMs = 20_000;
/** The only keys of s3rver. */
const credentials = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };

/** Starts s3rver on a free loopback port with an empty bucket. The caller stops it. */
export async function startTestS3(): Promise<TestS3> {
  const folder = await mkdtemp(join(tmpdir(), 'test-s3-'));
  const main = createRequire(import.meta.url).resolve('s3rver/bin/s3rver.js');
  const options = ['--directory', folder, '--address', '127.0.0.1', '--port', '0', '--configure-bucket', bucket];
  const server = spawn(process.execPath, ['--no-deprecation', main, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stopServer = async (): Promise<void> => {
    await kill(server);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const proxy = await startS3Proxy(await readPort(server));
    const settings = (prefix = ''): S3Settings => ({
      bucket,
      prefix,
      region: 'us-east-1',
      endpoint: proxy.url,
      pathStyle: true,
      checksums: 'WHEN_REQUIRED',
      credentials,
    });
    return {
      proxy,
      settings,
      open: (prefix) => new S3Bucket(settings(prefix)),
      environment: (prefix = '') => ({
        LIPSYNC_ARTIFACT_STORE: 's3',
        LIPSYNC_S3_BUCKET: bucket,
        LIPSYNC_S3_PREFIX: prefix,
        LIPSYNC_S3_ENDPOINT: proxy.url,
        LIPSYNC_S3_PATH_STYLE: 'true',
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      }),
      async stop() {
        await proxy.close();
        await stopServer();
      },
    };
  } catch (error) {
    await stopServer();
    throw error;
  }
}

async function readPort(server: ChildProcess): Promise<number> {
  if (!server.stdout) throw new Error('s3rver has no stdout pipe.');
  const lines = createInterface({ input: server.stdout });
  const signal = AbortSignal.timeout(startTimeoutMs);
  const ended = once(server, 'exit', { signal }).then(() => {
    throw new Error('s3rver exited at start.');
  });
  const port = new Promise<number>((resolve) => {
    lines.on('line', (line) => {
      const [, found] = /listening on .*:(\d+)/.exec(line) ?? [];
      if (found !== undefined) resolve(Number(found));
    });
  });
  ended.catch(() => undefined);
  return Promise.race([port, ended]);
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  server.kill('SIGKILL');
  await once(server, 'exit');
}
