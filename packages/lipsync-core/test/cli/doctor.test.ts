import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { formAdvice } from '../../src/providers/wav2lip/definition.ts';
import { hasCudaLibrary, runtimeLibraryFolder } from '../../src/inference/onnx-session.ts';
import { checkpointBytes, seededState } from '../wav2lip/seeded-checkpoint.ts';
import { localIdentityIn } from '../../src/marking/local-certificates.ts';
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

/** IR version 8, and a graph of 12 bytes: the outline of a model. */
const onnxBytes = Buffer.concat([Buffer.from([0x08, 8, 0x3a, 12]), Buffer.alloc(12)]);

describe('doctor', () => {
  it('doctor uses the settings and folders of the project in every working directory.', async () => {
    vi.stubEnv('LIPSYNC_PROJECT_FOLDER', folder);
    for (const name of ['LIPSYNC_DATA_DIR', 'LIPSYNC_OUTPUT_DIR']) vi.stubEnv(name, undefined);
    await writeFile(join(folder, '.env'), 'LIPSYNC_OUTPUT_DIR=videos\n');
    const { finding } = await findings();
    expect([finding('data folder')?.detail, finding('output folder')?.detail]).toEqual([
      join(folder, 'data'),
      join(folder, 'videos'),
    ]);
  });

  it('On a machine that lacks only optional parts, doctor lists every check and exits with 0.', async () => {
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
      'syncnet',
      'lr-asd',
      'dnsmos',
      'marking',
    ]);
    const optional = ['heygen', 'wav2lip', 'syncnet', 'lr-asd', 'dnsmos'];
    expect(names.filter((name) => finding(name)?.state !== 'ok')).toEqual(optional);
    expect(finding('node')?.detail).toBe(process.versions.node);
    expect(finding('data folder')?.detail).toBe(join(folder, 'data'));
    expect(exitCode).toBe(0);
  });

  it('doctor names the file of a quality model, and the setting of one that cannot be read.', async () => {
    const path = join(folder, 'lr-asd.onnx');
    vi.stubEnv('ASD_MODEL_PATH', path);
    const absent = await findings();
    expect(absent.exitCode).toBe(1);
    expect(absent.finding('lr-asd')).toMatchObject({
      state: 'missing',
      advice: expect.stringContaining('ASD_MODEL_PATH'),
    });
    await writeFile(path, onnxBytes);
    expect((await findings()).finding('lr-asd')).toMatchObject({ state: 'ok', detail: `${path}; measures who speaks` });
  });

  it('doctor names the signer of outputs once it exists, and a file of it that is damaged.', async () => {
    expect((await findings()).finding('marking')?.detail).toContain('the first start makes');
    await localIdentityIn(join(folder, 'data', 'marking'), Date.now());
    const made = (await findings()).finding('marking');
    expect(made).toMatchObject({ state: 'ok', advice: '' });
    expect(made?.detail).toMatch(/^signed by CN=Lipsync output, O=Lipsync until \d{4}-\d\d-\d\d$/);
    await writeFile(join(folder, 'data', 'marking', 'signer.pem'), 'damaged');
    expect((await findings()).finding('marking')).toMatchObject({
      state: 'missing',
      advice: expect.stringContaining('signer.pem'),
    });
  });

  it('doctor prints one line per check, and an advice line where something is to be done.', async () => {
    const { exitCode, stdout } = await runCli('doctor');
    const { names, finding } = await findings();
    const advised = names.filter((name) => finding(name)?.advice !== '');
    expect(stdout.trimEnd().split('\n')).toHaveLength(names.length + advised.length);
    expect(stdout).toMatch(/^ok {8}ffmpeg +\d/m);
    expect(exitCode).toBe(0);
  });

  it('doctor reports the SyncNet model: what is missing without one, a wrong path, a damaged file and a usable one.', async () => {
    expect((await findings()).finding('syncnet')).toMatchObject({
      state: 'optional',
      detail: expect.stringMatching(/the sync score/),
    });
    const path = join(folder, 'syncnet.onnx');
    vi.stubEnv('SYNCNET_MODEL_PATH', path);
    const missing = await findings();
    expect(missing.finding('syncnet')).toMatchObject({
      state: 'missing',
      advice: expect.stringMatching(/SYNCNET_MODEL_PATH/),
    });
    expect(missing.exitCode).toBe(1);
    await writeFile(path, onnxBytes.subarray(0, 6));
    expect((await findings()).finding('syncnet')).toMatchObject({
      state: 'missing',
      detail: expect.stringMatching(/cut off/),
    });
    await writeFile(path, onnxBytes);
    expect((await findings()).finding('syncnet')).toMatchObject({
      state: 'ok',
      detail: `${path}; measures the sync score`,
    });
  });

  it('doctor tries a write in both folders and reports the one that fails with its remedy.', async () => {
    await writeFile(join(folder, 'outputs'), 'a file in its place');
    const { exitCode, finding } = await findings();
    expect(finding('data folder')).toMatchObject({ state: 'ok', detail: join(folder, 'data') });
    expect(finding('output folder')).toMatchObject({
      state: 'missing',
      advice: expect.stringMatching(/outputs" cannot be written: .*set LIPSYNC_OUTPUT_DIR to another folder/),
    });
    expect(exitCode).toBe(1);
  });

  it('doctor names a bucket that fails as the object store, and does not blame the data folder.', async () => {
    vi.stubEnv('LIPSYNC_ARTIFACT_STORE', 's3');
    vi.stubEnv('LIPSYNC_S3_BUCKET', 'clips');
    vi.stubEnv('LIPSYNC_S3_ENDPOINT', 'http://127.0.0.1:1');
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    const { finding, names, exitCode } = await findings();
    expect(finding('object store')).toMatchObject({
      state: 'missing',
      detail: 's3://clips/ cannot be used',
      advice: expect.stringContaining('LIPSYNC_S3_ENDPOINT'),
    });
    expect(names).not.toContain('data folder');
    expect(exitCode).toBe(1);
  });

  it('doctor reports missing tools with advice and exits with 1.', async () => {
    vi.stubEnv('PATH', folder);
    const { exitCode, finding } = await findings();
    expect(finding('ffmpeg')).toMatchObject({
      state: 'missing',
      advice: expect.stringContaining('apt-get install ffmpeg'),
    });
    expect(finding('ffprobe')?.state).toBe('missing');
    expect(exitCode).toBe(1);
  });

  it('doctor reports how the HeyGen endpoint is read, and never prints the key.', async () => {
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
      advice: expect.stringContaining('/v1, which is ignored'),
    });
    vi.stubEnv('HEYGEN_API_ENDPOINT', 'https://api.heygen.com/?key=hunter2');
    const { exitCode, finding } = await findings();
    expect(finding('heygen')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('must not contain ? or #'),
    });
    expect(JSON.stringify(finding('heygen'))).not.toContain('hunter2');
    expect(exitCode).toBe(1);
  });

  it('doctor reports whether the Wav2Lip model exists.', async () => {
    expect((await findings()).finding('wav2lip')).toMatchObject({
      state: 'optional',
      advice: expect.stringContaining('WAV2LIP_MODEL_PATH'),
    });
    const model = join(folder, 'wav2lip.onnx');
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    expect(await findings()).toMatchObject({ exitCode: 1 });
    await writeFile(model, onnxBytes);
    expect((await findings()).finding('wav2lip')).toMatchObject({
      state: 'ok',
      detail: expect.stringContaining(model),
    });
  });

  it.each([
    ['empty', 'wav2lip.onnx', Buffer.alloc(0), 'it is empty'],
    ['a web page', 'wav2lip.onnx', Buffer.from('<!doctype html><title>Sign in</title>'), 'not an ONNX model'],
    ['cut off', 'wav2lip.onnx', onnxBytes.subarray(0, -1), 'it is cut off: 15 of 16 bytes'],
    [
      'a web page',
      'wav2lip.pth',
      Buffer.from('<!doctype html><title>Sign in</title>'),
      'expected a PyTorch checkpoint',
    ],
  ])('doctor reports a model file that is %s, named %s.', async (_, name, bytes, said) => {
    const model = join(folder, name);
    await writeFile(model, bytes);
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    const { exitCode, finding } = await findings();
    expect(exitCode).toBe(1);
    expect(finding('wav2lip')).toMatchObject({ state: 'missing', detail: expect.stringContaining(said) });
  });

  it('doctor lists the devices for a model, without CUDA where it is not installed.', async () => {
    const model = join(folder, 'wav2lip.onnx');
    await writeFile(model, onnxBytes);
    vi.stubEnv('WAV2LIP_MODEL_PATH', model);
    const isInstalled = await hasCudaLibrary(runtimeLibraryFolder());
    expect((await findings()).finding('wav2lip')?.detail).toContain(
      isInstalled ? 'CUDA, else WebGPU, else CPU' : 'WebGPU, else CPU (CUDA is not installed; docs/gpus.md',
    );
    vi.stubEnv('LIPSYNC_GPU_ENABLED', 'false');
    expect((await findings()).finding('wav2lip')?.detail).toContain('CPU only');
  });

  it('doctor advises when the model is built for another device.', async () => {
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
    'Advice for a model with %s layers; GPUs allowed: %s, CUDA installed: %s.',
    (form, gpuEnabled, hasCuda, advice) => {
      expect(formAdvice({ form }, { gpuEnabled, hasCuda })).toMatch(advice);
    },
  );

  it('A missing Redis is optional.', async () => {
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

  it('doctor names an invalid setting.', async () => {
    vi.stubEnv('LIPSYNC_MAX_DURATION_S', 'long');
    const { exitCode, finding } = await findings();
    expect(finding('settings')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('LIPSYNC_MAX_DURATION_S'),
    });
    expect(exitCode).toBe(1);
  });

  it('doctor names a folder that is not writable.', async () => {
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
