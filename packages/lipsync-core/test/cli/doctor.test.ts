import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './run-cli.ts';

interface Finding {
  readonly name: string;
  readonly state: string;
  readonly detail: string;
  readonly advice: string;
}

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-doctor-'));
  vi.stubEnv('LIPSYNC_DATA_DIR', join(folder, 'data'));
  vi.stubEnv('LIPSYNC_OUTPUT_DIR', join(folder, 'outputs'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

async function findings(): Promise<{ readonly exitCode: number; finding(name: string): Finding | undefined; readonly names: readonly string[] }> {
  const { exitCode, stdout, stderr } = await runCli('doctor', '--json');
  expect(stdout).toMatch(/^[^\n]+\n$/);
  expect(stderr).toBe('');
  const all: readonly Finding[] = JSON.parse(stdout).findings;
  return { exitCode, finding: (wanted) => all.find(({ name }) => name === wanted), names: all.map(({ name }) => name) };
}

describe('doctor', () => {
  it('on a machine that has everything finds all of it and leaves with 0', async () => {
    const { exitCode, finding, names } = await findings();
    expect(names).toEqual(['node', 'ffmpeg', 'ffprobe', 'redis-server', 'settings', 'data folder', 'output folder', 'preview']);
    expect(names.map((name) => finding(name)?.state)).toEqual(names.map(() => 'ok'));
    expect(finding('node')?.detail).toBe(process.versions.node);
    expect(finding('data folder')?.detail).toBe(join(folder, 'data'));
    expect(exitCode).toBe(0);
  });

  it('prints a line for each finding', async () => {
    const { exitCode, stdout } = await runCli('doctor');
    expect(stdout.trimEnd().split('\n')).toHaveLength(8);
    expect(stdout).toMatch(/^ok {8}ffmpeg +\d/m);
    expect(exitCode).toBe(0);
  });

  it('says what is missing, what to do about it, and leaves with 1', async () => {
    vi.stubEnv('PATH', folder);
    const { exitCode, finding } = await findings();
    expect(finding('ffmpeg')).toMatchObject({ state: 'missing', advice: expect.stringContaining('apt-get install ffmpeg') });
    expect(finding('ffprobe')?.state).toBe('missing');
    expect(exitCode).toBe(1);
  });

  it('takes a missing Redis as no fault', async () => {
    for (const name of ['ffmpeg', 'ffprobe']) {
      await writeFile(join(folder, name), `#!/bin/sh\necho "${name} version 6.1 Copyright"\n`);
      await chmod(join(folder, name), 0o755);
    }
    await symlink('/bin/sh', join(folder, 'sh'));
    vi.stubEnv('PATH', folder);
    const { exitCode, finding } = await findings();
    expect(finding('redis-server')).toMatchObject({ state: 'optional', advice: expect.stringContaining('redis-server') });
    expect(exitCode).toBe(0);
  });

  it('says which setting cannot be understood', async () => {
    vi.stubEnv('LIPSYNC_MAX_DURATION_S', 'long');
    const { exitCode, finding } = await findings();
    expect(finding('settings')).toMatchObject({ state: 'missing', detail: expect.stringContaining('LIPSYNC_MAX_DURATION_S') });
    expect(exitCode).toBe(1);
  });

  it('says which folder cannot be written', async () => {
    await writeFile(join(folder, 'file'), '');
    vi.stubEnv('LIPSYNC_OUTPUT_DIR', join(folder, 'file', 'outputs'));
    await mkdir(join(folder, 'data'));
    const { exitCode, finding } = await findings();
    expect(finding('output folder')).toMatchObject({ state: 'missing', advice: expect.stringContaining('LIPSYNC_OUTPUT_DIR') });
    expect(finding('data folder')?.state).toBe('ok');
    expect(exitCode).toBe(1);
  });
});
