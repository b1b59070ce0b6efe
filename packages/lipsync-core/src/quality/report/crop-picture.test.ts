import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { colorMatrixOf } from '../../image/color-matrix.ts';
import { cropPicture } from './crop-picture.ts';
import { encodePng } from './png.ts';

/** A gray picture whose luma rises by 4 per column. */
const picture = {
  width: 32,
  height: 16,
  data: Uint8Array.from({ length: (32 * 16 * 3) / 2 }, (_, index) => (index < 32 * 16 ? 16 + 4 * (index % 32) : 128)),
};
const matrix = colorMatrixOf({ range: 'pc', space: 'bt709' }, 16);

describe('cropPicture', () => {
  it('An area at the size of the picture keeps its pixels.', () => {
    const { rgb } = cropPicture(picture, matrix, { centerX: 16, centerY: 8, width: 8 }, { width: 8, height: 4 });
    expect([...rgb.subarray(0, 9)]).toEqual([64, 64, 64, 68, 68, 68, 72, 72, 72]);
  });

  it('A reduced area averages its pixels, and edge pixels are repeated beyond the edges.', () => {
    const { rgb } = cropPicture(picture, matrix, { centerX: 0, centerY: 8, width: 32 }, { width: 8, height: 4 });
    expect([...rgb.subarray(0, 24)].filter((_, index) => index % 3 === 0)).toEqual([16, 16, 16, 16, 22, 38, 54, 70]);
  });
});

describe('encodePng', () => {
  it('The pixels of a PNG are those of the picture.', () => {
    const rgb = Uint8Array.from({ length: 2 * 2 * 3 }, (_, index) => 20 * index);
    const png = encodePng({ width: 2, height: 2, rgb });
    expect(png.subarray(1, 4).toString('latin1')).toBe('PNG');
    const data = png.subarray(png.indexOf('IDAT') + 4);
    const rows = inflateSync(data);
    expect([...rows]).toEqual([1, 0, 20, 40, 60, 60, 60, 1, 120, 140, 160, 60, 60, 60]);
  });
});
