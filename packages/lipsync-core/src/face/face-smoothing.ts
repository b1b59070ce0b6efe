import { applyPose, type PosedFace } from './face-pose.ts';
import { landmarkCount } from './face-types.ts';
import { innerLips, outerLips, speechPoints } from './landmark-groups.ts';

/**
 * How one aspect of the face is smoothed: over how many frames at most, and how large a difference (in units of the
 * head's size) still counts as noise. Frames that differ by more lend nothing, so movement keeps its time and extent.
 */
interface Smoothing {
  readonly frames: number;
  readonly noise: number;
}

/** At 25 frames a second; other rates stretch the frames. */
const referenceRate = 25;
const poseSmoothing: Smoothing = { frames: 2.2, noise: 0.02 };
const restSmoothing: Smoothing = { frames: 1.8, noise: 0.03 };
const speechSmoothing: Smoothing = { frames: 1, noise: 0.02 };

const lipPoints = [...outerLips, ...innerLips];
const speaking = new Set(speechPoints);
/** Per value of a mesh, whether its point is one that speech moves. */
const isSpeechValue = Uint8Array.from({ length: landmarkCount * 3 }, (_, index) =>
  speaking.has(Math.floor(index / 3)) ? 1 : 0,
);
const stillPoints = Array.from({ length: 468 }, (_, index) => index).filter(
  (index) => !speaking.has(index) && index % 3 === 0,
);

/** Frames before and after that the smoothing of one frame looks at. */
export function smoothingRadius(framesPerSecond: number): number {
  return Math.max(2, Math.round((4 * framesPerSecond) / referenceRate));
}

/**
 * The face at `frame`, smoothed with its neighbors on both sides, which therefore does not lag: the head's pose most, the
 * shape of the resting face less, mouth and chin hardly. `at` gives the face as found, or undefined where there is none.
 * A bilateral filter over time on pairs of neighbors: the middle between the face a little before and a little after counts
 * by closeness in time and by likeness to the face between, so that a head in even motion is smoothed as well as a still one.
 */
export function smoothFace(
  frame: number,
  framesPerSecond: number,
  at: (frame: number) => PosedFace | undefined,
): Float32Array | undefined {
  const center = at(frame);
  if (!center) return undefined;
  const radius = smoothingRadius(framesPerSecond);
  const neighbors: Neighbor[] = [];
  for (let distance = 1; distance <= radius; distance += 1) {
    const before = at(frame - distance);
    const after = at(frame + distance);
    if (!before || !after) break;
    neighbors.push({
      pose: middlePose(before, after),
      before: before.shape,
      after: after.shape,
      time: (distance * referenceRate) / framesPerSecond,
    });
  }
  return applyPose(blendFaces(center, neighbors));
}

type Pose = Omit<PosedFace, 'shape'>;

/** The middle between a face a little before and one a little after. */
interface Neighbor {
  readonly pose: Pose;
  /** Shapes whose mean is the shape in the middle; that one is never laid out, because it would be for a moment only. */
  readonly before: Float32Array;
  readonly after: Float32Array;
  /** Distance in frames of the reference rate. */
  readonly time: number;
}

function middlePose(before: Pose, after: Pose): Pose {
  return {
    x: (before.x + after.x) / 2,
    y: (before.y + after.y) / 2,
    logSize: (before.logSize + after.logSize) / 2,
    roll: before.roll + turn(after.roll, before.roll) / 2,
  };
}

/** A pair counts twice, being two faces. */
function blendFaces(center: PosedFace, neighbors: readonly Neighbor[]): PosedFace {
  const offset = { x: 0, y: 0, logSize: 0, roll: 0 };
  const shape = center.shape.slice();
  let poseTotal = 1;
  let restTotal = 1;
  let speechTotal = 1;
  for (const neighbor of neighbors) {
    const { pose, time } = neighbor;
    const poseWeight = 2 * weight(poseSmoothing, time, poseDifference(center, pose));
    const restWeight = 2 * weight(restSmoothing, time, shapeDifference(center.shape, neighbor, stillPoints));
    const speechWeight = 2 * weight(speechSmoothing, time, shapeDifference(center.shape, neighbor, lipPoints));
    poseTotal += poseWeight;
    restTotal += restWeight;
    speechTotal += speechWeight;
    offset.x += poseWeight * (pose.x - center.x);
    offset.y += poseWeight * (pose.y - center.y);
    offset.logSize += poseWeight * (pose.logSize - center.logSize);
    offset.roll += poseWeight * turn(pose.roll, center.roll);
    addShapes(shape, neighbor, restWeight / 2, speechWeight / 2);
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

function weight({ frames, noise }: Smoothing, time: number, difference: number): number {
  return Math.exp(-0.5 * ((time / frames) ** 2 + (difference / noise) ** 2));
}

/** How far a point at the rim of the face is carried from one pose to the other, in units of the head's size. */
function poseDifference(first: Pose, second: Pose): number {
  const moved = Math.hypot(first.x - second.x, first.y - second.y) / Math.exp(first.logSize);
  return moved + Math.abs(first.logSize - second.logSize) + Math.abs(turn(first.roll, second.roll));
}

/** Root mean square distance of some points of a shape from the middle of two others, in the picture plane. */
function shapeDifference(shape: Float32Array, { before, after }: Neighbor, points: readonly number[]): number {
  let sum = 0;
  for (const point of points) {
    const index = point * 3;
    const across = (shape[index] ?? 0) - ((before[index] ?? 0) + (after[index] ?? 0)) / 2;
    const down = (shape[index + 1] ?? 0) - ((before[index + 1] ?? 0) + (after[index + 1] ?? 0)) / 2;
    sum += across * across + down * down;
  }
  return Math.sqrt(sum / points.length);
}

function addShapes(target: Float32Array, { before, after }: Neighbor, restWeight: number, speechWeight: number): void {
  for (let index = 0; index < target.length; index += 1) {
    const share = isSpeechValue[index] === 1 ? speechWeight : restWeight;
    target[index] = (target[index] ?? 0) + share * ((before[index] ?? 0) + (after[index] ?? 0));
  }
}

function divideShape(target: Float32Array, restTotal: number, speechTotal: number): void {
  for (let index = 0; index < target.length; index += 1) {
    target[index] = (target[index] ?? 0) / (isSpeechValue[index] === 1 ? speechTotal : restTotal);
  }
}

function turn(to: number, from: number): number {
  return Math.atan2(Math.sin(to - from), Math.cos(to - from));
}
