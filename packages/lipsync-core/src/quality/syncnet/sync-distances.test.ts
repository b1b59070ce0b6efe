import { describe, expect, it } from 'vitest';
import {
  confidencePerRow,
  embeddingDistance,
  maxShiftFrames,
  meanCurve,
  medianFilter,
  scoreCurve,
  shiftCount,
} from './sync-distances.ts';

/** A curve of 12 everywhere but for a valley with sides of 9 and a bottom of 5. */
function valleyAt(shift: number): Float32Array {
  const curve = new Float32Array(shiftCount).fill(12);
  curve[shift - 1] = 9;
  curve[shift] = 5;
  curve[shift + 1] = 9;
  return curve;
}

function joined(...rows: readonly Float32Array[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

describe('LSE of a distance curve', () => {
  it('LSE-D is the minimum, LSE-C the median minus the minimum, and the offset counts from the middle.', () => {
    expect(scoreCurve(meanCurve(valleyAt(12)))).toMatchObject({ lseD: 5, lseC: 7, offsetFrames: 3 });
    expect(scoreCurve(meanCurve(valleyAt(maxShiftFrames)))).toMatchObject({ offsetFrames: 0 });
    expect(scoreCurve(meanCurve(valleyAt(20)))).toMatchObject({ lseD: 5, lseC: 7, offsetFrames: -5 });
  });

  it('The curve is the mean over rows, with the padded ends in it, and the first of equal minima counts.', () => {
    // Row one: 5 at shift 12, row two: 11 everywhere. Mean: 8 at shift 12, 10 at its sides, 11.5 elsewhere.
    const scores = scoreCurve(meanCurve(joined(valleyAt(12), new Float32Array(shiftCount).fill(11))));
    expect(scores).toMatchObject({ lseD: 8, lseC: 3.5, offsetFrames: 3 });
    expect([scores.curve[11], scores.curve[0]]).toEqual([10, 11.5]);
    expect(scoreCurve(Float64Array.from({ length: shiftCount }, () => 4))).toMatchObject({
      lseD: 4,
      lseC: 0,
      offsetFrames: 15,
    });
  });

  it('A selection of rows has a curve of its own.', () => {
    const distances = joined(valleyAt(12), valleyAt(20), valleyAt(20));
    expect(scoreCurve(meanCurve(distances, [1, 2])).offsetFrames).toBe(-5);
    expect(scoreCurve(meanCurve(distances, [0])).offsetFrames).toBe(3);
  });

  it('The sign is positive when the sound is ahead of the picture.', () => {
    // Picture i shows what sounds at i − 4: the sound is 4 frames ahead. Shift index s compares with sound i + s − 15.
    const sounds = Array.from({ length: 60 }, (_, index) => Float32Array.of(Math.sin(index * index), index % 7));
    const rows = Array.from({ length: 20 }, (_, row) => row + 20).map((picture) =>
      Float32Array.from({ length: shiftCount }, (_, shift) =>
        embeddingDistance(sounds[picture - 4] ?? new Float32Array(2), sounds[picture + shift - maxShiftFrames]),
      ),
    );
    expect(scoreCurve(meanCurve(joined(...rows))).offsetFrames).toBe(4);
  });

  it('The confidence of a row is the median of the curve minus its distance at the best shift.', () => {
    const distances = joined(...Array.from({ length: 9 }, () => valleyAt(12)));
    const scores = scoreCurve(meanCurve(distances));
    // The filter counts zeros outside of the series: rows 0 and 8 see four of them below five sevens.
    expect([...confidencePerRow(distances, scores)]).toEqual([7, 7, 7, 7, 7, 7, 7, 7, 7]);
  });
});

describe('embeddingDistance', () => {
  it('The distance adds 1e-6 to every difference, and a missing sound is the zero vector.', () => {
    const zero = new Float32Array(4);
    expect(embeddingDistance(zero, zero)).toBeCloseTo(2e-6, 12);
    expect(embeddingDistance(Float32Array.of(3, 4), undefined)).toBeCloseTo(5.0000014, 6);
    expect(embeddingDistance(Float32Array.of(3, 4), Float32Array.of(0, 0))).toBeCloseTo(5.0000014, 6);
  });
});

describe('medianFilter', () => {
  it('The running median counts zeros outside of the series.', () => {
    expect([...medianFilter(Float64Array.of(1, 2, 3, 4, 5), 5)]).toEqual([1, 2, 3, 3, 3]);
  });
});
