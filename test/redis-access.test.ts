import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Logger } from '@lipsync/core/host';
import { createClientConnection, openLipsyncQueue, RedisConnections, type LipsyncQueue } from '@lipsync/queue';
import { expect, it, onTestFinished } from 'vitest';
import { freeLoopbackPort } from '../scripts/stack/private-redis.ts';
import { startService } from './support/service-process.ts';

/** The rules of docs/redis.md. */
const rules = '~lipsync:* ~bull:* &lipsync:* +@all -@dangerous +info +client|list';
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const hasSentinel = spawnSync('redis-server', ['--version']).status === 0;

async function scratchFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-access-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function startServer(args: readonly string[], cwd: string): Promise<() => Promise<void>> {
  const server = spawn('redis-server', args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    if (server.exitCode === null && server.signalCode === null && server.kill('SIGKILL')) await once(server, 'exit');
  };
  onTestFinished(stop);
  let output = '';
  server.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await expect.poll(() => output, { timeout: 20_000 }).toMatch(/Ready to accept connections|\+monitor|Sentinel ID/);
  return stop;
}

/** A certificate authority, and a certificate for 127.0.0.1. */
async function writeCertificates(folder: string): Promise<void> {
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority');
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await openssl('req', '-x509', ...key, ...signed, '-keyout', 'redis.key', '-out', 'redis.pem', '-subj', '/CN=redis');
}

function openQueue(redisUrl: string, folder: string): LipsyncQueue {
  const queue = openLipsyncQueue({ redisUrl, dataDir: join(folder, 'data'), outputDir: join(folder, 'outputs') });
  onTestFinished(() => queue.close());
  return queue;
}

/** Runs a job through queue and worker; its input is no video. */
async function runJob(queue: LipsyncQueue, folder: string): Promise<string> {
  const path = join(folder, 'note.txt');
  await writeFile(path, 'not a video');
  const { id } = await queue.enqueue({ videoPath: path, audioPath: path, method: 'preview' });
  expect((await queue.waitFor(id, { timeoutMs: 60_000 })).error?.code).toBe('clip_unusable');
  return id;
}

async function startApi(redisUrl: string, folder: string): Promise<string> {
  const api = startService('api', { redisUrl, folder });
  onTestFinished(() => api.stop('SIGTERM'));
  const record = await api.ready();
  expect(record, api.errorText()).toBeDefined();
  return record?.url ?? '';
}

it.skipIf(!hasOpenssl)(
  'The service runs on a Redis with TLS, an own authority and a user with the documented rules, which denies nothing.',
  { timeout: 180_000 },
  async () => {
    const folder = await scratchFolder();
    await writeCertificates(folder);
    await writeFile(
      join(folder, 'users.acl'),
      `user default on >admin ~* &* +@all\nuser lipsync on >secret ${rules}\n`,
    );
    const port = await freeLoopbackPort();
    const tls = ['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', 'ca.pem'];
    const files = ['--tls-cert-file', 'redis.pem', '--tls-key-file', 'redis.key', '--aclfile', 'users.acl'];
    await startServer(['--port', '0', '--bind', '127.0.0.1', '--save', '', ...tls, ...files], folder);
    const ca = `ca_file=${encodeURIComponent(join(folder, 'ca.pem'))}`;
    const redisUrl = `rediss://lipsync:secret@127.0.0.1:${port}/0?${ca}`;
    const worker = startService('worker', { redisUrl, folder });
    onTestFinished(() => worker.stop());
    const url = await startApi(redisUrl, folder);
    const id = await runJob(openQueue(redisUrl, folder), folder);
    for (const path of ['/lipsync', `/lipsync/${id}`, '/metrics', '/scaling', '/providers', '/costs', '/ready'])
      expect([path, (await fetch(`${url}${path}`)).status]).toEqual([path, 200]);
    expect((await fetch(`${url}/admin/queues/api/queues`)).status).toBe(200);
    expect((await fetch(`${url}/lipsync/${id}/retry`, { method: 'POST' })).status).toBe(202);
    await expect
      .poll(async () => (await fetch(`${url}/lipsync/${id}`, { method: 'DELETE' })).status, { timeout: 30_000 })
      .toBe(204);
    const admin = createClientConnection({
      url: `rediss://:admin@127.0.0.1:${port}?${ca}`,
      onError: () => undefined,
    });
    onTestFinished(() => admin.disconnect());
    expect(await admin.acl('LOG')).toEqual([]);
    // Without the authority, nothing is sent.
    const distrusting = createClientConnection({ url: redisUrl.replace(/\?.*/, ''), onError: () => undefined });
    onTestFinished(() => distrusting.disconnect());
    await expect(distrusting.ping()).rejects.toThrow();
    const reasons: unknown[] = [];
    const warn: Logger['warn'] = (fields) => void reasons.push('reason' in fields && fields.reason);
    const connections = new RedisConnections({
      url: redisUrl.replace(/\?.*/, ''),
      artifacts: { id: async () => 'store' },
      logger: { debug: () => undefined, info: () => undefined, warn, error: warn },
    });
    onTestFinished(() => connections.disconnect());
    await expect(connections.check()).rejects.toThrow();
    expect(reasons).toEqual(['untrusted']);
  },
);

it.skipIf(!hasSentinel)(
  'The service finds its Redis through a sentinel, and continues on the replica when the primary is killed.',
  { timeout: 180_000 },
  async () => {
    const folder = await scratchFolder();
    const [primary, replica, sentinel] = [
      await freeLoopbackPort(),
      await freeLoopbackPort(),
      await freeLoopbackPort(),
    ] as const;
    const common = ['--bind', '127.0.0.1', '--save', '', '--repl-diskless-sync-delay', '0'];
    const stopPrimary = await startServer(['--port', String(primary), ...common], folder);
    await startServer(['--port', String(replica), ...common, '--replicaof', '127.0.0.1', String(primary)], folder);
    const lines = [
      `port ${sentinel}`,
      'bind 127.0.0.1',
      `sentinel monitor service 127.0.0.1 ${primary} 1`,
      'sentinel down-after-milliseconds service 1000',
      'sentinel failover-timeout service 5000',
    ];
    await writeFile(join(folder, 'sentinel.conf'), `${lines.join('\n')}\n`);
    await startServer(['sentinel.conf', '--sentinel'], folder);
    const observer = createClientConnection({ url: `redis://127.0.0.1:${primary}`, onError: () => undefined });
    onTestFinished(() => observer.disconnect());
    await expect.poll(() => observer.info('replication'), { timeout: 20_000 }).toContain('state=online');
    const redisUrl = `redis://unused/0?sentinels=127.0.0.1:${sentinel}&sentinel_name=service`;
    const worker = startService('worker', { redisUrl, folder });
    onTestFinished(() => worker.stop());
    const queue = openQueue(redisUrl, folder);
    await runJob(queue, folder);
    // A sentinel finds the replicas within 10 s.
    const watcher = createClientConnection({ url: `redis://127.0.0.1:${sentinel}`, onError: () => undefined });
    onTestFinished(() => watcher.disconnect());
    await expect.poll(() => watcher.info('sentinel'), { timeout: 30_000 }).toContain('slaves=1');
    await stopPrimary();
    await expect
      .poll(() => watcher.info('sentinel'), { timeout: 60_000, interval: 500 })
      .toContain(`address=127.0.0.1:${replica}`);
    await expect.poll(() => runJob(queue, folder).catch(() => 'failed'), { timeout: 60_000 }).toMatch(/^job_/);
  },
);
