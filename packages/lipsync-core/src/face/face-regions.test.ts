import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sampleRegion, toPicture } from './face-regions.ts';

const width = 40;
const height = 30;

/** Red increases to the right and green downwards. Bilinear interpolation reproduces such gradients exactly. */
const gradient = new Uint8Array(width * height * 3);
for (let y = 0; y < height; y += 1) {
  for (let x = 0; x < width; x += 1) gradient.set([x * 5, y * 7, 90], (y * width + x) * 3);
}

const unscaled = { scale: 1, offset: 0 };

describe('sampleRegion', () => {
  it('Every sample has the color of the point that toPicture maps it to.', () => {
    const regions = fc.record({
      centerX: fc.double({ min: 17, max: 23, noNaN: true }),
      centerY: fc.double({ min: 13, max: 17, noNaN: true }),
      side: fc.double({ min: 4, max: 14, noNaN: true }),
      roll: fc.double({ min: -3, max: 3, noNaN: true }),
    });
    fc.assert(
      fc.property(regions, (region) => {
        const planes = new Float32Array(3 * 8 * 8);
        sampleRegion({ rgb: gradient, width, height }, { region, size: 8, scaling: unscaled }, planes);
        for (let index = 0; index < 64; index += 1) {
          const [x, y] = toPicture(region, 8, (index % 8) + 0.5, Math.floor(index / 8) + 0.5);
          expect(planes[index]).toBeCloseTo((x - 0.5) * 5, 2);
          expect(planes[index + 64]).toBeCloseTo((y - 0.5) * 7, 2);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('Samples outside the picture are black in the value range of the model.', () => {
    const planes = new Float32Array(3 * 4 * 4);
    const region = { centerX: -50, centerY: -50, side: 20, roll: 0.4 };
    sampleRegion(
      { rgb: gradient, width, height },
      { region, size: 4, scaling: { scale: 2 / 255, offset: -1 } },
      planes,
    );
    expect([...planes]).toEqual(Array.from({ length: 48 }, () => -1));
  });
});
