import { describe, expect, it } from 'vitest';
import { leftEyeCorners, mouthCorners, rightEyeCorners } from '../../src/face/landmarks.ts';
import { FingerprintBuilder, unpackFingerprint } from '../../src/fingerprint/fingerprint.ts';

const [width, height] = [64, 48];
const picture = { width, height, data: new Uint8Array((width * height * 3) / 2).fill(128) };

/** Landmarks of a face in the middle of the picture. */
function facePoints(): Float32Array {
  const points = new Float32Array(478 * 3);
  points.set([22, 16], leftEyeCorners[0] * 3);
  points.set([42, 16], rightEyeCorners[0] * 3);
  points.set([27, 30], mouthCorners.outer[0] * 3);
  points.set([37, 30], mouthCorners.outer[1] * 3);
  return points;
}

/** Of an output at 25 frames per second. */
function packedOf(seconds: number): string {
  const builder = new FingerprintBuilder();
  const points = facePoints();
  for (let frame = 0; frame < seconds * 25; frame += 1) builder.addFrame(frame * 40, picture, points);
  return builder.finish().packed;
}

describe('The fingerprint of an output', () => {
  it('has five mouths per second in its first 15 s, then one per second, and none after two minutes.', () => {
    const timesMs = unpackFingerprint(packedOf(130)).mouths.map(({ timeMs }) => timeMs);
    const dense = Array.from({ length: 75 }, (_, index) => index * 200);
    const sparse = Array.from({ length: 105 }, (_, index) => 15_000 + index * 1_000);
    expect(timesMs).toEqual([...dense, ...sparse]);
  });
});
