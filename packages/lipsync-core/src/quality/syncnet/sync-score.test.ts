import { describe, expect, it } from 'vitest';
import { shiftCount } from './sync-distances.ts';
import { toSyncScore } from './sync-score.ts';

/** A flat curve with one valley. */
function curveWith(lseC: number, lseD: number, offsetFrames = 0): Float64Array {
  const curve = new Float64Array(shiftCount).fill(lseC + lseD);
  curve[15 - offsetFrames] = lseD;
  return curve;
}

describe('toSyncScore', () => {
  it.each([
    ["the authors' example", 10.021, 5.353, 1],
    ['Wav2Lip on LRS2 as reproduced', 7.15, 6.77, 0.84],
    ['real speech of LRS2', 8.248, 6.258, 0.9],
    ['a real clip with its own sound', 5.39, 8.16, 0.7],
    ['a loud second speaker', 3.157, 10.74, 0.5],
    ['the voice of another speaker over it', 1.642, 12.215, 0.25],
  ])('The published figures of %s score as anchored.', (_, lseC, lseD, score) => {
    expect(toSyncScore(curveWith(lseC, lseD))).toBeCloseTo(score, 1);
  });

  it('The score rises with the confidence, falls with the distance, and stays within 0 and 1.', () => {
    let last = -1;
    for (let lseC = 0; lseC <= 20; lseC += 0.1) {
      const score = toSyncScore(curveWith(lseC, 5));
      expect(score).toBeGreaterThanOrEqual(last);
      expect(score).toBeLessThanOrEqual(1);
      last = score;
    }
    for (let lseD = 0; lseD <= 30; lseD += 0.1) {
      const score = toSyncScore(curveWith(12, lseD));
      expect(score).toBeLessThanOrEqual(last);
      expect(score).toBeGreaterThanOrEqual(0);
      last = score;
    }
    expect(last).toBe(0);
  });

  it('A valley beyond three frames does not count: the sound does not belong to these lips.', () => {
    expect(toSyncScore(curveWith(9, 6, 3))).toBeGreaterThan(0.85);
    expect(toSyncScore(curveWith(9, 6, -3))).toBeGreaterThan(0.85);
    expect(toSyncScore(curveWith(9, 6, 4))).toBe(0);
    expect(toSyncScore(curveWith(9, 6, -10))).toBe(0);
  });
});
