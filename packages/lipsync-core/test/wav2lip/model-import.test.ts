import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { thisProcess } from '../../src/processes/process-owner.ts';
import { processFolderName } from '../../src/processes/workspace.ts';
import { importModel, type ImportReport, type ModelImport } from '../../src/inference/models/import-model.ts';
import { readModelRecord } from '../../src/inference/models/model-record.ts';
import { wav2lipNetwork } from '../../src/providers/wav2lip/model/network.ts';
import { resolveModel, type ModelReference } from '../../src/inference/models/resolve-model.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { startRowInputName, startRowTensor } from '../../src/providers/wav2lip/model/start-rows.ts';
import { verifyImport } from '../../src/providers/wav2lip/model/verify-import.ts';
import { seededTensors, writeSeededWav2Lip } from '../../src/testing/wav2lip-models.ts';
import { checkpointBytes, seededState, type State } from './seeded-checkpoint.ts';

const { signal } = new AbortController();
const widthDivisor = 16;
const seed = 7;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-import-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function writeCheckpoint(name: string, bytes: Uint8Array): Promise<string> {
  await writeFile(join(folder, name), bytes);
  return join(folder, name);
}

function importWav2Lip(request: ModelImport): Promise<ImportReport> {
  return importModel(request, [wav2lipKind]);
}

function resolveWav2LipModel(reference: Omit<ModelReference, 'kind'>): Promise<string> {
  return resolveModel({ ...reference, kind: wav2lipKind });
}

async function importState(state: State, options: Partial<ModelImport> = {}): Promise<ImportReport> {
  const checkpointPath = await writeCheckpoint('wav2lip.pth', checkpointBytes(state, { format: 'zip' }));
  return importWav2Lip({ checkpointPath, outputPath: join(folder, 'models', 'model.onnx'), signal, ...options });
}

/** Runs the model on two mel chunks and face crops. */
async function runModel(path: string): Promise<Float32Array> {
  const session = await loadSession(path, { threads: 1 });
  const wave = (length: number, low: number, high: number): Float32Array =>
    Float32Array.from({ length }, (_, index) => low + (high - low) * (0.5 + 0.5 * Math.sin(index * 0.71)));
  const { predicted_frames: frames } = await session.run({
    mel_spectrogram: { type: 'float32', data: wave(2 * 1280, -4, 4), dims: [2, 1, 80, 16] },
    video_frames: { type: 'float32', data: wave(2 * 6 * 96 * 96, 0, 1), dims: [2, 6, 96, 96] },
    ...(session.inputNames.includes(startRowInputName) ? { [startRowInputName]: startRowTensor(0) } : {}),
  });
  await session.release();
  return Float32Array.from(frames?.data ?? [], Number);
}

function largestDifference(left: Float32Array, right: Float32Array): number {
  expect(left).toHaveLength(right.length);
  return left.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (right[index] ?? Number.NaN))), 0);
}

describe('Import of a checkpoint', () => {
  it('The same weights yield the same model bytes for any checkpoint format and name prefix.', async () => {
    const state = await seededState(widthDivisor, seed);
    const digests: string[] = [];
    for (const [format, prefix] of [
      ['legacy', 'module.'],
      ['zip', ''],
      ['legacy', ''],
    ] as const) {
      const checkpointPath = await writeCheckpoint('wav2lip_gan.pth', checkpointBytes(state, { format, prefix }));
      const { record } = await importWav2Lip({
        checkpointPath,
        outputPath: join(folder, 'model.onnx'),
        overwrite: true,
        signal,
      });
      expect(record).toMatchObject({
        name: 'wav2lip_gan',
        checkpoint: { format },
        model: { element_type: 'float32' },
        verification: { layers: 51 },
      });
      digests.push(record.model.sha256);
    }
    expect(new Set(digests).size).toBe(1);
  });

  it('The imported model computes the same as the graph of the weights, and depends on its inputs.', async () => {
    const { modelPath } = await importState(await seededState(widthDivisor, seed));
    await writeSeededWav2Lip(join(folder, 'seeded.onnx'), { widthDivisor, seed });
    const output = await runModel(modelPath);
    expect(largestDifference(output, await runModel(join(folder, 'seeded.onnx')))).toBe(0);
    expect(output.every((value) => value > 0 && value < 1)).toBe(true);
    expect(
      largestDifference(output.subarray(0, output.length / 2), output.subarray(output.length / 2)),
    ).toBeGreaterThan(0.01);
  });

  it('The record next to the model contains license, source and digests.', async () => {
    const { modelPath, recordPath, record } = await importState(await seededState(widthDivisor, seed));
    expect(await readModelRecord(modelPath)).toEqual(record);
    expect(JSON.parse(await readFile(recordPath, 'utf8'))).toEqual(record);
    expect(record.licence).toMatch(/no commercial use/);
    expect(record.model.bytes).toBe((await stat(modelPath)).size);
    expect((await readdir(join(folder, 'models'))).toSorted()).toEqual(['model.onnx', 'model.onnx.json']);
    expect((await readFile(modelPath)).includes(record.licence)).toBe(true);
  });

  it('The float16 variant has float32 inputs and outputs and a nearly equal result.', async () => {
    const state = await seededState(widthDivisor, seed);
    const { modelPath, record } = await importState(state);
    const half = await importState(state, { float16: true, outputPath: join(folder, 'half.onnx') });
    expect(half.record.model.element_type).toBe('float16');
    expect(half.record.model.bytes).toBeLessThan(0.55 * record.model.bytes);
    const difference = largestDifference(await runModel(modelPath), await runModel(half.modelPath));
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.01);
  });

  it('The plain variant computes the same up to rounding.', async () => {
    const state = await seededState(widthDivisor, seed);
    const { modelPath, record } = await importState(state);
    const plain = await importState(state, { plain: true, outputPath: join(folder, 'plain.onnx') });
    expect(plain.record.model.sha256).not.toBe(record.model.sha256);
    expect(largestDifference(await runModel(modelPath), await runModel(plain.modelPath))).toBeLessThan(1e-5);
  });

  it('Temporary folders of killed imports are removed, those of running imports are kept.', async () => {
    const self = await thisProcess();
    const [dead, alive] = [processFolderName({ ...self, pid: 2 ** 22 + 1 }), processFolderName(self)];
    for (const name of [dead, alive]) {
      await mkdir(join(folder, 'models', name), { recursive: true });
      await writeFile(join(folder, 'models', name, 'model.onnx'), 'half a model');
    }
    await importState(await seededState(widthDivisor, seed));
    expect((await readdir(join(folder, 'models'))).toSorted()).toEqual(
      ['model.onnx', 'model.onnx.json', alive].toSorted(),
    );
  });

  it('No model is published when its record cannot be written.', async () => {
    await mkdir(join(folder, 'models', 'model.onnx.json'), { recursive: true });
    await expect(importState(await seededState(widthDivisor, seed))).rejects.toMatchObject({ code: 'request_invalid' });
    expect(await readdir(join(folder, 'models'))).toEqual(['model.onnx.json']);
  });

  it('Progress is monotonic and ends at 1.', async () => {
    const progress: number[] = [];
    await importState(await seededState(widthDivisor, seed), { onProgress: (done) => progress.push(done) });
    expect(progress).toEqual(progress.toSorted((left, right) => left - right));
    expect(progress.at(-1)).toBe(1);
  });
});

describe('Rejected import', () => {
  const changes: Readonly<Record<string, { readonly change: (state: State) => void; readonly message: RegExp }>> = {
    'a missing tensor': {
      change: (state) => state.delete('output_block.1.bias'),
      message: /"output_block\.1\.bias" is missing/,
    },
    'an unexpected tensor': {
      change: (state) => state.set('extra.weight', { dims: [1], values: Float32Array.of(1) }),
      message: /"extra\.weight" is unexpected/,
    },
    'a misshapen tensor': {
      change: (state) => state.set('output_block.1.weight', { dims: [4, 2, 1, 1], values: new Float32Array(8) }),
      message: /"output_block\.1\.weight" is 4 × 2 × 1 × 1 instead of 3 × 2 × 1 × 1/,
    },
    'a NaN weight': {
      change: (state) => state.get('face_encoder_blocks.3.1.conv_block.0.weight')?.values.fill(Number.NaN, 3, 4),
      message: /"face_encoder_blocks\.3\.1\.conv_block\.0\.weight" of the checkpoint contains the invalid value NaN/,
    },
    'a negative variance': {
      change: (state) => state.get('audio_encoder.2.conv_block.1.running_var')?.values.fill(-1, 0, 1),
      message: /running_var" of the checkpoint contains the invalid value -1/,
    },
    'the weights of the lip-sync expert': {
      change: (state) => state.set('face_encoder.0.conv_block.0.weight', { dims: [1], values: Float32Array.of(1) }),
      message: /lipsync_expert\.pth/,
    },
    'the weights of the quality discriminator': {
      change: (state) => state.set('binary_pred.0.weight', { dims: [1], values: Float32Array.of(1) }),
      message: /visual_quality_disc\.pth/,
    },
    'the weights of SyncNet': {
      change: (state) => state.set('netcnnlip.0.weight', { dims: [1], values: Float32Array.of(1) }),
      message: /syncnet_v2\.model/,
    },
    'only tensors of an unknown model': {
      change: (state) => {
        state.clear();
        state.set('fc.weight', { dims: [1], values: Float32Array.of(1) });
      },
      message: /"audio_encoder\.0\.conv_block\.0\.weight", .* and 299 more are missing; "fc\.weight" is unexpected/,
    },
  };

  it.each(Object.entries(changes))(
    'A checkpoint with %s is rejected by name and no file remains.',
    async (_, { change, message }) => {
      const state = await seededState(widthDivisor, seed);
      change(state);
      await expect(importState(state)).rejects.toMatchObject({
        code: 'model_invalid',
        message: expect.stringMatching(message),
      });
      expect(await readdir(join(folder, 'models'))).toEqual([]);
    },
  );

  it('A missing checkpoint throws model_missing.', async () => {
    const request = { checkpointPath: join(folder, 'nowhere.pth'), outputPath: join(folder, 'model.onnx'), signal };
    await expect(importWav2Lip(request)).rejects.toMatchObject({
      code: 'model_missing',
      message: expect.stringContaining('The checkpoint is missing.'),
    });
  });

  it('A pipe, a device or a folder is rejected immediately, without reading it.', async () => {
    const pipe = join(folder, 'pipe.pth');
    await promisify(execFile)('mkfifo', [pipe]);
    for (const [path, reason] of [
      [pipe, 'is not a regular file'],
      ['/dev/zero', 'is not a regular file'],
      [folder, 'is a folder'],
    ] as const) {
      const refusal = { code: 'model_missing', message: expect.stringContaining(reason) };
      await expect(
        importWav2Lip({ checkpointPath: path, outputPath: join(folder, 'models', 'model.onnx'), signal }),
      ).rejects.toMatchObject(refusal);
      await expect(resolveWav2LipModel({ path, cacheFolder: join(folder, 'cache'), signal })).rejects.toMatchObject(
        refusal,
      );
    }
  });

  it('An existing output is kept unless overwriting is allowed.', async () => {
    const state = await seededState(widthDivisor, seed);
    const outputPath = join(folder, 'model.onnx');
    await writeFile(outputPath, 'something else');
    await expect(importState(state, { outputPath })).rejects.toMatchObject({ code: 'output_exists' });
    expect(await readFile(outputPath, 'utf8')).toBe('something else');
    await importState(state, { outputPath, overwrite: true });
    expect((await stat(outputPath)).size).toBeGreaterThan(100_000);
  });

  it('A foreign file at the path of the record is kept unless overwriting is allowed.', async () => {
    const state = await seededState(widthDivisor, seed);
    const [outputPath, recordPath] = [join(folder, 'model.onnx'), join(folder, 'model.onnx.json')];
    await writeFile(recordPath, '{"notes":"unrelated"}');
    await expect(importState(state, { outputPath })).rejects.toMatchObject({
      code: 'output_exists',
      message: expect.stringContaining(recordPath),
    });
    expect(await readFile(recordPath, 'utf8')).toBe('{"notes":"unrelated"}');
    await expect(stat(outputPath)).rejects.toMatchObject({ code: 'ENOENT' });
    const { record } = await importState(state, { outputPath, overwrite: true });
    expect(await readModelRecord(outputPath)).toEqual(record);
  });

  it('A foreign file that appears at the path of the record during the import is kept.', async () => {
    const recordPath = join(folder, 'models', 'model.onnx.json');
    const importing = importState(await seededState(widthDivisor, seed), {
      onProgress: () => writeFileSync(recordPath, 'mine'),
    });
    await expect(importing).rejects.toMatchObject({ code: 'output_exists' });
    expect(await readdir(join(folder, 'models'))).toEqual(['model.onnx.json']);
    expect(await readFile(recordPath, 'utf8')).toBe('mine');
  });

  it('A leftover record without a model is replaced.', async () => {
    const state = await seededState(widthDivisor, seed);
    const { modelPath, record } = await importState(state);
    await rm(modelPath);
    expect((await importState(state)).record.model).toEqual(record.model);
  });

  it('An invalid output path and the checkpoint itself throw request_invalid.', async () => {
    const state = await seededState(widthDivisor, seed);
    await mkdir(join(folder, 'folder'));
    for (const name of ['folder', 'wav2lip.pth', 'wav2lip.pth/model.onnx', 'nul\0.onnx']) {
      await expect(importState(state, { outputPath: join(folder, name), overwrite: true })).rejects.toMatchObject({
        code: 'request_invalid',
      });
    }
  });

  it('An aborted import throws the abort error and no file remains.', async () => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    await expect(
      importState(await seededState(widthDivisor, seed), { signal: controller.signal, onProgress }),
    ).rejects.toMatchObject({ code: 'canceled' });
    expect(await readdir(join(folder, 'models'))).toEqual([]);
  });
});

describe('Verification of a written model', () => {
  const changes = [
    'audio_encoder.3.conv_block.0.weight',
    'face_encoder_blocks.2.3.conv_block.1.running_mean',
    'face_decoder_blocks.1.0.conv_block.0.weight',
    'face_decoder_blocks.2.2.conv_block.0.weight',
    'face_decoder_blocks.4.0.conv_block.0.weight',
    'face_decoder_blocks.5.1.conv_block.1.bias',
    'face_decoder_blocks.6.0.conv_block.1.weight',
    'output_block.1.bias',
  ];
  it.each(changes.flatMap((changed) => (['plain', 'rewritten'] as const).map((form) => ({ changed, form }))))(
    'A deviation of $changed is detected ($form).',
    async ({ changed, form }) => {
      const network = wav2lipNetwork(widthDivisor);
      const path = join(folder, 'model.onnx');
      const { sizeBytes } = await writeSeededWav2Lip(path, { widthDivisor, seed, plain: form === 'plain' });
      const content = await readFile(path);
      const source = seededTensors(network, seed);
      const other = {
        read: async (name: string) =>
          (await source.read(name)).map((value) => (name === changed ? value * 1.01 + 0.001 : value)),
      };
      const model = { path, sizeBytes, network, kind: { elementType: 'float32', form } } as const;
      const layer = changed.replace(/\.(conv_block|bias).*/, '');
      await expect(verifyImport(model, other, signal)).rejects.toMatchObject({
        code: 'model_invalid',
        message: expect.stringContaining(`${layer} outputs`),
      });
      expect(await verifyImport(model, source, signal)).toMatchObject({ layers: 51 });
      expect((await readFile(path)).equals(content)).toBe(true);
    },
  );
});

describe('Model resolution', () => {
  it('An ONNX file is used directly, and a checkpoint is imported once.', async () => {
    const cacheFolder = join(folder, 'cache');
    const checkpointPath = await writeCheckpoint(
      'wav2lip.pt',
      checkpointBytes(await seededState(widthDivisor, seed), { format: 'legacy' }),
    );
    const [first, second] = await Promise.all(
      [1, 2].map(() => resolveWav2LipModel({ path: checkpointPath, cacheFolder, signal })),
    );
    expect(first).toBe(second);
    const { mtimeMs } = await stat(first ?? '');
    expect(await resolveWav2LipModel({ path: checkpointPath, cacheFolder, signal })).toBe(first);
    expect((await stat(first ?? '')).mtimeMs).toBe(mtimeMs);
    expect(await resolveWav2LipModel({ path: first ?? '', cacheFolder, signal })).toBe(first);
    expect(await resolveWav2LipModel({ path: checkpointPath, cacheFolder, plain: true, signal })).not.toBe(first);
    expect(await readdir(cacheFolder)).toHaveLength(4);
  });

  it('A truncated model and a model of another importer version are imported again.', async () => {
    const cacheFolder = join(folder, 'cache');
    const path = await writeCheckpoint(
      'wav2lip.pth',
      checkpointBytes(await seededState(widthDivisor, seed), { format: 'zip' }),
    );
    const model = await resolveWav2LipModel({ path, cacheFolder, signal });
    const content = await readFile(model);
    await truncate(model, 1000);
    expect(await readFile(await resolveWav2LipModel({ path, cacheFolder, signal }))).toEqual(content);
    await writeFile(`${model}.json`, JSON.stringify({ ...(await readModelRecord(model)), importer_version: 0 }));
    await resolveWav2LipModel({ path, cacheFolder, signal });
    expect((await readModelRecord(model))?.importer_version).toBeGreaterThan(0);
  });

  it('An unwritable model cache throws model_missing without the path.', async () => {
    const path = await writeCheckpoint(
      'wav2lip.pth',
      checkpointBytes(await seededState(widthDivisor, seed), { format: 'zip' }),
    );
    const refused = resolveWav2LipModel({ path, cacheFolder: join(path, 'cache'), signal });
    await expect(refused).rejects.toMatchObject({
      code: 'model_missing',
      message: expect.stringContaining('LIPSYNC_DATA_DIR'),
    });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining(folder) });
  });

  it('A file that is neither model nor checkpoint is rejected with its first bytes.', async () => {
    const path = await writeCheckpoint('wav2lip.pth', Buffer.from('version https://git-lfs.github.com/spec/v1\n'));
    await expect(resolveWav2LipModel({ path, cacheFolder: folder, signal })).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('git-lfs'),
    });
  });
});
