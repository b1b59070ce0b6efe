import { describe, expect, it } from 'vitest';
import {
  copyPatch,
  createPlanePatch,
  resampleChroma,
  resampleSharp,
  sampleLinear,
  type PlanePatch,
} from './resample.ts';

function patchOf(width: number, height: number, level: (x: number, y: number) => number): PlanePatch {
  const patch = createPlanePatch();
  const plane = Uint8Array.from({ length: width * height }, (_, index) =>
    level(index % width, Math.floor(index / width)),
  );
  copyPatch(patch, plane, 0, width, 0, 0, width, height);
  return patch;
}

/** One pixel through the row filler. */
function sampleSharp(patch: PlanePatch, x: number, y: number): number {
  const output = new Uint8Array(1);
  resampleSharp(patch, { row: 0, first: 0, end: 1, shiftX: Float32Array.of(x), shiftY: Float32Array.of(y) }, output, 0);
  return output[0] ?? 0;
}

const noise = patchOf(16, 12, (x, y) => (x * 73 + y * 151 + x * y * 7) % 256);
const ramp = patchOf(16, 12, (x, y) => 20 + 8 * x + 4 * y);

describe('resampling', () => {
  it('returns the very pixel at whole positions, inside and at the edges', () => {
    for (let y = 0; y < 12; y += 1) {
      for (let x = 0; x < 16; x += 1) expect(sampleSharp(noise, x, y)).toBe(noise.data[y * 16 + x]);
    }
  });

  it('follows a straight ramp between pixels', () => {
    expect(sampleSharp(ramp, 5.5, 6.25)).toBe(20 + 44 + 25);
    expect(sampleLinear(ramp, 5.5, 6.25)).toBeCloseTo(89, 5);
  });

  it('takes the nearest edge outside the patch', () => {
    expect(sampleSharp(ramp, -3, -9)).toBe(20);
    expect(sampleLinear(ramp, 99, 99)).toBe(20 + 8 * 15 + 4 * 11);
  });

  it('keeps more of fine texture than straight lines do', () => {
    const stripes = patchOf(16, 12, (x) => (x % 4 < 2 ? 60 : 180));
    expect(Math.abs(sampleSharp(stripes, 6.25, 5) - 120)).toBeGreaterThan(
      Math.abs(sampleLinear(stripes, 6.25, 5) - 120),
    );
  });

  it('fills only the asked part of a row', () => {
    const output = new Uint8Array(40).fill(7);
    const shift = new Float32Array(16);
    resampleSharp(noise, { row: 3, first: 4, end: 9, shiftX: shift, shiftY: shift }, output, 10);
    expect([...output.subarray(14, 19)]).toEqual([...noise.data.subarray(52, 57)]);
    expect(output.filter((level) => level !== 7).length).toBeLessThanOrEqual(5);
  });

  it('moves both chroma planes by half the luma shift', () => {
    const output = new Uint8Array(64);
    const shift = new Float32Array(16).fill(2);
    resampleChroma(
      ramp,
      noise,
      { row: 3, first: 4, end: 9, shiftX: shift, shiftY: new Float32Array(16) },
      output,
      0,
      32,
    );
    expect([...output.subarray(4, 9)]).toEqual([...ramp.data.subarray(53, 58)]);
    expect([...output.subarray(36, 41)]).toEqual([...noise.data.subarray(53, 58)]);
  });
});
