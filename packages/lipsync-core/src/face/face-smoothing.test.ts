import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { composePose, decomposePose, type PosedFace } from './face-pose.ts';
import { smoothFace } from './face-smoothing.ts';

/** Synthetic landmarks, scattered over a disc of about 100 pixels. */
function face(x: number, y: number): Float32Array {
  return Float32Array.from({ length: 478 * 3 }, (_, index) => {
    const angle = Math.floor(index / 3) * 2.399963;
    const radius = 5 * Math.sqrt(Math.floor(index / 3));
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle), radius / 10][index % 3] ?? 0;
  });
}

function largestDifference(first: Float32Array, second: Float32Array): number {
  return first.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (second[index] ?? NaN))), 0);
}

describe('composePose', () => {
  it('Composing a decomposed face returns the landmarks.', () => {
    const numbers = fc.array(fc.float({ min: -500, max: 500, noNaN: true }), {
      minLength: 478 * 3,
      maxLength: 478 * 3,
    });
    fc.assert(
      fc.property(numbers, (values) => {
        const noise = values.map((value) => value / 50);
        const points = face(300, 200).map((value, index) => value + (noise[index] ?? 0));
        expect(largestDifference(composePose(decomposePose(points)), points)).toBeLessThan(0.01);
      }),
      { numRuns: 20 },
    );
  });
});

describe('smoothFace', () => {
  const smooth = (
    at: (frame: number) => Float32Array | undefined,
    frame: number,
    rate = 25,
  ): Float32Array | undefined =>
    smoothFace(frame, rate, (index): PosedFace | undefined => {
      const points = at(index);
      return points && decomposePose(points);
    });

  it('A face in uniform motion is not displaced.', () => {
    const moving = (frame: number): Float32Array => face(100 + frame * 6, 200 - frame * 3);
    expect(largestDifference(smooth(moving, 10) ?? face(0, 0), moving(10))).toBeLessThan(0.02);
  });

  it('Most of the jitter of a still face is removed.', () => {
    const jitter = (frame: number): Float32Array => face(300 + (frame % 2 === 0 ? 0.4 : -0.4), 200);
    const difference = largestDifference(smooth(jitter, 10) ?? face(0, 0), smooth(jitter, 11) ?? face(0, 0));
    expect(difference).toBeLessThan(0.3);
  });

  it('A face is not displaced towards its position after a jump.', () => {
    const jump = (frame: number): Float32Array => (frame < 10 ? face(100, 100) : face(400, 250));
    expect(largestDifference(smooth(jump, 9) ?? face(0, 0), face(100, 100))).toBeLessThan(0.02);
  });

  it('A frame without a face stays without one, and smoothing does not cross the gap.', () => {
    const gap = (frame: number): Float32Array | undefined => (frame === 5 ? undefined : face(100 + frame, 100));
    expect(smooth(gap, 5)).toBeUndefined();
    expect(largestDifference(smooth(gap, 6) ?? face(0, 0), face(106, 100))).toBeLessThan(0.02);
  });
});
