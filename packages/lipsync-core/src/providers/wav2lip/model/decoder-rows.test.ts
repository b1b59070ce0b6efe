import { expect, it } from 'vitest';
import { firstDecoderRows } from './decoder-rows.ts';
import { layersOf, wav2lipNetwork, type Layer } from './network.ts';
import { startRows } from './start-rows.ts';

const network = wav2lipNetwork();

/** Output rows of a layer that depend on input rows above `row`: those before the returned one. */
function firstIntactRow({ kind, padding }: Layer, row: number): number {
  if (row === 0) return 0;
  // An even output row of an upsampling reads one input row, the one at half of its index.
  return kind === 'transposed' ? 2 * row : row + padding;
}

it('The whole picture is computed from row 0 in every layer.', () => {
  expect(new Set(firstDecoderRows(network, 0).values())).toEqual(new Set([0]));
});

it.each(startRows)('The rows of the picture from %i on depend on no row that is missing.', (startRow) => {
  const rows = firstDecoderRows(network, startRow);
  let intact = 0;
  for (const layer of layersOf(network)) {
    if (intact === 0 && !rows.has(layer.name)) continue;
    intact = Math.max(firstIntactRow(layer, intact), rows.get(layer.name) ?? 0);
  }
  expect(intact).toBeLessThanOrEqual(startRow);
});

it('From row 44 on, little more than half of the picture and of its two largest groups is computed.', () => {
  const rows = firstDecoderRows(network, 44);
  expect(rows.get('face_decoder_blocks.6.0')).toBe(40);
  expect(['5.2', '5.1', '5.0'].map((name) => rows.get(`face_decoder_blocks.${name}`))).toEqual([20, 16, 18]);
});
