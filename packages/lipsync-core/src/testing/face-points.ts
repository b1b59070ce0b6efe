import { landmarkCount } from '../face/face-types.ts';
import { innerLipsLower, innerLipsUpper } from '../face/landmarks.ts';

/** Landmarks of a face whose eyes are 100 pixels apart, a mouth of the same width, its inner lips `opening` of that apart. */
export function faceWith(opening: number): Float32Array {
  const points = new Float32Array(landmarkCount * 3);
  const put = (landmark: number, x: number, y: number): void => points.set([x, y, 0], landmark * 3);
  for (const landmark of [33, 133]) put(landmark, 100, 100);
  for (const landmark of [263, 362]) put(landmark, 200, 100);
  innerLipsUpper.forEach((landmark, index) => put(landmark, 100 + index * 10, 200));
  innerLipsLower.forEach((landmark, index) => put(landmark, 100 + index * 10, 200 + opening * 100));
  return points;
}
