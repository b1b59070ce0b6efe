import { angleDifference, composePose, type PosedFace } from './face-pose.ts';
import { landmarkCount } from './face-types.ts';
import { innerLips, outerLips, speechPoints } from './landmarks.ts';

/** Standard deviations of a bilateral filter. */
interface FilterWidth {
  /** In time: frames at 25 frames per second. */
  readonly frames: number;
  /**
   * In position: units of the head's size. Larger differences are motion and get no weight, so motion is not delayed.
   */
  readonly noise: number;
}

const referenceFramesPerSecond = 25;
const poseWidth: FilterWidth = { frames: 2.2, noise: 0.02 };
const restWidth: FilterWidth = { frames: 1.8, noise: 0.03 };
const speechWidth: FilterWidth = { frames: 1, noise: 0.02 };

const lipPoints = [...outerLips, ...innerLips];
const speechPointSet = new Set(speechPoints);
/** Per landmark value, 1 when its point is one that speech moves. */
const isSpeechValue = Uint8Array.from({ length: landmarkCount * 3 }, (_, index) =>
  speechPointSet.has(Math.floor(index / 3)) ? 1 : 0,
);
/** Every third of the mesh points that speech does not move. */
const restPoints = Array.from({ length: 468 }, (_, index) => index).filter(
  (index) => !speechPointSet.has(index) && index % 3 === 0,
);

/** Number of frames before and after a frame that its smoothing uses. */
export function smoothingRadius(framesPerSecond: number): number {
  return Math.max(2, Math.round((4 * framesPerSecond) / referenceFramesPerSecond));
}

/**
 * Smooths the face at `frame` with its neighbors on both sides, which adds no delay: the head pose most, the shape of
 * the resting face less, mouth and chin least. `at` returns the detected face of a frame, or undefined when it has
 * none.
 *
 * This is a bilateral filter (Tomasi and Manduchi, 1998) over time on pairs of neighbors: the mean of the faces at the
 * same distance before and after is weighted by distance in time and by similarity to the center. Pairs cancel uniform
 * motion, so that a moving head is smoothed as well as a still one.
 */
export function smoothFace(
  frame: number,
  framesPerSecond: number,
  at: (frame: number) => PosedFace | undefined,
): Float32Array | undefined {
  const center = at(frame);
  if (!center) return undefined;
  const radius = smoothingRadius(framesPerSecond);
  const pairs: NeighborPair[] = [];
  for (let distance = 1; distance <= radius; distance += 1) {
    const before = at(frame - distance);
    const after = at(frame + distance);
    if (!before || !after) break;
    pairs.push({
      pose: meanPose(before, after),
      before: before.shape,
      after: after.shape,
      distanceFrames: (distance * referenceFramesPerSecond) / framesPerSecond,
    });
  }
  return composePose(blendFaces(center, pairs));
}

type Pose = Omit<PosedFace, 'shape'>;

/** Two faces at the same distance before and after the center. */
interface NeighborPair {
  /** Mean of both poses. */
  readonly pose: Pose;
  /** Both shapes. Their mean is not stored, which saves an array per pair. */
  readonly before: Float32Array;
  readonly after: Float32Array;
  /** Distance in frames at 25 frames per second. */
  readonly distanceFrames: number;
}

function meanPose(before: Pose, after: Pose): Pose {
  return {
    x: (before.x + after.x) / 2,
    y: (before.y + after.y) / 2,
    logSize: (before.logSize + after.logSize) / 2,
    roll: before.roll + angleDifference(after.roll, before.roll) / 2,
  };
}

/** Weighted mean of the center and its pairs. A pair counts twice, because it consists of two faces. */
function blendFaces(center: PosedFace, pairs: readonly NeighborPair[]): PosedFace {
  const offset = { x: 0, y: 0, logSize: 0, roll: 0 };
  const shape = center.shape.slice();
  let poseTotal = 1;
  let restTotal = 1;
  let speechTotal = 1;
  for (const pair of pairs) {
    const { pose, distanceFrames } = pair;
    const poseWeight = 2 * weight(poseWidth, distanceFrames, poseDifference(center, pose));
    const restWeight = 2 * weight(restWidth, distanceFrames, shapeDifference(center.shape, pair, restPoints));
    const speechWeight = 2 * weight(speechWidth, distanceFrames, shapeDifference(center.shape, pair, lipPoints));
    poseTotal += poseWeight;
    restTotal += restWeight;
    speechTotal += speechWeight;
    offset.x += poseWeight * (pose.x - center.x);
    offset.y += poseWeight * (pose.y - center.y);
    offset.logSize += poseWeight * (pose.logSize - center.logSize);
    offset.roll += poseWeight * angleDifference(pose.roll, center.roll);
    addShapes(shape, pair, restWeight / 2, speechWeight / 2);
  }
  divideShape(shape, restTotal, speechTotal);
  return {
    x: center.x + offset.x / poseTotal,
    y: center.y + offset.y / poseTotal,
    logSize: center.logSize + offset.logSize / poseTotal,
    roll: center.roll + offset.roll / poseTotal,
    shape,
  };
}

function weight({ frames, noise }: FilterWidth, distanceFrames: number, difference: number): number {
  return Math.exp(-0.5 * ((distanceFrames / frames) ** 2 + (difference / noise) ** 2));
}

/** Displacement of a point at the edge of the face between two poses, in units of the head's size. */
function poseDifference(first: Pose, second: Pose): number {
  const shift = Math.hypot(first.x - second.x, first.y - second.y) / Math.exp(first.logSize);
  return shift + Math.abs(first.logSize - second.logSize) + Math.abs(angleDifference(first.roll, second.roll));
}

/** Root mean square distance between some points of a shape and of a pair's mean, in the picture plane. */
function shapeDifference(shape: Float32Array, { before, after }: NeighborPair, points: readonly number[]): number {
  let sum = 0;
  for (const point of points) {
    const index = point * 3;
    const across = (shape[index] ?? 0) - ((before[index] ?? 0) + (after[index] ?? 0)) / 2;
    const down = (shape[index + 1] ?? 0) - ((before[index + 1] ?? 0) + (after[index + 1] ?? 0)) / 2;
    sum += across * across + down * down;
  }
  return Math.sqrt(sum / points.length);
}

function addShapes(target: Float32Array, pair: NeighborPair, restWeight: number, speechWeight: number): void {
  const { before, after } = pair;
  for (let index = 0; index < target.length; index += 1) {
    const factor = isSpeechValue[index] === 1 ? speechWeight : restWeight;
    target[index] = (target[index] ?? 0) + factor * ((before[index] ?? 0) + (after[index] ?? 0));
  }
}

function divideShape(target: Float32Array, restTotal: number, speechTotal: number): void {
  for (let index = 0; index < target.length; index += 1) {
    target[index] = (target[index] ?? 0) / (isSpeechValue[index] === 1 ? speechTotal : restTotal);
  }
}
