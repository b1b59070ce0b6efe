import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSession } from '../../../inference/onnx-session.ts';
import { writeOnnxFile, type OnnxGraph } from '../../../inference/onnx-writer.ts';
import { seededTensors } from '../../../testing/wav2lip-models.ts';
import { faceBytes } from '../engine/engine-protocol.ts';
import { melChunkLength } from '../mel-chunks.ts';
import { foldBatchNorm, readLayerTensors } from '../model/layer-weights.ts';
import { layersOf, wav2lipNetwork } from '../model/network.ts';
import { testMelValue, testPixelValue } from '../model/try-model.ts';
import { testInputs } from '../model/verify-import.ts';
import { outputName, wav2lipGraph } from '../model/wav2lip-graph.ts';
import { maskSidePx } from '../picture/mouth-mask.ts';
import { observeScales } from './activation-scales.ts';
import { eightBitGraph, type EightBitNetwork } from './eight-bit-graph.ts';
import { verifyEightBit } from './verify-eight-bit.ts';

const network = wav2lipNetwork(16);
const source = seededTensors(network, 5);
const { signal } = new AbortController();
const everyLayer = new Set(layersOf(network).map(({ name }) => name));

let folder: string;
let eightBit: EightBitNetwork;
let expected: readonly number[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-eight-bit-'));
  const plain = await wav2lipGraph(network, source, { elementType: 'float32', form: 'plain' });
  const crops = Uint8Array.from({ length: 2 * faceBytes(96) }, (_, index) => 255 * testPixelValue(index));
  const faces = {
    count: 2,
    mel: Float32Array.from({ length: 2 * melChunkLength }, (_, index) => testMelValue(index)),
    faces: crops,
    references: crops,
    masks: new Uint8Array(2 * maskSidePx ** 2),
  };
  const observed = { network, graph: plain, path: join(folder, 'observed.onnx'), threads: 1 };
  const folded = new Map();
  for (const layer of layersOf(network))
    folded.set(layer.name, foldBatchNorm(layer, await readLayerTensors(layer, source)));
  eightBit = {
    network,
    folded,
    scales: await observeScales(observed, faces, signal),
    weights: new Map(),
    largestWeight: 127,
  };
  eightBitGraph(eightBit, new Set());
  expected = await run(plain);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(graph: OnnxGraph): Promise<readonly number[]> {
  const path = join(folder, 'model.onnx');
  await writeOnnxFile(path, graph);
  const session = await loadSession(path, { threads: 1 });
  const { [outputName]: output } = await session.run(testInputs());
  await session.release();
  return Array.from(output?.data ?? [], Number);
}

async function differencesFrom(floatLayers: ReadonlySet<string>): Promise<readonly number[]> {
  const found = await run(eightBitGraph(eightBit, floatLayers).graph);
  expect(found).toHaveLength(expected.length);
  return found.map((value, index) => Math.abs(value - (expected[index] ?? Number.NaN)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe('Eight-bit graph', () => {
  it('It draws almost the same as the float32 network, and exactly the same when every layer is in float32.', async () => {
    expect(Math.max(...(await differencesFrom(everyLayer)))).toBeLessThan(1e-5);
    expect(mean(await differencesFrom(new Set()))).toBeLessThan(1.5 / 255);
  });

  it('Any layer can be in float32 between layers in eight bits.', async () => {
    const everySecond = new Set([...everyLayer].filter((_, index) => index % 2 === 0));
    expect(mean(await differencesFrom(everySecond))).toBeLessThan(1.5 / 255);
    const others = new Set([...everyLayer].filter((name) => !everySecond.has(name)));
    expect(mean(await differencesFrom(others))).toBeLessThan(1.5 / 255);
  });

  it.each([
    ['in eight bits', new Set<string>()],
    ['partly in float32', new Set(['face_decoder_blocks.5.0', 'face_encoder_blocks.0.0', 'audio_encoder.4'])],
  ] as const)('Every layer of a network %s is verified against the checkpoint.', async (_, floatLayers) => {
    const { graph, pictures } = eightBitGraph(eightBit, floatLayers);
    const path = join(folder, 'verified.onnx');
    const { sizeBytes } = await writeOnnxFile(path, graph);
    const file = { path, sizeBytes };
    const verification = await verifyEightBit(file, { eightBit, pictures, source }, signal);
    expect(verification.layers).toBe(51);
    expect(verification.largestError).toBeLessThan(1);
  });

  it.each(['audio_encoder.4/sum/codes', 'face_decoder_blocks.1.0/codes/flat', 'face_decoder_blocks.4.0/codes/rows1'])(
    'Weights of %s in another order are found.',
    async (name) => {
      const weights = eightBit.weights.get(name);
      if (!weights) throw new Error(`There is no convolution ${name}.`);
      const reversed = { ...weights, codes: weights.codes.toReversed() };
      const damaged = { ...eightBit, weights: new Map([...eightBit.weights, [name, reversed]]) };
      const { graph, pictures } = eightBitGraph(damaged, new Set());
      const path = join(folder, 'damaged.onnx');
      const { sizeBytes } = await writeOnnxFile(path, graph);
      await expect(
        verifyEightBit({ path, sizeBytes }, { eightBit: damaged, pictures, source }, signal),
      ).rejects.toMatchObject({ code: 'model_invalid' });
    },
  );
});
