import { mix } from '../image/math.ts';
import { angleDifference, decomposePose, type PosedFace } from './face-pose.ts';
import { smoothFace, smoothingRadius } from './face-smoothing.ts';
import type { FaceFrame } from './face-types.ts';
import type { ObservationStore, StoredObservation } from './observation-store.ts';

export interface ShotTrackOptions {
  /** First frame of the shot, and the frame after the last observed one. */
  readonly start: number;
  readonly end: number;
  /** First frame to yield, and the frame after the last one. */
  readonly from: number;
  readonly until: number;
  readonly framesPerSecond: number;
  /** Longer gaps between two observations are not interpolated. */
  readonly longestGapFrames: number;
  /** The observations of the selected faces, at most one per frame, from a second before `from` on. */
  readonly observations: readonly StoredObservation[];
  readonly store: ObservationStore;
}

const absent: FaceFrame = { presence: 'absent', points: new Float32Array(0) };

/**
 * Yields frames of one shot in order, with gaps interpolated and landmarks smoothed. Holds only a window of frames.
 */
export function* trackShot(options: ShotTrackOptions): Generator<FaceFrame> {
  const observed = new Map(options.observations.map((observation) => [observation.frame, observation]));
  const faces = cachedFaces(options, observed);
  for (let frame = options.from; frame < options.until; frame += 1) {
    const points = smoothFace(frame, options.framesPerSecond, faces);
    yield points ? { presence: observed.has(frame) ? 'found' : 'interpolated', points } : absent;
  }
}

/** Returns the unsmoothed face of a frame. Faces are cached while the smoothing window passes over them. */
function cachedFaces(options: ShotTrackOptions, observed: ReadonlyMap<number, StoredObservation>) {
  const cache = new Map<number, PosedFace | undefined>();
  const capacity = smoothingRadius(options.framesPerSecond) * 2 + 2;
  return (frame: number): PosedFace | undefined => {
    if (frame < options.start || frame >= options.end) return undefined;
    if (cache.has(frame)) return cache.get(frame);
    const face = faceAt(frame, options, observed);
    const [oldest] = cache.keys();
    if (cache.size >= capacity && oldest !== undefined) cache.delete(oldest);
    cache.set(frame, face);
    return face;
  };
}

function faceAt(
  frame: number,
  options: ShotTrackOptions,
  observed: ReadonlyMap<number, StoredObservation>,
): PosedFace | undefined {
  const { longestGapFrames, store } = options;
  const observation = observed.get(frame);
  if (observation) return decomposePose(store.readPoints(observation));
  const before = nearestObservation(observed, frame, -1, longestGapFrames);
  const after = nearestObservation(observed, frame, 1, longestGapFrames);
  if (!before || !after || before.identity !== after.identity) return undefined;
  if (after.frame - before.frame - 1 > longestGapFrames) return undefined;
  const fraction = (frame - before.frame) / (after.frame - before.frame);
  return interpolate(decomposePose(store.readPoints(before)), decomposePose(store.readPoints(after)), fraction);
}

function nearestObservation(
  observed: ReadonlyMap<number, StoredObservation>,
  frame: number,
  direction: 1 | -1,
  maximumDistance: number,
): StoredObservation | undefined {
  for (let distance = 1; distance <= maximumDistance; distance += 1) {
    const observation = observed.get(frame + direction * distance);
    if (observation) return observation;
  }
  return undefined;
}

function interpolate(before: PosedFace, after: PosedFace, fraction: number): PosedFace {
  return {
    x: mix(before.x, after.x, fraction),
    y: mix(before.y, after.y, fraction),
    logSize: mix(before.logSize, after.logSize, fraction),
    roll: before.roll + angleDifference(after.roll, before.roll) * fraction,
    shape: before.shape.map((value, index) => mix(value, after.shape[index] ?? value, fraction)),
  };
}
