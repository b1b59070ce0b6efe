import { describe, expect, it } from 'vitest';
import { maskSidePx } from '../picture/mouth-mask.ts';
import { compareDrawings } from './drawing-error.ts';

/** One face whose right half is pasted. */
const masks = Uint8Array.from({ length: maskSidePx ** 2 }, (_, index) => (index % maskSidePx < maskSidePx / 2 ? 0 : 9));
const length = 96 * 96 * 3;
const faces = {
  count: 1,
  mel: new Float32Array(),
  faces: new Uint8Array(length),
  references: new Uint8Array(length),
  masks,
};

function drawing(change: (column: number) => number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index % 251) / 2 + change(Math.floor(index / 3) % 96));
}

describe('Drawing error', () => {
  it('Only differences inside the paste count.', () => {
    const expected = drawing(() => 0);
    expect(
      compareDrawings(
        drawing((column) => (column < 48 ? 90 : 0)),
        expected,
        faces,
      ),
    ).toEqual({
      meanLevels: 0,
      worstLevels: 0,
      ssim: 1,
    });
    const found = compareDrawings(
      drawing((column) => (column < 48 ? 0 : 12)),
      expected,
      faces,
    );
    expect(found).toMatchObject({ meanLevels: 12, worstLevels: 12 });
    expect(found.ssim).toBeLessThan(1);
  });
});
