import { leftEyeCorners, outerLips, rigidPoints, rightEyeCorners } from '../../face/landmarks.ts';

/** Gain of the fourth difference for positions that jump at random: the root of 1 + 16 + 36 + 16 + 1. */
const randomGain = Math.sqrt(70);
const weights = [1, -4, 6, -4, 1] as const;
/** A mean absolute value times this is the standard deviation of a normal distribution. */
const meanToDeviation = 1.2533;
const fewestFrames = 25;

/**
 * Measures how much the mouth of a video shakes sideways against the head, where speech hardly moves it. The fourth
 * difference of its position removes slow motion; what remains is noise.
 */
export class MouthJitterMeter {
  readonly #recent: (number | undefined)[] = [];
  #sum = 0;
  #count = 0;

  /** Adds the landmarks of the next frame; undefined without a face. */
  add(points: Float32Array | undefined): void {
    this.#recent.push(points && mouthPosition(points));
    if (this.#recent.length > weights.length) this.#recent.shift();
    const window = this.#recent.filter((position) => position !== undefined);
    if (window.length < weights.length) return;
    this.#sum += Math.abs(window.reduce((sum, position, index) => sum + position * (weights[index] ?? 0), 0));
    this.#count += 1;
  }

  /** Standard deviation of the position in percent of the distance between the eyes; null for too few frames. */
  finish(): number | null {
    if (this.#count < fewestFrames) return null;
    return (100 * this.#sum * meanToDeviation) / (this.#count * randomGain);
  }
}

/** Position of the mouth relative to the head along the line of the eyes, in distances between the eyes. */
function mouthPosition(points: Float32Array): number | undefined {
  const left = centerOf(points, leftEyeCorners);
  const right = centerOf(points, rightEyeCorners);
  const square = (right.x - left.x) ** 2 + (right.y - left.y) ** 2;
  if (!(square > 0)) return undefined;
  const head = centerOf(points, rigidPoints);
  const mouth = centerOf(points, outerLips);
  return ((mouth.x - head.x) * (right.x - left.x) + (mouth.y - head.y) * (right.y - left.y)) / square;
}

function centerOf(points: Float32Array, indices: readonly number[]): { readonly x: number; readonly y: number } {
  const mean = (axis: number): number =>
    indices.reduce((sum, index) => sum + (points[index * 3 + axis] ?? NaN), 0) / indices.length;
  return { x: mean(0), y: mean(1) };
}
