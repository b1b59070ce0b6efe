import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formAdvice } from '../../src/providers/wav2lip/definition.ts';
import { hasCudaLibrary, runtimeLibraryFolder } from '../../src/inference/onnx-session.ts';
import { checkpointBytes, seededState } from '../wav2lip/seeded-checkpoint.ts';
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

async function findings(): Promise<{
  readonly exitCode: number;
  finding(name: string): Finding | undefined;
  readonly names: readonly string[];
}> {
  const { exitCode, stdout, stderr } = await runCli('doctor', '--json');
  expect(stdout).toMatch(/^[^\n]+\n$/);
  expect(stderr).toBe('');
  const all: readonly Finding[] = JSON.parse(stdout).findings;
  return { exitCode, finding: (wanted) => all.find(({ name }) => name === wanted), names: all.map(({ name }) => name) };
}

describe('doctor', () => {
  it('finds the settings of the project, and the folders that they name, wherever it is called', async () => {
    vi.stubEnv('LIPSYNC_PROJECT_FOLDER', folder);
    for (const name of ['LIPSYNC_DATA_DIR', 'LIPSYNC_OUTPUT_DIR']) vi.stubEnv(name, undefined);
    await writeFile(join(folder, '.env'), 'LIPSYNC_OUTPUT_DIR=videos\n');
    const { finding } = await findings();
    expect([finding('data folder')?.detail, finding('output folder')?.detail]).toEqual([
      join(folder, 'data'),
      join(folder, 'videos'),
    ]);
  });

  it('on a machine that has everything but a model finds all of it and leaves with 0', async () => {
    const { exitCode, finding, names } = await findings();
    expect(names).toEqual([
      'node',
      'ffmpeg',
      'ffprobe',
      'redis-server',
      'settings',
      'data folder',
      'output folder',
      'heygen',
      'wav2lip',
      'preview',
    ]);
    expect(names.filter((name) => finding(name)?.state !== 'ok')).toEqual(['heygen', 'wav2lip']);
    expect(finding('node')?.detail).toBe(process.versions.node);
    expect(finding('data folder')?.detail).toBe(join(folder, 'data'));
    expect(exitCode).toBe(0);
  });

  it('prints a line for each finding', async () => {
    const { exitCode, stdout } = await runCli('doctor');
    expect(stdout.trimEnd().split('\n')).toHaveLength(12);
    expect(stdout).toMatch(/^ok {8}ffmpeg +\d/m);
    expect(exitCode).toBe(0);
  });

  it('says what is missing, what to do about it, and leaves with 1', async () => {
    vi.stubEnv('PATH', folder);
    const { exitCode, finding } = await findings();
    expect(finding('ffmpeg')).toMatchObject({
      state: 'missing',
      advice: expect.stringContaining('apt-get install ffmpeg'),
    });
    expect(finding('ffprobe')?.state).toBe('missing');
    expect(exitCode).toBe(1);
  });

  it('says what would be done with the endpoint of HeyGen, and never the key', async () => {
    vi.stubEnv('HEYGEN_API_KEY', 'hunter2');
    expect((await findings()).finding('heygen')).toEqual({
      name: 'heygen',
      state: 'ok',
      detail: 'key set; https://api.heygen.com, at most 5 operations at once',
      advice: '',
    });
    vi.stubEnv('HEYGEN_API_ENDPOINT', 'https://api.heygen.com/v1');
    expect((await findings()).finding('heygen')).toMatchObject({
      state: 'ok',
      advice: expect.stringContaining('/v1, which was dropped'),
    });
    vi.stubEnv('HEYGEN_API_ENDPOINT', 'https://api.heygen.com/?key=hunter2');
    const { exitCode, finding } = await findings();
    expect(finding('heygen')).toMatchObject({ state: 'missing', detail: expect.stringContaining('without ? or #') });
    expect(JSON.stringify(finding('heygen'))).not.toContain('hunter2');
    expect(exitCode).toBe(1);
  });

  it('says whether the Wav2Lip model is there', async () => {
    expect((await findings()).finding('wav2lip')).toMatchObject({
      state: 'optional',
      advice: expect.stringContaining('WAV2LIP_MODEL_PATH'),
    });
    const model = join(folder, 'wav2lip.onnx');
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    expect(await findings()).toMatchObject({ exitCode: 1 });
    await writeFile(model, '');
    expect((await findings()).finding('wav2lip')).toMatchObject({
      state: 'ok',
      detail: expect.stringContaining(model),
    });
  });

  it('says which devices a model would be tried on, and that CUDA is not among them where it is not installed', async () => {
    const model = join(folder, 'wav2lip.onnx');
    await writeFile(model, '');
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    const isInstalled = await hasCudaLibrary(runtimeLibraryFolder());
    expect((await findings()).finding('wav2lip')?.detail).toContain(
      isInstalled
        ? 'CUDA, else WebGPU, else the CPU'
        : 'WebGPU, else the CPU (CUDA is not installed; docs/operations.md',
    );
    vi.stubEnv('LIPSYNC_GPU_ENABLED', 'false');
    expect((await findings()).finding('wav2lip')?.detail).toContain('the CPU alone');
  });

  it('says when the model is written for another device than those that may draw', async () => {
    const model = join(folder, 'wav2lip.onnx');
    const checkpoint = join(folder, 'wav2lip.pth');
    await writeFile(checkpoint, checkpointBytes(await seededState(16, 3), { format: 'zip' }));
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    vi.stubEnv('LIPSYNC_GPU_ENABLED', 'false');
    await runCli('models', 'import', checkpoint, '-o', model, '--for', 'gpu');
    expect((await findings()).finding('wav2lip')).toMatchObject({
      state: 'ok',
      advice: expect.stringContaining('--for cpu'),
    });
    await runCli('models', 'import', checkpoint, '-o', model, '--for', 'cpu', '--overwrite');
    expect((await findings()).finding('wav2lip')).toMatchObject({ state: 'ok', advice: '' });
  });

  it.each([
    ['rewritten', true, true, /--for gpu/],
    ['rewritten', true, false, /^$/],
    ['rewritten', false, true, /^$/],
    ['plain', true, true, /^$/],
    ['plain', false, true, /--for cpu/],
    [null, true, true, /^$/],
  ] as const)(
    'advises on a model of %s layers, GPUs allowed: %s, CUDA installed: %s',
    (form, gpuEnabled, hasCuda, advice) => {
      expect(formAdvice({ form }, { gpuEnabled, hasCuda })).toMatch(advice);
    },
  );

  it('takes a missing Redis as no fault', async () => {
    for (const name of ['ffmpeg', 'ffprobe']) {
      await writeFile(join(folder, name), `#!/bin/sh\necho "${name} version 6.1 Copyright"\n`);
      await chmod(join(folder, name), 0o755);
    }
    await symlink('/bin/sh', join(folder, 'sh'));
    vi.stubEnv('PATH', folder);
    const { exitCode, finding } = await findings();
    expect(finding('redis-server')).toMatchObject({
      state: 'optional',
      advice: expect.stringContaining('redis-server'),
    });
    expect(exitCode).toBe(0);
  });

  it('says which setting cannot be understood', async () => {
    vi.stubEnv('LIPSYNC_MAX_DURATION_S', 'long');
    const { exitCode, finding } = await findings();
    expect(finding('settings')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('LIPSYNC_MAX_DURATION_S'),
    });
    expect(exitCode).toBe(1);
  });

  it('says which folder cannot be written', async () => {
    await writeFile(join(folder, 'file'), '');
    vi.stubEnv('LIPSYNC_OUTPUT_DIR', join(folder, 'file', 'outputs'));
    await mkdir(join(folder, 'data'));
    const { exitCode, finding } = await findings();
    expect(finding('output folder')).toMatchObject({
      state: 'missing',
      advice: expect.stringContaining('LIPSYNC_OUTPUT_DIR'),
    });
    expect(finding('data folder')?.state).toBe('ok');
    expect(exitCode).toBe(1);
  });
});
