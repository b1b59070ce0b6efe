import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { processStartTime } from '../scripts/bootstrap/process-identity.mjs';
import { parseReadyMessage } from '../scripts/stack/app-process.ts';
import { requireValidSettings } from '../scripts/stack/config.ts';
import { startStack, type Stack } from '../scripts/stack/stack.ts';

let projectDir: string;
let dataDir: string;
let stack: Stack | undefined;

/** Apps that only report the URL of Redis, so that the launcher is tested alone. */
beforeAll(() => {
  projectDir = mkdtempSync(join(tmpdir(), 'lipsync-stack-'));
  dataDir = join(projectDir, 'data');
  const app =
    "process.stdout.write(JSON.stringify({ ready: true, url: process.env.REDIS_URL }) + '\\n');\nsetInterval(() => undefined, 1000);\n";
  for (const name of ['api', 'worker']) {
    const path = join(projectDir, 'apps', name, 'src', 'main.ts');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, app);
  }
});

afterEach(async () => {
  await stack?.stop();
  stack = undefined;
});

afterAll(() => rmSync(projectDir, { recursive: true, force: true }));

function start(onEvent: (text: string) => void = () => undefined): Promise<Stack> {
  return startStack({
    projectDir,
    dataDir,
    workerGraceMs: 2000,
    onLine: () => undefined,
    onEvent,
    signal: AbortSignal.timeout(30_000),
  });
}

function redisPid(): number {
  return JSON.parse(readFileSync(join(dataDir, 'redis', 'instance.json'), 'utf8')).pid;
}

it('A killed Redis restarts on the same port with its data.', async () => {
  const restarted = Promise.withResolvers<string>();
  stack = await start(restarted.resolve);
  const client = new Redis(stack.url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  await client.set('kept', 'yes');
  // Redis syncs its file once per second.
  await sleep(1200);
  process.kill(redisPid(), 'SIGKILL');
  expect(await restarted.promise).toMatch(/redis exited/);
  expect(await client.get('kept')).toBe('yes');
  client.disconnect();
});

it('A second service on the same data folder is refused with the pid of the first.', async () => {
  stack = await start();
  await expect(start()).rejects.toThrow(`Process ${process.pid} already uses ${dataDir}`);
});

it('A service whose API cannot start ends with its reason, although its worker still waits for Redis.', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lipsync-stack-waiting-'));
  const write = (name: string, program: string): void => {
    const path = join(folder, 'apps', name, 'src', 'main.ts');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, program);
  };
  write('api', `process.stderr.write('{"level":50,"msg":"the port is in use"}\\n'); process.exitCode = 1;\n`);
  write('worker', 'setInterval(() => undefined, 1000);\n');
  const starting = startStack({
    projectDir: folder,
    dataDir: join(folder, 'data'),
    redisUrl: 'redis://127.0.0.1:1',
    workerGraceMs: 2000,
    onLine: () => undefined,
    onEvent: () => undefined,
    signal: AbortSignal.timeout(30_000),
  });
  await expect(starting).rejects.toThrow(/api exited before it was ready .*\n  the port is in use/);
  rmSync(folder, { recursive: true, force: true });
});

it('Stopping the stack stops its Redis.', async () => {
  stack = await start();
  const pid = redisPid();
  await stack.stop();
  expect(processStartTime(pid)).toBeUndefined();
});

it('A ready message is recognized among log lines.', () => {
  expect(parseReadyMessage('{"ready":true,"url":"http://127.0.0.1:1"}')).toEqual({
    ready: true,
    url: 'http://127.0.0.1:1',
  });
  expect(parseReadyMessage('{"level":30,"msg":"ready"}')).toBeUndefined();
  expect(parseReadyMessage('{"ready":')).toBeUndefined();
});

it('Before the service starts, the invalid settings of API, worker, core and providers are reported together.', () => {
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(() => requireValidSettings(projectDir)).not.toThrow();
  const invalid = { PORT: 'x', WORKER_LANES: 'x', LIPSYNC_MAX_DURATION_S: 'x', HEYGEN_POLL_INTERVAL_MS: '1' };
  for (const [name, value] of Object.entries(invalid)) vi.stubEnv(name, value);
  for (const name of Object.keys(invalid)) expect(() => requireValidSettings(projectDir)).toThrow(`  ${name}: `);
});

it('An address other than loopback without keys is reported before the service starts.', () => {
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.stubEnv('HOST', '0.0.0.0');
  expect(() => requireValidSettings(projectDir)).toThrow('LIPSYNC_API_KEYS');
});
