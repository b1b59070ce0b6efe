import { describe, expect, it } from 'vitest';
import { graphModelToOnnx } from './graph-model-to-onnx.ts';
import { readGraphModel } from './graph-model.ts';
import { loadSession } from './onnx-session.ts';

const size = 5;
const channels = 2;
const filters = 3;
const smallSlopes = [0.1, 0.5, 1];
const largeSlopes = [0.1, 0.5, 1.5];

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** A 3 × 3 convolution of stride 2 with bias and PReLU on a 5 × 5 × 2 image, then flattened. */
function smallModel(
  slope: readonly number[] = smallSlopes,
  operator = '_FusedConv2D',
): { readonly topology: string; readonly bytes: Uint8Array } {
  const weights = { kernel: kernel(), bias: [0.5, -1, 0.25], slope };
  const shape = Int32Array.from([1, 27]);
  const topology = {
    format: 'graph-model',
    modelTopology: {
      node: [
        { name: 'out', op: 'Identity', input: ['flat'] },
        { name: 'flat', op: 'Reshape', input: ['conv', 'shape'] },
        {
          name: 'in',
          op: 'Placeholder',
          attr: { shape: { shape: { dim: [-1, size, size, channels].map((side) => ({ size: String(side) })) } } },
        },
        {
          name: 'conv',
          op: operator,
          input: ['in', 'kernel', 'bias', 'slope'],
          attr: {
            strides: { list: { i: ['1', '2', '2', '1'] } },
            padding: { s: encoded('SAME') },
            fused_ops: { list: { s: [encoded('BiasAdd'), encoded('Prelu')] } },
          },
        },
      ],
    },
    weightsManifest: [
      {
        weights: [
          { name: 'kernel', shape: [3, 3, channels, filters], dtype: 'float32' },
          { name: 'bias', shape: [filters], dtype: 'float32' },
          { name: 'slope', shape: [1, 1, filters], dtype: 'float32' },
          { name: 'shape', shape: [2], dtype: 'int32' },
        ],
      },
    ],
  };
  const floats = Float32Array.from([...weights.kernel, ...weights.bias, ...weights.slope]);
  const bytes = Buffer.concat([Buffer.from(floats.buffer), Buffer.from(shape.buffer)]);
  return { topology: JSON.stringify(topology), bytes };
}

function kernel(): number[] {
  return Array.from({ length: 9 * channels * filters }, (_, index) => Math.sin(index * 1.7));
}

function pixel(row: number, column: number, channel: number): number {
  const inside = row >= 0 && row < size && column >= 0 && column < size;
  return inside ? Math.cos(row * 3.1 + column * 1.3 + channel) : 0;
}

/** Reference implementation: one pixel of padding on each side, stride 2. */
function expected(slopes: readonly number[]): number[] {
  const weights = kernel();
  const outputs: number[] = [];
  for (let place = 0; place < 9; place += 1) {
    for (let filter = 0; filter < filters; filter += 1) {
      let sum = [0.5, -1, 0.25][filter] ?? 0;
      for (let tap = 0; tap < 9 * channels; tap += 1) {
        const [cell, channel] = [Math.floor(tap / channels), tap % channels];
        const row = Math.floor(place / 3) * 2 + Math.floor(cell / 3) - 1;
        const column = (place % 3) * 2 + (cell % 3) - 1;
        sum += pixel(row, column, channel) * (weights[tap * filters + filter] ?? 0);
      }
      outputs.push(sum > 0 ? sum : sum * (slopes[filter] ?? 0));
    }
  }
  return outputs;
}

describe('Graph model conversion', () => {
  it.each([
    ['up to 1', smallSlopes],
    ['above 1', largeSlopes],
  ])('The ONNX model computes the same values in the same order (slopes %s).', async (_, slopes) => {
    const { topology, bytes } = smallModel(slopes);
    const session = await loadSession(graphModelToOnnx(readGraphModel(topology, bytes)), { threads: 1 });
    const data = Float32Array.from({ length: channels * size * size }, (_, index) =>
      pixel(Math.floor((index % 25) / size), index % size, Math.floor(index / 25)),
    );
    const { out } = await session.run({ in: { type: 'float32', data, dims: [1, channels, size, size] } });
    await session.release();
    expect(out?.dims).toEqual([1, 27]);
    for (const [index, value] of expected(slopes).entries()) expect(Number(out?.data[index])).toBeCloseTo(value, 5);
  });

  it('Weights of the wrong size and unknown operators throw model_invalid.', () => {
    const { topology, bytes } = smallModel();
    expect(() => readGraphModel(topology, bytes.subarray(4))).toThrow(
      expect.objectContaining({ code: 'model_invalid' }),
    );
    const unknown = smallModel(smallSlopes, 'Conv9D');
    expect(() => graphModelToOnnx(readGraphModel(unknown.topology, unknown.bytes))).toThrow(
      expect.objectContaining({ code: 'model_invalid' }),
    );
  });

  it('Loading invalid bytes throws model_invalid, and a missing file model_missing.', async () => {
    await expect(loadSession(new Uint8Array(64), { threads: 1 })).rejects.toMatchObject({ code: 'model_invalid' });
    await expect(loadSession('/nowhere/model.onnx', { threads: 1 })).rejects.toMatchObject({ code: 'model_missing' });
  });
});
