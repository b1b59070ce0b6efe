import type { GraphForm } from '../../../inference/models/network-kind.ts';
import { officialCropSizePx } from './model-facts.ts';
import type { Wav2LipNetwork } from './network.ts';
import { tileSideFor } from './pixel-layout.ts';

/** Largest image side that is rewritten. Larger images have few channels and are limited by memory bandwidth. */
const maxRewrittenSidePx = 48;

/** Whether the rewritten form computes this decoder group in pixel layouts instead of NCHW. */
export function isRewritten(network: Wav2LipNetwork, index: number, form: GraphForm): boolean {
  const first = network.faceDecoder[index]?.[0];
  return (
    form === 'rewritten' &&
    first?.kind === 'transposed' &&
    first.strides[0] === 2 &&
    decodedSidePx(network, index) <= maxRewrittenSidePx
  );
}

/** Output side of a decoder group: each of the later groups doubles it. */
export function decodedSidePx({ faceDecoder }: Wav2LipNetwork, index: number): number {
  return officialCropSizePx / 2 ** (faceDecoder.length - 1 - index);
}

/**
 * The first row that each decoder layer of the rewritten form computes when the rows of the picture from `startRow` on
 * are needed: with the halo of the layers that follow, rounded down to whole tiles and phases. Rows above it are
 * missing, and the rows in the halo next to them are wrong. Layers that are not listed compute all rows of their input.
 */
export function firstDecoderRows(network: Wav2LipNetwork, startRow: number): ReadonlyMap<string, number> {
  const rows = new Map<string, number>();
  let needed = Math.max(
    0,
    network.outputBlock.reduce((row, { padding }) => row - padding, startRow),
  );
  for (const [index, group] of [...network.faceDecoder.entries()].toReversed()) {
    const isInLayout = isRewritten(network, index, 'rewritten');
    if (!isInLayout && !isRewritten(network, index - 1, 'rewritten')) break;
    for (const { name, kind } of group.toReversed()) {
      const step = kind === 'transposed' ? 2 : tileSideFor(decodedSidePx(network, index));
      const first = Math.floor(needed / step) * step;
      if (isInLayout || kind === 'transposed') rows.set(name, first);
      needed = kind === 'transposed' ? first / 2 : Math.max(0, needed - 1);
    }
  }
  return rows;
}
