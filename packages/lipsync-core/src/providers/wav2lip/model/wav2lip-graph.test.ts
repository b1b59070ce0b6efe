/// <reference lib="es2025.float16" />
import { describe, expect, it } from 'vitest';
import { encodeOnnxModel } from '../../../inference/onnx-writer.ts';
import { loadSession } from '../../../inference/onnx-session.ts';
import { seededTensors } from '../../../testing/wav2lip-models.ts';
import { layersOf, wav2lipNetwork } from './network.ts';
import { startRows, startRowTensor } from './start-rows.ts';
import { testMelValue, testPixelValue } from './try-model.ts';
import { layerLayouts, layerInputs, wav2lipGraph } from './wav2lip-graph.ts';

const network = wav2lipNetwork(16);
const seeded = seededTensors(network, 1);
const lastBias = 'output_block.1.bias';

describe('Wav2Lip graph', () => {
  it('float16 weights round to nearest even and stay finite.', async () => {
    // The float16 after 1 is 1 + 2^-10; the tie between them rounds to the even neighbor.
    const tie = Float32Array.of(1e9, -1e9, 1 + 2 ** -11);
    const source = { read: async (name: string) => (name === lastBias ? tie.slice() : seeded.read(name)) };
    const { constants } = await wav2lipGraph(network, source, { elementType: 'float16', form: 'plain' });
    expect(constants.every(({ data }) => data instanceof Float16Array || data instanceof BigInt64Array)).toBe(true);
    expect(constants.at(-1)).toEqual({
      name: 'output_block.1/bias',
      dims: [3],
      data: Float16Array.of(65_504, -65_504, 1),
    });
  });

  it.each(['plain', 'rewritten'] as const)(
    'Nodes are in topological order, and every layer input and output exists under its name (%s).',
    async (form) => {
      const { inputs, constants, nodes, outputs } = await wav2lipGraph(network, seeded, {
        elementType: 'float32',
        form,
      });
      const known = new Set([...inputs, ...constants].map(({ name }) => name));
      expect(known.size).toBe(inputs.length + constants.length);
      for (const node of nodes) {
        for (const input of node.inputs) expect(known).toContain(input);
        expect(known).not.toContain(node.output);
        known.add(node.output);
      }
      const named = [
        ...layersOf(network).map(({ name }) => name),
        ...layerInputs(network, 'float32').values(),
        ...layerLayouts(network, form).keys(),
        ...outputs.map(({ name }) => name),
      ];
      for (const name of named) expect(known).toContain(name);
    },
  );

  it('The plain form pads the six face channels to eight with zero weights.', async () => {
    const { nodes, constants } = await wav2lipGraph(network, seeded, { elementType: 'float32', form: 'plain' });
    const first = nodes.find(({ output }) => output === 'face_encoder_blocks.0.0/sum');
    expect(first?.inputs[0]).toBe('face_encoder_blocks.0.0/widened');
    expect(nodes.find(({ output }) => output === first?.inputs[0])).toMatchObject({
      operator: 'Pad',
      inputs: ['video_frames', expect.any(String)],
    });
    const weight = constants.find(({ name }) => name === first?.inputs[1]);
    expect(weight?.dims).toEqual([1, 8, 7, 7]);
    expect([...(weight?.data ?? [])].slice(6 * 49)).toEqual(Array.from({ length: 2 * 49 }, () => 0));
  });

  it('The rewritten form contains no transposed convolution.', async () => {
    const { nodes } = await wav2lipGraph(network, seeded, { elementType: 'float32', form: 'rewritten' });
    expect(nodes.filter(({ operator }) => operator === 'ConvTranspose')).toEqual([]);
  });

  it('The rows from each start row on are those of the whole picture; a row between two starts at the first.', async () => {
    const graph = await wav2lipGraph(network, seeded, { elementType: 'float32', form: 'rewritten' });
    const session = await loadSession(encodeOnnxModel(graph), { threads: 1 });
    const faces = 2;
    const inputs = {
      mel_spectrogram: tensor([faces, 1, 80, 16], testMelValue),
      video_frames: tensor([faces, 6, 96, 96], testPixelValue),
    };
    const drawFrom = async (row: number): Promise<Float32Array> => {
      const { predicted_frames: drawn } = await session.run({ ...inputs, start_row: startRowTensor(row) });
      return Float32Array.from(drawn?.data ?? [], Number);
    };
    const whole = await drawFrom(0);
    for (const startRow of startRows) {
      const drawn = await drawFrom(startRow);
      const plane = (96 - startRow) * 96;
      expect(drawn).toHaveLength(faces * 3 * plane);
      const differences = drawn.map((value, index) =>
        Math.abs(value - (whole[index + (Math.floor(index / plane) + 1) * startRow * 96] ?? Number.NaN)),
      );
      expect(Math.max(...differences)).toBeLessThan(1e-5);
    }
    expect(await drawFrom(45)).toHaveLength(faces * 3 * (96 - 44) * 96);
    await session.release();
  });
});

function tensor(dims: readonly number[], valueAt: (index: number) => number) {
  const length = dims.reduce((product, size) => product * size, 1);
  return { type: 'float32', dims, data: Float32Array.from({ length }, (_, index) => valueAt(index)) } as const;
}
