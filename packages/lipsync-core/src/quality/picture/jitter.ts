import { rigidPoints, outerLips, leftEyeCorners, rightEyeCorners } from '../../face/landmarks.ts';

/** Gain of the fourth difference for positions that jump at random: the root of 1 + 16 + 36 + 16 + 1. */
const randomGain = Math.sqrt(70);
const weights = [1, -4, 6, -4, 1] as const;
/** A mean absolute value times this is the standard deviation of a normal distribution. */
const meanToDeviation = 1.2533;
/** Larger jumps are cuts, in eye distances. */
const largestJump = 0.5;
const fewestFrames = 25;

interface Position {
  readonly x: number;
  readonly y: number;
}

/** Positions of a face in one frame, in distances between the eyes. */
interface FacePosition {
  /** Relative to the head of the source where there is one. */
  readonly head: Position;
  /** The mouth relative to the head, along the line of the eyes: speech hardly moves it there. */
  readonly mouthAcross: number;
}

/**
 * Measures how much a face shakes from frame to frame. The fourth difference of a position removes slow motion; what
 * remains is noise. A camera in a hand shakes too, so the head is compared with that of the source.
 */
export class JitterMeter {
  readonly #recent: (FacePosition | undefined)[] = [];
  #hasSource = false;
  #head = 0;
  #mouth = 0;
  #count = 0;

  /** Adds the landmarks of the next frame, and those of the source; undefined without a face. */
  add(points: Float32Array | undefined, source: Float32Array | undefined): void {
    this.#recent.push(points && locate(points, source));
    if (source) this.#hasSource = true;
    if (this.#recent.length > weights.length) this.#recent.shift();
    const window = this.#recent.filter((position) => position !== undefined);
    if (window.length < weights.length || hasCut(window)) return;
    const sum = (value: (position: FacePosition) => number): number =>
      window.reduce((total, position, index) => total + value(position) * (weights[index] ?? 0), 0);
    this.#head += (Math.abs(sum(({ head }) => head.x)) + Math.abs(sum(({ head }) => head.y))) / 2;
    this.#mouth += Math.abs(sum(({ mouthAcross }) => mouthAcross));
    this.#count += 1;
  }

  /** Standard deviations of the positions in percent of the distance between the eyes; null for too few frames. */
  finish(): { readonly head: number | null; readonly mouth: number | null } {
    if (this.#count < fewestFrames) return { head: null, mouth: null };
    const toPercent = (total: number): number => (100 * total * meanToDeviation) / (this.#count * randomGain);
    return { head: this.#hasSource ? toPercent(this.#head) : null, mouth: toPercent(this.#mouth) };
  }
}

function locate(points: Float32Array, source: Float32Array | undefined): FacePosition | undefined {
  const left = centerOf(points, leftEyeCorners);
  const right = centerOf(points, rightEyeCorners);
  const distance = Math.hypot(right.x - left.x, right.y - left.y);
  if (!(distance > 0)) return undefined;
  const head = centerOf(points, rigidPoints);
  const mouth = centerOf(points, outerLips);
  const across = (mouth.x - head.x) * (right.x - left.x) + (mouth.y - head.y) * (right.y - left.y);
  const origin = source ? centerOf(source, rigidPoints) : { x: 0, y: 0 };
  return {
    head: { x: (head.x - origin.x) / distance, y: (head.y - origin.y) / distance },
    mouthAcross: across / (distance * distance),
  };
}

function centerOf(points: Float32Array, indices: readonly number[]): Position {
  const mean = (axis: number): number =>
    indices.reduce((sum, index) => sum + (points[index * 3 + axis] ?? NaN), 0) / indices.length;
  return { x: mean(0), y: mean(1) };
}

function hasCut(window: readonly FacePosition[]): boolean {
  return window.some((position, index) => {
    const before = window[index - 1]?.head ?? position.head;
    return Math.hypot(position.head.x - before.x, position.head.y - before.y) > largestJump;
  });
}
