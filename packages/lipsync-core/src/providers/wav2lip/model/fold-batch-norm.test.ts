import fc from 'fast-check';
import { expect, it } from 'vitest';
import { layerValueAt } from './direct-layer.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import type { Layer } from './network.ts';

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

it.each(['convolution', 'transposed'] as const)('folds batch-norm into a %s without changing what it gives', (kind) => {
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
        const place = { channel, row, column };
        const trained = layerValueAt(layer, { weight, bias, norm }, input, place);
        const folded = layerValueAt(
          layer,
          { ...foldBatchNorm(layer, { weight: weight.slice(), bias, norm }), norm: null },
          input,
          place,
        );
        expect(Math.abs(folded.value - trained.value)).toBeLessThanOrEqual(1e-6 * trained.magnitude + 1e-30);
      },
    ),
  );
});
