import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/inference/checkpoints/checkpoint.ts';
import { importModel } from '../../src/inference/models/import-model.ts';
import { tryModelApart } from '../../src/inference/models/try-model-apart.ts';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { encodeOnnxModel } from '../../src/inference/onnx-writer.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { speakerGraph, speakerTensors } from '../../src/quality/speaker/speaker-graph.ts';
import { speakerKind } from '../../src/quality/speaker/speaker-kind.ts';
import { verifySpeaker } from '../../src/quality/speaker/verify-speaker.ts';
import { checkpointBytes } from '../wav2lip/seeded-checkpoint.ts';
import { seededSpeakerState } from './speaker-fixture.ts';

const { signal } = new AbortController();
const kinds = [wav2lipKind, speakerKind];
const [vectors, models] = [process.env['LIPSYNC_TEST_VECTORS_DIR'], process.env['LIPSYNC_TEST_MODELS_DIR']];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-speaker-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function importSeeded(format: 'legacy' | 'zip') {
  const checkpointPath = join(folder, `lr-asd-${format}.model`);
  await writeFile(checkpointPath, checkpointBytes(seededSpeakerState(7), { format }));
  return importModel({ checkpointPath, outputPath: join(folder, `${format}.onnx`), signal }, kinds);
}

describe('LR-ASD import', () => {
  it('A checkpoint is recognized by its tensors, verified layer by layer, and both formats give the same bytes.', async () => {
    const [zip, legacy] = [await importSeeded('zip'), await importSeeded('legacy')];
    expect(zip.record).toMatchObject({ network: 'lr-asd', verification: { layers: 29 }, model: { form: null } });
    expect(zip.record.verification.largest_error).toBeLessThan(1e-5);
    expect(await readFile(zip.modelPath)).toEqual(await readFile(legacy.modelPath));
    expect(await tryModelApart(zip.modelPath, { kinds, signal, limitMs: 60_000 })).toMatchObject({
      facts: { crop_size_px: 112 },
    });
  });

  it('An import in a form for a GPU is refused, because the network has one form.', async () => {
    const checkpointPath = join(folder, 'speaker.model');
    await writeFile(checkpointPath, checkpointBytes(seededSpeakerState(7), { format: 'zip' }));
    const outputPath = join(folder, 'speaker.onnx');
    await expect(importModel({ checkpointPath, outputPath, plain: true, signal }, kinds)).rejects.toMatchObject({
      code: 'not_supported',
    });
  });

  it.each([
    ['a convolution', 'model.visualEncoder.block2.t_1.weight'],
    ['a recurrent unit', 'model.detector.gru_backward.weight_hh_l0'],
    ['a gate', 'model.fusion.bn.running_mean'],
    ['the classifier', 'lossAV.FC.bias'],
    ['the classifier of the picture', 'lossV.FC.weight'],
  ])('A written model that differs in %s is found.', async (_layer, tensor) => {
    const state = seededSpeakerState(7);
    const read = (altered: string | null) => ({
      read: async (name: string) => {
        const values = Float32Array.from(state.get(name)?.values ?? []);
        return name === altered ? values.map((value) => value + 0.05) : values;
      },
    });
    const path = join(folder, 'altered.onnx');
    const bytes = encodeOnnxModel(await speakerGraph(read(tensor)));
    await writeFile(path, bytes);
    await expect(verifySpeaker({ path, sizeBytes: bytes.length }, read(null), signal)).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('deviates from its checkpoint'),
    });
  });
});

describe.skipIf(vectors === undefined || models === undefined)(
  'LR-ASD against the reference (needs LIPSYNC_TEST_VECTORS_DIR and LIPSYNC_TEST_MODELS_DIR)',
  () => {
    const read = (name: string) => readFile(join(vectors ?? '', 'lr-asd', name));
    const floats = async (name: string): Promise<Float32Array> => {
      const bytes = await read(name);
      return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
    };

    it('Embeddings, gates and scores with the published weights are within 1e-5 of the reference.', async () => {
      const checkpoint = await openCheckpoint(join(models ?? '', 'lr-asd-pretrain-ava.model'), { signal });
      const graph = await speakerGraph(checkpoint);
      await checkpoint.close();
      const references = {
        [speakerTensors.audioEmbedding]: 'audio_embedding.f32',
        [speakerTensors.visualEmbedding]: 'visual_embedding.f32',
        'model.fusion': 'fused.f32',
        'model.detector.attention': 'detector.f32',
        logits: 'logits.f32',
        'model.audioEncoder.block1.t_2': 'audio_block1.f32',
        scores: 'score.f32',
      };
      const outputs = Object.keys(references).map((name) => ({ name }));
      const session = await loadSession(encodeOnnxModel({ ...graph, outputs }), { threads: 1 });
      const results = await session.run({
        faces: { type: 'float32', data: Float32Array.from(await read('frames.u8')), dims: [1, 25, 112, 112] },
        mfcc: { type: 'float32', data: await floats('mfcc.f32'), dims: [1, 100, 13] },
      });
      await session.release();
      for (const [name, file] of Object.entries(references)) {
        const expected = await floats(file);
        const found = Float32Array.from(results[name]?.data ?? [], Number);
        const errors = Array.from(expected, (value, index) => Math.abs(value - (found[index] ?? Number.NaN)));
        expect(found.length, name).toBe(expected.length);
        expect(Math.max(...errors), name).toBeLessThan(1e-5);
      }
    });
  },
);
