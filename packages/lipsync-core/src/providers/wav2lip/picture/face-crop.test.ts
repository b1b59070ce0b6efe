import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { landmarkCount } from '../../../face/face-types.ts';
import { cropToPicture, pictureToCrop, placeFace } from './face-crop.ts';

/** Landmarks of a face of height 1 from hairline to chin; all others are at its center. */
const unitFace: ReadonlyMap<number, readonly [across: number, down: number]> = new Map([
  [10, [0, -0.5]],
  [9, [0, -0.2]],
  [152, [0, 0.5]],
  [234, [-0.4, 0]],
  [454, [0.4, 0]],
  [33, [-0.25, -0.1]],
  [133, [-0.1, -0.1]],
  [362, [0.1, -0.1]],
  [263, [0.25, -0.1]],
]);

function faceAt(x: number, y: number, size: number, roll: number): Float32Array {
  const points = new Float32Array(landmarkCount * 3);
  for (let landmark = 0; landmark < landmarkCount; landmark += 1) {
    const [across, down] = unitFace.get(landmark) ?? [0, 0];
    points[landmark * 3] = x + size * (across * Math.cos(roll) - down * Math.sin(roll));
    points[landmark * 3 + 1] = y + size * (across * Math.sin(roll) + down * Math.cos(roll));
  }
  return points;
}

describe('Face box', () => {
  it('The face box reaches from mid-forehead to slightly below the chin, and from cheek to cheek.', () => {
    const { centerX, centerY, width, height, roll } = placeFace(faceAt(200, 100, 100, 0));
    expect(centerY - height / 2).toBeCloseTo(65, 3);
    expect(centerY + height / 2).toBeCloseTo(150 + 85 * 0.05, 3);
    expect(centerX).toBeCloseTo(200, 3);
    expect(width).toBeGreaterThan(70);
    expect(width).toBeLessThan(80);
    expect(roll).toBeCloseTo(0, 6);
  });

  it('The face box follows translation, rotation and scale of the face.', () => {
    const upright = placeFace(faceAt(0, 0, 1, 0));
    fc.assert(
      fc.property(
        fc.double({ min: -500, max: 5000, noNaN: true }),
        fc.double({ min: -500, max: 5000, noNaN: true }),
        fc.double({ min: 20, max: 3000, noNaN: true }),
        fc.double({ min: -3.1, max: 3.1, noNaN: true }),
        (x, y, size, roll) => {
          const placement = placeFace(faceAt(x, y, size, roll));
          expect(placement.width / size).toBeCloseTo(upright.width, 3);
          expect(placement.height / size).toBeCloseTo(upright.height, 3);
          expect(placement.roll).toBeCloseTo(roll, 3);
          expect((placement.centerX - x) / size).toBeCloseTo(-upright.centerY * Math.sin(roll), 3);
          expect((placement.centerY - y) / size).toBeCloseTo(upright.centerY * Math.cos(roll), 3);
        },
      ),
    );
  });

  it('Crop and picture transforms are inverse.', () => {
    const placement = { centerX: 310, centerY: 220, width: 90, height: 130, roll: 0.7 };
    const forward = cropToPicture(placement, 96, 96);
    const inverse = pictureToCrop(placement, 96, 96);
    const x = forward.x + forward.acrossX * 20 + forward.downX * 70;
    const y = forward.y + forward.acrossY * 20 + forward.downY * 70;
    expect(inverse.x + inverse.acrossX * x + inverse.downX * y).toBeCloseTo(20, 6);
    expect(inverse.y + inverse.acrossY * x + inverse.downY * y).toBeCloseTo(70, 6);
  });

  it.each([
    ['missing', new Float32Array()],
    ['identical', new Float32Array(landmarkCount * 3)],
    ['NaN', new Float32Array(landmarkCount * 3).fill(NaN)],
  ])('Landmarks that are %s throw a RangeError.', (_, points) => {
    expect(() => placeFace(points)).toThrow(RangeError);
  });
});
