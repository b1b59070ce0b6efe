import { describe, expect, it } from 'vitest';
import { colorMatrixOf } from '../../image/color-matrix.ts';
import { croppedLength, FaceCropper } from './syncnet-crop.ts';

const plane = 224 * 224;

/** A gray picture whose luma is a function of the position. */
function picture(width: number, height: number, luma: (x: number, y: number) => number) {
  const data = new Uint8Array((width * height * 3) / 2).fill(128);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) data[y * width + x] = luma(x, y);
  return { width, height, data };
}

function crop(source: ReturnType<typeof picture>, centerX: number, centerY: number, halfSide: number): Uint8Array {
  const output = new Uint8Array(croppedLength);
  new FaceCropper(colorMatrixOf({ range: 'pc' }, source.height)).crop(source, { centerX, centerY, halfSide }, output);
  return output;
}

describe('FaceCropper', () => {
  it('A box of half side 80 at row 80 covers a picture of 224 × 224 exactly, as in the example of the authors.', () => {
    const source = picture(224, 224, (x, y) => (x * 7 + y * 13) % 256);
    const output = crop(source, 112, 80, 80);
    for (let color = 0; color < 3; color += 1)
      expect(output.subarray(color * plane, (color + 1) * plane)).toEqual(source.data.subarray(0, plane));
  });

  it('Pixels outside of the picture have level 110.', () => {
    const output = crop(
      picture(100, 100, () => 200),
      20,
      20,
      80,
    );
    // Columns start at 20 − 112 = −92 and rows at 20 − 80 = −60; the picture ends 100 pixels later.
    const at = (x: number, y: number): number => output[y * 224 + x] ?? NaN;
    expect([at(91, 100), at(92, 100), at(191, 100), at(192, 100)]).toEqual([110, 200, 200, 110]);
    expect([at(100, 59), at(100, 60), at(100, 159), at(100, 160)]).toEqual([110, 200, 200, 110]);
    expect(output.every((value) => value === 110 || value === 200)).toBe(true);
  });

  it('Levels between pixels are interpolated linearly.', () => {
    // Twice the size: column 10 lies at 4.75 between the centers of pixels of level 8 and 10, which is 9.5.
    const output = crop(
      picture(112, 112, (x) => x * 2),
      56,
      40,
      40,
    );
    expect([...output.subarray(10, 14)]).toEqual([10, 11, 12, 13]);
  });

  it('Colors are converted to blue, green and red planes.', () => {
    const source = picture(224, 224, () => 128);
    source.data.fill(228, plane + plane / 4);
    const output = crop(source, 112, 80, 80);
    const [blue, green, red] = [0, 1, 2].map((color) => output[color * plane + 1000]);
    // Cr of 100 above neutral: red rises by 140, green falls by 71.
    expect([blue, green, red]).toEqual([128, 57, 255]);
  });
});
