import { describe, expect, it } from 'vitest';
import { PlanePatch, sampleBilinear, warpChromaRow, warpLumaRow } from './warp-sampling.ts';

function patchOf(width: number, height: number, level: (x: number, y: number) => number): PlanePatch {
  const patch = new PlanePatch();
  const data = Uint8Array.from({ length: width * height }, (_, index) =>
    level(index % width, Math.floor(index / width)),
  );
  patch.copyFrom({ data, start: 0, width, height }, { left: 0, top: 0, right: width, bottom: height });
  return patch;
}

/** Warps a single pixel. */
function sampleBicubic(patch: PlanePatch, x: number, y: number): number {
  const output = new Uint8Array(1);
  warpLumaRow(patch, { row: 0, first: 0, end: 1, shiftX: Float32Array.of(x), shiftY: Float32Array.of(y) }, output, 0);
  return output[0] ?? 0;
}

const noise = patchOf(16, 12, (x, y) => (x * 73 + y * 151 + x * y * 7) % 256);
const gradient = patchOf(16, 12, (x, y) => 20 + 8 * x + 4 * y);

describe('warpLumaRow', () => {
  it('Integer positions return the pixel itself, inside the patch and at its edges.', () => {
    for (let y = 0; y < 12; y += 1) {
      for (let x = 0; x < 16; x += 1) expect(sampleBicubic(noise, x, y)).toBe(noise.data[y * 16 + x]);
    }
  });

  it('A linear gradient is reproduced between pixels by the bicubic and the bilinear kernel.', () => {
    expect(sampleBicubic(gradient, 5.5, 6.25)).toBe(20 + 44 + 25);
    expect(sampleBilinear(gradient, 5.5, 6.25)).toBeCloseTo(89, 5);
  });

  it('Positions outside the patch take the nearest edge pixel.', () => {
    expect(sampleBicubic(gradient, -3, -9)).toBe(20);
    expect(sampleBilinear(gradient, 99, 99)).toBe(20 + 8 * 15 + 4 * 11);
  });

  it('The bicubic kernel keeps more contrast of fine texture than the bilinear one.', () => {
    const stripes = patchOf(16, 12, (x) => (x % 4 < 2 ? 60 : 180));
    expect(Math.abs(sampleBicubic(stripes, 6.25, 5) - 120)).toBeGreaterThan(
      Math.abs(sampleBilinear(stripes, 6.25, 5) - 120),
    );
  });

  it('Only the requested part of the row is written.', () => {
    const output = new Uint8Array(40).fill(7);
    const shift = new Float32Array(16);
    warpLumaRow(noise, { row: 3, first: 4, end: 9, shiftX: shift, shiftY: shift }, output, 10);
    expect([...output.subarray(14, 19)]).toEqual([...noise.data.subarray(52, 57)]);
    expect(output.filter((level) => level !== 7).length).toBeLessThanOrEqual(5);
  });
});

describe('warpChromaRow', () => {
  it('Both chroma planes are displaced by half the luma displacement.', () => {
    const data = new Uint8Array(64);
    const source = {
      row: 3,
      first: 4,
      end: 9,
      shiftX: new Float32Array(16).fill(2),
      shiftY: new Float32Array(16),
    };
    warpChromaRow(gradient, noise, source, { data, start: 0, planeBytes: 32 });
    expect([...data.subarray(4, 9)]).toEqual([...gradient.data.subarray(53, 58)]);
    expect([...data.subarray(36, 41)]).toEqual([...noise.data.subarray(53, 58)]);
  });
});
