import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startTestRedis } from '@lipsync/queue/testing';
import { expect, it, onTestFinished } from 'vitest';

const projectDir = dirname(import.meta.dirname);

it(
  'Standard output of a service is log records only, one JSON object per line, and its addresses go to standard error.',
  { timeout: 90_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const child = spawn(process.execPath, [join(projectDir, 'scripts', 'start.ts')], {
      cwd: projectDir,
      env: {
        PATH: process.env['PATH'],
        PORT: '0',
        REDIS_URL: '',
        LIPSYNC_DATA_DIR: join(folder, 'data'),
        LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await expect.poll(() => stderr, { timeout: 60_000 }).toContain('Press Control-C');
    child.kill('SIGTERM');
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records).toContainEqual(expect.objectContaining({ app: 'api', msg: 'listening' }));
    expect(records).toContainEqual(expect.objectContaining({ app: 'worker', msg: 'worker started' }));
    expect(stderr).toContain('Lipsync is running at http://127.0.0.1:');
    expect(stderr).not.toContain('{"level"');
  },
);

it(
  'A data folder that cannot be written ends the start with its path, the reason and the setting.',
  { timeout: 60_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'file');
    await writeFile(file, '');
    for (const dataDir of [file, join(file, 'data')]) {
      const child = spawn(process.execPath, [join(projectDir, 'scripts', 'start.ts')], {
        cwd: projectDir,
        env: { PATH: process.env['PATH'], PORT: '0', REDIS_URL: '', LIPSYNC_DATA_DIR: dataDir },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      await once(child, 'close');
      expect(child.exitCode).toBe(1);
      expect(stderr).toBe(
        `The folder "${dataDir}" cannot be written: a part of its path is a file. Make it writable, or set LIPSYNC_DATA_DIR to another folder.\n`,
      );
    }
  },
);

interface StartedPart {
  readonly stdout: () => string;
  readonly stderr: () => string;
}

function startPart(args: readonly string[], environment: Readonly<Record<string, string>>): StartedPart {
  const child = spawn(process.execPath, [join(projectDir, 'scripts', 'start.ts'), ...args], {
    cwd: projectDir,
    env: { PATH: process.env['PATH'], PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return { stdout: () => stdout, stderr: () => stderr };
}

it(
  'API and workers of one lane each start alone with the Redis and the folders of a service.',
  { timeout: 120_000 },
  async () => {
    const redis = await startTestRedis();
    onTestFinished(() => redis.stop());
    const folder = await mkdtemp(join(tmpdir(), 'start-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const environment = {
      REDIS_URL: redis.url,
      LIPSYNC_DATA_DIR: join(folder, 'data'),
      LIPSYNC_OUTPUT_DIR: join(folder, 'outputs'),
    };
    const api = startPart(['api'], environment);
    const render = startPart(['worker', '--lanes', 'render'], environment);
    const cloud = startPart(['worker'], { ...environment, WORKER_LANES: 'cloud' });
    for (const part of [api, render, cloud])
      await expect.poll(part.stderr, { timeout: 60_000 }).toContain('Press Control-C');
    const url = /The API is running at (?<url>\S+)/.exec(api.stderr())?.groups?.['url'] ?? '';
    expect(await (await fetch(`${url}/ready`)).json()).toMatchObject({ status: 'ready' });
    const lanesOf = ({ stdout }: StartedPart): unknown =>
      stdout()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
        .find(({ msg }) => msg === 'worker started')
        .lanes.map(({ lane }: { readonly lane: string }) => lane);
    expect(lanesOf(render)).toEqual(['render']);
    expect(lanesOf(cloud)).toEqual(['fetch', 'cloud', 'webhook']);
  },
);

it.each([
  [['api'], /^npm run api needs REDIS_URL/],
  [['worker'], /^npm run worker needs REDIS_URL/],
  [['worker', '--lanes', 'gpu'], /WORKER_LANES: must be one of cloud, render/],
  [['worker', '--lane', 'render'], /--lane/],
  [['api', 'now'], /^npm run api takes no arguments/],
])('The arguments %j without REDIS_URL end the start with the reason.', { timeout: 60_000 }, async (args, reason) => {
  const part = startPart(args, { REDIS_URL: '' });
  await expect.poll(part.stderr, { timeout: 30_000 }).toMatch(reason);
});
