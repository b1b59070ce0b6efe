import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeFaultModel, writeIdentityModel } from '../../src/testing/wav2lip-models.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { seededSyncNet } from '../../src/testing/syncnet-models.ts';
import { checkpointBytes, seededState, type State } from '../wav2lip/seeded-checkpoint.ts';
import { runCli } from './run-cli.ts';

const projectModels = join(dirname(dirname(dirname(dirname(import.meta.dirname)))), 'models');

let folder: string;
let checkpoint: string;
let model: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-models-'));
  checkpoint = join(folder, 'wav2lip_gan.pth');
  model = join(folder, 'models', 'gan.onnx');
  await writeFile(checkpoint, checkpointBytes(await seededState(16, 3), { format: 'legacy', prefix: 'module.' }));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

async function json(...args: readonly string[]) {
  const { exitCode, stdout } = await runCli('models', ...args, '--json');
  expect(stdout).toMatch(/^[^\n]+\n$/);
  return { exitCode, said: JSON.parse(stdout) };
}

describe('models import', () => {
  it('models import prints the license and the path of the model.', async () => {
    const { exitCode, stdout, stderr } = await runCli('models', 'import', checkpoint, '-o', model);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${model}\n` });
    expect(stderr).toMatch(/importing\n[^]*sha256 [\da-f]{64}\n[^]*verified {4}51 layers[^]*no commercial use/);
    expect((await stat(model)).size).toBeGreaterThan(100_000);
  });

  it('models import --json prints the result on one line.', async () => {
    const { exitCode, said } = await json('import', checkpoint, '-o', model, '--float16');
    expect(exitCode).toBe(0);
    expect(said).toMatchObject({
      status: 'imported',
      model_path: model,
      record_path: `${model}.json`,
      name: 'wav2lip_gan',
      licence: wav2lipKind.licence,
      checkpoint: { format: 'legacy', bytes: (await stat(checkpoint)).size },
      model: { element_type: 'float16', bytes: (await stat(model)).size },
    });
  });

  it.each([
    [[], 'float32', 'rewritten', 'float32, layers rewritten for a CPU'],
    [['--for', 'cpu'], 'float32', 'rewritten', 'float32, layers rewritten for a CPU'],
    [['--for', 'gpu'], 'float32', 'plain', 'float32, plain layers, for a GPU'],
    [['--float16'], 'float16', 'plain', 'float16, plain layers, for a GPU'],
    [['--for', 'gpu', '--precision', 'float16'], 'float16', 'plain', 'float16, plain layers, for a GPU'],
  ] as const)(
    'models import with %j writes %s layers that are %s, and every command shows it.',
    async (flags, elementType, form, words) => {
      const imported = await runCli('models', 'import', checkpoint, '-o', model, ...flags);
      expect(imported.stderr).toContain(`model       ${words}, `);
      expect(JSON.parse(await readFile(`${model}.json`, 'utf8')).model).toMatchObject({
        element_type: elementType,
        form,
      });
      expect(await json('verify', model)).toMatchObject({
        exitCode: 0,
        said: { state: 'ok', element_type: elementType, form },
      });
      expect((await runCli('models', 'verify', model)).stdout).toContain(`written     ${words}\n`);
      const folderFlags = ['--folder', join(folder, 'models')];
      expect((await json('list', ...folderFlags)).said.models).toMatchObject([
        { name: 'wav2lip_gan', element_type: elementType, form },
      ]);
      expect((await runCli('models', 'list', ...folderFlags)).stdout).toContain(` · ${words} · `);
    },
  );

  it('models import refuses half precision for a CPU, and an unknown device.', async () => {
    expect(await json('import', checkpoint, '-o', model, '--for', 'cpu', '--float16')).toMatchObject({
      exitCode: 2,
      said: { error: { code: 'request_invalid', message: expect.stringContaining('--for gpu') } },
    });
    expect((await runCli('models', 'import', checkpoint, '-o', model, '--for', 'tpu')).exitCode).toBe(2);
    await expect(stat(model)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    [['--precision', 'int8'], '--calibrate is required'],
    [['--precision', 'int8', '--calibrate', 'clip.mp4', '--for', 'gpu'], 'int8 is for a CPU'],
    [['--precision', 'int8', '--calibrate', 'clip.mp4', '--max-error', 'none'], '--max-error must be a number'],
    [['--precision', 'int8', '--calibrate', 'clip.mp4', '--max-error', ''], '--max-error must be a number'],
    [['--precision', 'int8', '--calibrate', 'clip.mp4', '--float16'], '--float16 contradicts'],
    [['--calibrate', 'clip.mp4'], '--calibrate requires --precision int8'],
  ])('models import refuses %j.', async (flags, problem) => {
    expect(await json('import', checkpoint, '-o', model, ...flags)).toMatchObject({
      exitCode: 2,
      said: { error: { code: 'request_invalid', message: expect.stringContaining(problem) } },
    });
  });

  it('models import replaces a file only with --overwrite.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    expect(await json('import', checkpoint, '-o', model)).toMatchObject({
      exitCode: 1,
      said: { status: 'failed', error: { code: 'output_exists' } },
    });
    expect((await runCli('models', 'import', checkpoint, '-o', model, '--overwrite')).exitCode).toBe(0);
  });

  it('models import describes a file that is no checkpoint.', async () => {
    await writeFile(checkpoint, '<!doctype html>');
    const { exitCode, stderr } = await runCli('models', 'import', checkpoint, '-o', model);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^model_invalid: .*doctype html/m);
  });
});

it('models import refuses an output name without .onnx.', async () => {
  const refused = await json('import', checkpoint, '-o', join(folder, 'model'));
  expect(refused).toMatchObject({
    exitCode: 2,
    said: { error: { code: 'request_invalid', message: expect.stringContaining('model.onnx') } },
  });
});

describe('models verify', () => {
  it('models verify accepts an imported model and runs it.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    const { exitCode, said } = await json('verify', model);
    expect(exitCode).toBe(0);
    expect(said).toMatchObject({
      state: 'ok',
      crop_size_px: 96,
      fixed_batch: null,
      output: 'predicted_frames',
      licence: wav2lipKind.licence,
    });
    expect(said.found_sha256).toBe(said.expected_sha256);
  });

  it('models verify detects a changed model without loading it.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    await writeFile(model, 'changed');
    const { exitCode, stdout } = await runCli('models', 'verify', model);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^changed .*expected sha256 [\da-f]{64}, found [\da-f]{64}/);
  });

  it('models verify runs a foreign export at its own crop and batch size, and reports that it has no record.', async () => {
    const path = join(folder, 'export.onnx');
    await writeIdentityModel(path, { cropSizePx: 256, fixedBatch: 4 });
    expect(await json('verify', path)).toMatchObject({
      exitCode: 0,
      said: { state: 'unrecorded', crop_size_px: 256, fixed_batch: 4, licence: null },
    });
  });

  it('models verify rejects a model with non-finite output, and a file that is no model.', async () => {
    await writeFaultModel(join(folder, 'fault.onnx'), { cropSizePx: 16, nanAboveMean: -5 });
    expect((await json('verify', join(folder, 'fault.onnx'))).said.error).toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('not finite'),
    });
    await writeFile(join(folder, 'text.onnx'), 'no model');
    expect((await json('verify', join(folder, 'text.onnx'))).said.error.code).toBe('model_invalid');
    expect((await json('verify', join(folder, 'nowhere.onnx'))).said.error.code).toBe('model_missing');
  });

  it('models verify refuses a checkpoint and explains that the import verifies it.', async () => {
    expect(await json('verify', checkpoint)).toMatchObject({
      exitCode: 2,
      said: { error: { code: 'request_invalid', message: expect.stringContaining('verified on import') } },
    });
  });

  it('models verify compares a bundled model with the manifest.', async () => {
    await mkdir(join(folder, 'models'));
    const manifest = JSON.parse(await readFile(join(projectModels, 'manifest.json'), 'utf8'));
    expect(await json('verify', 'facemesh', '--folder', projectModels)).toMatchObject({
      exitCode: 0,
      said: { name: 'facemesh', files: [{ state: 'ok' }, { state: 'ok' }] },
    });
    for (const { files } of manifest.models) files[0].sha256 = '0'.repeat(64);
    await writeFile(join(folder, 'models', 'manifest.json'), JSON.stringify(manifest));
    expect(await json('verify', 'facemesh', '--folder', join(folder, 'models'))).toMatchObject({
      exitCode: 1,
      said: { files: [{ state: 'changed' }, { state: 'ok' }] },
    });
  });
});

describe('models list', () => {
  it('models list shows bundled, imported, unrecorded and missing models with their licenses.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    await writeIdentityModel(join(folder, 'models', 'export.onnx'), { cropSizePx: 16 });
    await writeFile(join(folder, 'models', 'manifest.json'), await readFile(join(projectModels, 'manifest.json')));
    const { said } = await json('list', '--folder', join(folder, 'models'));
    const states = said.models.map(({ name, kind, state, licence }: Record<string, string>) => [
      name,
      kind,
      state,
      licence,
    ]);
    expect(states).toEqual([
      ['blazeface', 'bundled', 'ok', 'Apache-2.0'],
      ['facemesh', 'bundled', 'ok', 'Apache-2.0'],
      ['faceres', 'bundled', 'ok', 'Apache-2.0'],
      ['silero-vad-v5', 'bundled', 'ok', 'MIT'],
      ['mouth-model', 'bundled', 'ok', 'Apache-2.0'],
      ['export', 'imported', 'unrecorded', null],
      ['wav2lip_gan', 'imported', 'ok', wav2lipKind.licence],
      ['wav2lip', 'imported', 'missing', wav2lipKind.licence],
      ['syncnet', 'imported', 'missing', expect.any(String)],
      ['lr-asd', 'fetched', 'missing', expect.stringContaining('MIT')],
      ['dnsmos', 'fetched', 'missing', expect.stringContaining('CC BY 4.0')],
    ]);
  });

  it('models list --json prints the fields of each kind of model in a fixed order, with null for those it does not have.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    await writeFile(join(folder, 'models', 'manifest.json'), await readFile(join(projectModels, 'manifest.json')));
    vi.stubEnv('WAV2LIP_MODEL_PATH', join(folder, 'absent.onnx'));
    const { said } = await json('list', '--folder', join(folder, 'models'));
    const fields = (name: string) => {
      const listed: Record<string, unknown> = said.models.find((one: { name: string }) => one.name === name);
      return Object.entries(listed)
        .map(([field, value]) => (value === null ? `${field}: null` : field))
        .join(', ');
    };
    const notImported =
      'form: null, name, kind, role, licence, source, state, path: null, configured, element_type: null';
    expect(fields('blazeface')).toBe(notImported.replace('source', 'source: null'));
    expect(fields('wav2lip')).toBe(notImported);
    expect(fields('dnsmos')).toBe(notImported);
    expect(fields('wav2lip_gan')).toBe(
      'name, kind, role, licence, source, form, state, path, configured, element_type',
    );
    expect(fields('absent')).toBe(
      'name, kind, role: null, licence: null, source: null, form: null, state, path, configured, element_type: null',
    );
  });

  it('models list rejects a folder that cannot be read instead of listing no models.', async () => {
    const { exitCode, said } = await json('list', '--folder', checkpoint);
    expect(exitCode).toBe(1);
    expect(said.error).toMatchObject({ code: 'request_invalid', message: expect.stringContaining('ENOTDIR') });
  });

  it('models list shows neither license nor form for a file that differs from its record.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    await writeFile(model, 'changed');
    const { said } = await json('list', '--folder', join(folder, 'models'));
    expect(said.models).toMatchObject([
      { name: 'wav2lip_gan', state: 'changed', licence: null, element_type: null, form: null },
    ]);
  });

  it('models list shows the configured model in any folder, not as missing.', async () => {
    await mkdir(join(folder, 'models'));
    await writeFile(join(folder, 'models', 'manifest.json'), await readFile(join(projectModels, 'manifest.json')));
    vi.stubEnv('WAV2LIP_MODEL_PATH', checkpoint);
    const { said } = await json('list', '--folder', join(folder, 'models'));
    expect(said.models.filter(({ name }: Record<string, string>) => name?.startsWith('wav2lip'))).toMatchObject([
      { name: 'wav2lip_gan', state: 'unrecorded', path: checkpoint, configured: true },
      { name: 'wav2lip', state: 'missing', path: null, configured: false },
    ]);
    vi.stubEnv('WAV2LIP_MODEL_PATH', join(folder, 'nowhere.onnx'));
    const { stdout } = await runCli('models', 'list', '--folder', join(folder, 'models'));
    expect(stdout).toMatch(/^missing +nowhere +imported .*nowhere\.onnx · WAV2LIP_MODEL_PATH$/m);
    expect(stdout).toContain(`not in ${join(folder, 'models')}; fetch it from`);
  });

  it('models list explains how to get a missing model, from the manifest.', async () => {
    const { stdout } = await runCli('models', 'list', '--folder', projectModels);
    const { importable } = JSON.parse(await readFile(join(projectModels, 'manifest.json'), 'utf8'));
    expect(importable.slice(0, 2).map(({ source, licence }: Record<string, string>) => [source, licence])).toEqual([
      [wav2lipKind.source, wav2lipKind.licence],
      [wav2lipKind.source, wav2lipKind.licence],
    ]);
    expect(stdout).toContain(wav2lipKind.licence);
  });

  it('SyncNet is imported, listed and verified as what its tensors show it to be.', async () => {
    const syncNet = seededSyncNet({ widthDivisor: 16, seed: 1 });
    const state: State = new Map();
    for (const [name, dims] of syncNet.shapes) state.set(name, { dims, values: await syncNet.read(name) });
    const path = join(folder, 'syncnet_v2.model');
    await writeFile(path, checkpointBytes(state, { format: 'zip' }));
    const output = join(folder, 'models', 'syncnet.onnx');
    expect((await json('import', path, '-o', output)).said).toMatchObject({
      network: 'syncnet',
      model: { form: null },
    });
    await writeFile(join(folder, 'models', 'manifest.json'), await readFile(join(projectModels, 'manifest.json')));
    vi.stubEnv('SYNCNET_MODEL_PATH', output);
    const { said } = await json('list', '--folder', join(folder, 'models'));
    expect(said.models.filter(({ name }: Record<string, string>) => name?.startsWith('syncnet'))).toMatchObject([
      { name: 'syncnet_v2', kind: 'imported', state: 'ok', form: null, configured: true },
    ]);
    expect(await json('verify', output)).toMatchObject({
      exitCode: 0,
      said: { state: 'ok', embedding_length: 1024, licence: expect.stringContaining('MIT') },
    });
  });

  it('models list escapes control characters of a record.', async () => {
    await runCli('models', 'import', checkpoint, '-o', model);
    const record = JSON.parse(await readFile(`${model}.json`, 'utf8'));
    await writeFile(`${model}.json`, JSON.stringify({ ...record, name: 'gan\u001b[2J', licence: 'free\u009b31m\nok' }));
    const { stdout } = await runCli('models', 'list', '--folder', join(folder, 'models'));
    expect(stdout).toContain(String.raw`gan\u001b[2J`);
    expect(stdout).toContain(String.raw`license: free\u009b31m\u000aok`);
    expect(stdout).not.toMatch(/[^\P{C}\n]/u);
  });

  it('models list shows nothing for an empty folder.', async () => {
    expect(await json('list', '--folder', join(folder, 'nowhere'))).toEqual({ exitCode: 0, said: { models: [] } });
  });
});
