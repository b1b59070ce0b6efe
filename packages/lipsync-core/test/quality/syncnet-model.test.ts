import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importModel, type ImportReport } from '../../src/inference/models/import-model.ts';
import { readModelRecord } from '../../src/inference/models/model-record.ts';
import { resolveModel } from '../../src/inference/models/resolve-model.ts';
import { tryModelApart } from '../../src/inference/models/try-model-apart.ts';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { encodeOnnxAddition } from '../../src/inference/onnx-writer.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { syncNetKind } from '../../src/quality/syncnet/network-kind.ts';
import { testInputs } from '../../src/quality/syncnet/try-model.ts';
import { seededSyncNet, writeSeededSyncNet } from '../../src/testing/syncnet-models.ts';
import { checkpointBytes, seededState, type State } from '../wav2lip/seeded-checkpoint.ts';

const vectorsDir = process.env['LIPSYNC_TEST_VECTORS_DIR'] ?? '';
const kinds = [wav2lipKind, syncNetKind];
const { signal } = new AbortController();
const seeded = { widthDivisor: 16, seed: 5 } as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-syncnet-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function seededSyncNetState(): Promise<State> {
  const source = seededSyncNet(seeded);
  const state: State = new Map();
  for (const [name, dims] of source.shapes) state.set(name, { dims, values: await source.read(name) });
  return state;
}

async function importState(state: State, name: string): Promise<ImportReport> {
  const checkpointPath = join(folder, 'syncnet_v2.model');
  await writeFile(checkpointPath, checkpointBytes(state, { format: 'zip' }));
  return importModel({ checkpointPath, outputPath: join(folder, name), signal }, kinds);
}

/** The sum of a three-dimensional convolution of (3, 5, 224, 224) with stride (1, 2, 2), before batch normalization. */
function convolve3d(
  { weight, bias, frames }: Readonly<Record<'weight' | 'bias' | 'frames', Float32Array>>,
  { channel, row, column }: Readonly<Record<'channel' | 'row' | 'column', number>>,
): number {
  let sum = bias[channel] ?? 0;
  for (let color = 0; color < 3; color += 1)
    for (let time = 0; time < 5; time += 1)
      for (let tap = 0; tap < 49; tap += 1) {
        const [y, x] = [row * 2 + Math.floor(tap / 7), column * 2 + (tap % 7)];
        const pixel = frames[((color * 5 + time) * 224 + y) * 224 + x] ?? 0;
        sum += pixel * (weight[((channel * 3 + color) * 5 + time) * 49 + tap] ?? 0);
      }
  return sum;
}

describe('SyncNet model', () => {
  it('A SyncNet checkpoint is recognized among the networks, imported, recorded and tried.', async () => {
    const { modelPath, record } = await importState(await seededSyncNetState(), 'recognized.onnx');
    expect(record).toMatchObject({
      network: 'syncnet',
      licence: expect.stringContaining('MIT'),
      model: { element_type: 'float32', form: null },
      verification: { layers: 16 },
    });
    expect(record.verification.largest_error).toBeLessThan(1e-6);
    expect(await readModelRecord(modelPath)).toEqual(record);
    await writeSeededSyncNet(join(folder, 'seeded.onnx'), seeded);
    expect((await readFile(modelPath)).includes('MIT for the code')).toBe(true);
    expect(await tryModelApart(modelPath, { kinds, signal, limitMs: 60_000 })).toMatchObject({
      facts: { embedding_length: 1024 },
    });
  });

  it('A checkpoint of another network in the setting is refused by name, and one of none lists what is missing.', async () => {
    const path = join(folder, 'wav2lip.pth');
    await writeFile(path, checkpointBytes(await seededState(16, 1), { format: 'zip' }));
    await expect(
      resolveModel({ kind: syncNetKind, path, cacheFolder: join(folder, 'cache'), signal }),
    ).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/not SyncNet: it contains the Wav2Lip generator .* Use syncnet_v2\.model/),
    });
    const state = await seededSyncNetState();
    state.delete('netfclip.3.bias');
    await expect(importState(state, 'missing.onnx')).rejects.toMatchObject({
      message: expect.stringContaining('"netfclip.3.bias" is missing'),
    });
    const unknown: State = new Map([['fc.weight', { dims: [1], values: Float32Array.of(1) }]]);
    await expect(importState(unknown, 'unknown.onnx')).rejects.toMatchObject({
      message: expect.stringMatching(/none of these: a Wav2Lip generator, SyncNet: it contains "fc\.weight"/),
    });
  });

  it('SyncNet has one form, so options for a GPU and eight bits are refused.', async () => {
    const checkpointPath = join(folder, 'form.model');
    await writeFile(checkpointPath, checkpointBytes(await seededSyncNetState(), { format: 'legacy' }));
    const request = { checkpointPath, outputPath: join(folder, 'form.onnx'), float16: true, signal };
    await expect(importModel(request, kinds)).rejects.toMatchObject({ code: 'not_supported' });
    const limits = { maxDurationMs: 1_000, maxDimensionPx: 1_000 };
    const calibration = { clipPath: join(folder, 'clip.mp4'), speechPath: null, maxError: 1, limits };
    await expect(importModel({ ...request, float16: false, calibration }, kinds)).rejects.toMatchObject({
      code: 'not_supported',
      message: expect.stringContaining('no eight-bit form'),
    });
  });

  it('The first layer equals the three-dimensional convolution that it replaces.', async () => {
    const path = join(folder, 'first.onnx');
    await writeSeededSyncNet(path, seeded);
    const probe = { operator: 'Identity', inputs: ['netcnnlip.0'], output: 'first' };
    const model = Buffer.concat([await readFile(path), encodeOnnxAddition([probe], [{ name: 'first' }])]);
    const session = await loadSession(model, { threads: 1 });
    const inputs = testInputs();
    const { first } = await session.run(inputs);
    await session.release();
    const read = (name: string): Promise<Float32Array> => seededSyncNet(seeded).read(`netcnnlip.${name}`);
    const [weight, bias] = [await read('0.weight'), await read('0.bias')];
    const [scale, shift, mean, variance] = await Promise.all(
      ['1.weight', '1.bias', '1.running_mean', '1.running_var'].map(read),
    );
    const frames = Float32Array.from(inputs['frames']?.data ?? [], Number);
    for (let sample = 0; sample < 60; sample += 1) {
      const index = { channel: sample % 6, row: (sample * 37) % 109, column: (sample * 61) % 109 };
      const { channel } = index;
      const deviation = Math.sqrt((variance?.[channel] ?? 0) + 1e-5);
      const sum = convolve3d({ weight, bias, frames }, index);
      const expected = ((sum - (mean?.[channel] ?? 0)) / deviation) * (scale?.[channel] ?? 0) + (shift?.[channel] ?? 0);
      const found = Number(first?.data[(channel * 109 + index.row) * 109 + index.column]);
      expect(Math.abs(found - Math.max(0, expected))).toBeLessThan(1e-4);
    }
  });
});

describe.skipIf(vectorsDir === '')('SyncNet checkpoint written by PyTorch (needs LIPSYNC_TEST_VECTORS_DIR)', () => {
  async function readVector(name: string): Promise<Float32Array> {
    const bytes = await readFile(join(vectorsDir, 'syncnet', name));
    return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
  }

  it('Both embeddings of the imported model match PyTorch within 1e-3.', async () => {
    const { modelPath } = await importModel(
      {
        checkpointPath: join(vectorsDir, 'syncnet', 'syncnet_v2.model'),
        outputPath: join(folder, 'full.onnx'),
        signal,
      },
      kinds,
    );
    const session = await loadSession(modelPath, { threads: 2 });
    const outputs = await session.run({
      frames: { type: 'float32', data: await readVector('frames.f32'), dims: [1, 15, 224, 224] },
      mfcc: { type: 'float32', data: await readVector('mfcc.f32'), dims: [1, 1, 13, 20] },
    });
    await session.release();
    for (const name of ['lip_embedding', 'audio_embedding']) {
      const expected = await readVector(`${name}.f32`);
      const found = Array.from(outputs[name]?.data ?? [], Number);
      expect(found).toHaveLength(expected.length);
      const largest = Math.max(...found.map((value, index) => Math.abs(value - (expected[index] ?? Number.NaN))));
      expect(largest).toBeLessThan(1e-3);
    }
  }, 120_000);
});
