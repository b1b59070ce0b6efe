import { describe, expect, it } from 'vitest';
import { tensorShapes } from './layer-weights.ts';
import { layersOf, wav2lipNetwork, type Layer } from './network.ts';
import { outputSize } from './reference-layer.ts';

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1);
}

/** Multiplications of consecutive layers, and the output size. */
function costOf(
  layers: readonly Layer[],
  sides: readonly [number, number],
): { readonly multiplications: number; readonly sides: readonly [number, number] } {
  return layers.reduce<{ readonly multiplications: number; readonly sides: readonly [number, number] }>(
    (before, layer) => {
      const after = outputSize(layer, before.sides);
      const positions = product(layer.kind === 'transposed' ? before.sides : after);
      return {
        multiplications:
          before.multiplications +
          positions * product([layer.inputChannels, layer.outputChannels, layer.kernel, layer.kernel]),
        sides: after,
      };
    },
    { multiplications: 0, sides },
  );
}

describe('Wav2Lip network', () => {
  const network = wav2lipNetwork();

  it('The network has the tensors of the released files: 36 298 035 parameters and 22 752 running statistics.', () => {
    const shapes = layersOf(network).flatMap(tensorShapes);
    const count = (running: boolean): number =>
      shapes
        .filter(({ name }) => name.includes('running_') === running)
        .reduce((sum, { dims }) => sum + product(dims), 0);
    expect(shapes).toHaveLength(352 - 50);
    expect(count(false)).toBe(36_298_035);
    expect(count(true)).toBe(22_752);
  });

  it('Both encoders reduce to 1 × 1, the decoder returns 96 × 96, and the multiplications match the published cost.', () => {
    const audio = costOf(network.audioEncoder, [80, 16]);
    const encoder = costOf(network.faceEncoder.flat(), [96, 96]);
    const decoder = costOf(network.faceDecoder.flat(), [1, 1]);
    const output = costOf(network.outputBlock, [96, 96]);
    expect([audio, encoder, decoder, output].map(({ sides }) => sides)).toEqual([
      [1, 1],
      [1, 1],
      [96, 96],
      [96, 96],
    ]);
    expect([audio, encoder, decoder, output].map(({ multiplications }) => Math.round(multiplications / 1e6))).toEqual([
      93, 311, 3349, 213,
    ]);
  });

  it.each([1, 2, 4, 8, 16] as const)('Channel counts of consecutive layers match with width divisor %d.', (divisor) => {
    const { audioEncoder, faceEncoder, faceDecoder, outputBlock } = wav2lipNetwork(divisor);
    const skipChannels = faceEncoder.map((group) => group.at(-1)?.outputChannels ?? 0).reverse();
    let channels = audioEncoder.at(-1)?.outputChannels ?? 0;
    for (const [index, group] of [...faceDecoder, outputBlock].entries()) {
      expect(group[0]?.inputChannels).toBe(channels);
      channels = (group.at(-1)?.outputChannels ?? 0) + (skipChannels[index] ?? 0);
    }
    expect(channels).toBe(3);
    const chains = [audioEncoder, faceEncoder.flat(), ...faceDecoder, outputBlock];
    for (const chain of chains)
      chain.slice(1).forEach((layer, index) => expect(layer.inputChannels).toBe(chain[index]?.outputChannels));
  });
});
