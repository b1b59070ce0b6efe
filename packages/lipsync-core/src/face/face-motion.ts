import { at } from '../image/math.ts';
import { decomposePose } from './face-pose.ts';
import { chinTip, foreheadTop, innerLips, leftEyeCorners, outerLips, rightEyeCorners } from './landmarks.ts';

/** Points that an expression moves: lips, eyelids, brows, chin. */
const expressionPoints = [
  ...outerLips,
  ...innerLips,
  159,
  145,
  386,
  374,
  158,
  153,
  385,
  380,
  105,
  334,
  66,
  296,
  148,
  377,
  chinTip,
];
/** Two values per expression point, and two for the turn of the head. */
const valueCount = expressionPoints.length * 2 + 2;
/** Weight of a new frame in the mean that removes the noise of landmarks. */
const smoothing = 0.25;
const settlingFrames = 8;

/**
 * Measures how much a face moves as living faces do: by expression and turns of the head. Motion of the camera or of a
 * whole picture does not count, because shapes are compared after removing position, size and rotation.
 */
export class FaceMotion {
  readonly #smoothed = new Float64Array(valueCount);
  readonly #mean = new Float64Array(valueCount);
  readonly #squares = new Float64Array(valueCount);
  #frames = 0;

  /** Adds the landmarks of the next frame. */
  add(points: Float32Array): void {
    const { shape } = decomposePose(points);
    this.#frames += 1;
    const measured = this.#frames - settlingFrames;
    for (let index = 0; index < valueCount; index += 1) {
      const value = valueOf(shape, index);
      const before = at(this.#smoothed, index);
      const smoothed = this.#frames === 1 ? value : before + smoothing * (value - before);
      this.#smoothed[index] = smoothed;
      if (measured < 1) continue;
      const change = smoothed - at(this.#mean, index);
      this.#mean[index] = at(this.#mean, index) + change / measured;
      this.#squares[index] = at(this.#squares, index) + change * (smoothed - at(this.#mean, index));
    }
  }

  /** Root mean square change of the shape in units of the head's size; undefined when it was observed too briefly. */
  get amount(): number | undefined {
    const measured = this.#frames - settlingFrames;
    if (measured < settlingFrames) return undefined;
    return Math.sqrt(this.#squares.reduce((sum, value) => sum + value, 0) / valueCount / measured);
  }
}

function valueOf(shape: Float32Array, index: number): number {
  if (index < expressionPoints.length * 2) return at(shape, (expressionPoints[index >> 1] ?? 0) * 3 + (index & 1));
  if (index === expressionPoints.length * 2)
    return at(shape, rightEyeCorners[0] * 3 + 2) - at(shape, leftEyeCorners[0] * 3 + 2);
  return at(shape, foreheadTop * 3 + 2) - at(shape, chinTip * 3 + 2);
}
