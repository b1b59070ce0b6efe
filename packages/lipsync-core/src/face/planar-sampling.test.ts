import { describe, expect, it } from 'vitest';
import { colorMatrixOf } from '../image/color-matrix.ts';
import { sampleRegion } from './face-regions.ts';
import { samplePlanarRegion } from './planar-sampling.ts';

const size = 192;
const scaling = { scale: 1 / 255, offset: 0 };
const [width, height] = [640, 480];
const matrix = colorMatrixOf({ space: 'bt709', range: 'tv' }, height);

/** A smooth gray picture in both forms: a wave that each model sample follows. */
function drawWave() {
  const gray = Uint8Array.from({ length: width * height }, (_, index) =>
    Math.round(128 + 60 * Math.sin((index % width) / 23) * Math.cos(Math.floor(index / width) / 31)),
  );
  const data = new Uint8Array((width * height * 3) / 2).fill(128);
  data.set(gray.map((level) => Math.round(matrix.blackLuma + level * matrix.lumaScale)));
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, index) => gray[Math.floor(index / 3)] ?? 0);
  return { planar: { picture: { width, height, data }, matrix }, rgb: { rgb, width, height } };
}

function meanDifference(first: Float32Array, second: Float32Array): number {
  return first.reduce((sum, value, index) => sum + Math.abs(value - (second[index] ?? NaN)), 0) / first.length;
}

function sampleBoth(region: { centerX: number; centerY: number; side: number; roll: number }) {
  const { planar, rgb } = drawWave();
  const [own, reference] = [new Float32Array(3 * size * size), new Float32Array(3 * size * size)];
  samplePlanarRegion(planar, { region, size, scaling }, own);
  sampleRegion(rgb, { region, size, scaling }, reference);
  return { own, reference };
}

describe('Sampling of a region in a YUV picture', () => {
  for (const [what, region] of [
    ['a small region', { centerX: 320, centerY: 240, side: 150, roll: 0.3 }],
    ['a region of more than twice the size', { centerX: 320, centerY: 240, side: 400, roll: -0.2 }],
    ['a region across the edge of the picture', { centerX: 20, centerY: 460, side: 200, roll: 0.1 }],
  ] as const)
    it(`The samples of ${what} are those of the same picture in RGB.`, () => {
      const { own, reference } = sampleBoth(region);
      expect(meanDifference(own, reference)).toBeLessThan(0.01);
    });

  it('Colors are converted by the matrix of the picture.', () => {
    const data = new Uint8Array((64 * 64 * 3) / 2).fill(63, 0, 64 * 64);
    data.fill(102, 64 * 64, 64 * 64 * 1.25);
    data.fill(240, 64 * 64 * 1.25);
    const planes = new Float32Array(3 * 8 * 8);
    const sample = {
      region: { centerX: 32, centerY: 32, side: 16, roll: 0 },
      size: 8,
      scaling: { scale: 1, offset: 0 },
    };
    samplePlanarRegion({ picture: { width: 64, height: 64, data }, matrix }, sample, planes);
    // Red in BT.709: Y 63, Cb 102, Cr 240.
    expect([planes[20], planes[84], planes[148]].map((level) => Math.round(level ?? NaN))).toEqual([255, 1, 0]);
  });
});
