import fc from 'fast-check';
import { expect, it } from 'vitest';
import { foldBatchNorm, foldResidual } from './layer-weights.ts';
import type { Layer } from './network.ts';
import { layerValueAt } from './reference-layer.ts';

const channels = { input: 3, output: 2 } as const;
const kernel = 3;

function numbers(count: number, low: number, high: number) {
  return fc
    .array(fc.double({ min: low, max: high, noNaN: true }), { minLength: count, maxLength: count })
    .map((values) => Float32Array.from(values));
}

const norms = fc.record({
  scale: numbers(2, -2, 2),
  shift: numbers(2, -2, 2),
  mean: numbers(2, -2, 2),
  variance: numbers(2, 0.01, 4),
});

it.each(['convolution', 'transposed'] as const)(
  'Folding batch normalization into a %s preserves its output.',
  (kind) => {
    const layer: Layer = {
      name: 'layer',
      kind,
      inputChannels: channels.input,
      outputChannels: channels.output,
      kernel,
      strides: [2, 2],
      padding: 1,
      outputPadding: kind === 'transposed' ? 1 : 0,
      residual: false,
    };
    const input = {
      data: Float32Array.from({ length: channels.input * 16 }, (_, index) => Math.sin(index * 1.7)),
      channels: channels.input,
      rows: 4,
      columns: 4,
    };
    fc.assert(
      fc.property(
        numbers(channels.input * channels.output * kernel * kernel, -1, 1),
        numbers(2, -1, 1),
        norms,
        fc.nat(1),
        fc.nat(1),
        fc.nat(1),
        (weight, bias, norm, channel, row, column) => {
          const index = { channel, row, column };
          const trained = layerValueAt(layer, { weight, bias, norm }, input, index);
          const folded = layerValueAt(
            layer,
            { ...foldBatchNorm(layer, { weight: weight.slice(), bias, norm }), norm: null },
            input,
            index,
          );
          expect(Math.abs(folded.value - trained.value)).toBeLessThanOrEqual(1e-6 * trained.magnitude + 1e-30);
        },
      ),
    );
  },
);

it('Folding a residual connection into the kernel preserves the output.', () => {
  const layer: Layer = {
    name: 'layer',
    kind: 'convolution',
    inputChannels: 2,
    outputChannels: 2,
    kernel: 3,
    strides: [1, 1],
    padding: 1,
    outputPadding: 0,
    residual: true,
  };
  const [weight, bias] = [Float32Array.from({ length: 36 }, (_, index) => Math.sin(index)), Float32Array.of(1, 2)];
  const input = {
    data: Float32Array.from({ length: 32 }, (_, index) => Math.cos(index)),
    channels: 2,
    rows: 4,
    columns: 4,
  };
  const folded = foldResidual(layer, { weight: weight.slice(), bias });
  for (const channel of [0, 1]) {
    for (const [row, column] of [
      [0, 0],
      [1, 2],
      [3, 3],
    ] as const) {
      const index = { channel, row, column };
      const added = layerValueAt(layer, { weight, bias, norm: null }, input, index);
      const inKernel = layerValueAt({ ...layer, residual: false }, { ...folded, norm: null }, input, index);
      expect(inKernel.value).toBeCloseTo(added.value, 5);
    }
  }
});
