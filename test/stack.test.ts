import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { processStartTime } from '../scripts/bootstrap/process-identity.mjs';
import { readyMessage } from '../scripts/stack/app-process.ts';
import { startStack, type Stack } from '../scripts/stack/stack.ts';

let projectDir: string;
let dataDir: string;
let stack: Stack | undefined;

/** Apps that serve nothing but say where Redis is, so that the launcher is tried by itself. */
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

it('keeps what was written when Redis is killed, and serves on the same port again', async () => {
  const restarted = Promise.withResolvers<string>();
  stack = await start(restarted.resolve);
  const client = new Redis(stack.url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => undefined);
  await client.set('kept', 'yes');
  // The file is written to disk once a second.
  await sleep(1200);
  process.kill(redisPid(), 'SIGKILL');
  expect(await restarted.promise).toMatch(/redis ended by itself/);
  expect(await client.get('kept')).toBe('yes');
  client.disconnect();
});

it('refuses a second service on one data folder and says who holds it', async () => {
  stack = await start();
  await expect(start()).rejects.toThrow(`Process ${process.pid} is serving from ${dataDir} already`);
});

it('leaves no Redis behind when it stops', async () => {
  stack = await start();
  const pid = redisPid();
  await stack.stop();
  expect(processStartTime(pid)).toBeUndefined();
});

it('recognizes the line that says an app serves among its log', () => {
  expect(readyMessage('{"ready":true,"url":"http://127.0.0.1:1"}')).toEqual({ ready: true, url: 'http://127.0.0.1:1' });
  expect(readyMessage('{"level":30,"msg":"ready"}')).toBeUndefined();
  expect(readyMessage('{"ready":')).toBeUndefined();
});
