import { expect, it } from 'vitest';
import { layerValueAt } from './direct-layer.ts';
import { foldResidual } from './fold-residual.ts';
import type { Layer } from './network.ts';

it('puts the input that is added into the kernel', () => {
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
      const place = { channel, row, column };
      const added = layerValueAt(layer, { weight, bias, norm: null }, input, place);
      const inKernel = layerValueAt({ ...layer, residual: false }, { ...folded, norm: null }, input, place);
      expect(inKernel.value).toBeCloseTo(added.value, 5);
    }
  }
});
