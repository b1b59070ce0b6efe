import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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
