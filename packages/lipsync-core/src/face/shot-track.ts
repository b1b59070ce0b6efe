import { takePose, type PosedFace } from './face-pose.ts';
import { smoothFace, smoothingRadius } from './face-smoothing.ts';
import type { FacePresence } from './face-types.ts';
import type { StoredSighting } from './sighting-store.ts';

export interface ShotTrackOptions {
  /** First frame of the shot and the one after its last. */
  readonly start: number;
  readonly end: number;
  readonly framesPerSecond: number;
  /** Gaps of at most this many frames are filled between what was found on both sides. */
  readonly longestGapFrames: number;
  /** At most one per frame, in order. */
  readonly sightings: readonly StoredSighting[];
  read(sighting: StoredSighting): Float32Array;
}

export interface TrackedFrame {
  readonly presence: FacePresence;
  readonly points: Float32Array;
}

const absent: TrackedFrame = { presence: 'absent', points: new Float32Array(0) };

/** The frames of one shot in order, gaps filled, smoothed. Never looks beyond the shot; holds only a window of frames. */
export function* trackShot(options: ShotTrackOptions): Generator<TrackedFrame> {
  const found = new Map(options.sightings.map((sighting) => [sighting.frame, sighting]));
  const faces = windowedFaces(options, found);
  for (let frame = options.start; frame < options.end; frame += 1) {
    const points = smoothFace(frame, options.framesPerSecond, faces);
    yield points ? { presence: found.has(frame) ? 'found' : 'interpolated', points } : absent;
  }
}

/** The unsmoothed face at a frame, remembered while the window passes over it. */
function windowedFaces(options: ShotTrackOptions, found: ReadonlyMap<number, StoredSighting>) {
  const remembered = new Map<number, PosedFace | undefined>();
  const capacity = smoothingRadius(options.framesPerSecond) * 2 + 2;
  return (frame: number): PosedFace | undefined => {
    if (frame < options.start || frame >= options.end) return undefined;
    if (remembered.has(frame)) return remembered.get(frame);
    const face = faceAt(frame, options, found);
    const [oldest] = remembered.keys();
    if (remembered.size >= capacity && oldest !== undefined) remembered.delete(oldest);
    remembered.set(frame, face);
    return face;
  };
}

function faceAt(
  frame: number,
  options: ShotTrackOptions,
  found: ReadonlyMap<number, StoredSighting>,
): PosedFace | undefined {
  const here = found.get(frame);
  if (here) return takePose(options.read(here));
  const before = nearest(frame, -1, options.longestGapFrames, found);
  const after = nearest(frame, 1, options.longestGapFrames, found);
  if (!before || !after || before.person !== after.person) return undefined;
  if (after.frame - before.frame - 1 > options.longestGapFrames) return undefined;
  const share = (frame - before.frame) / (after.frame - before.frame);
  return between(takePose(options.read(before)), takePose(options.read(after)), share);
}

function nearest(
  frame: number,
  step: 1 | -1,
  reach: number,
  found: ReadonlyMap<number, StoredSighting>,
): StoredSighting | undefined {
  for (let distance = 1; distance <= reach; distance += 1) {
    const sighting = found.get(frame + step * distance);
    if (sighting) return sighting;
  }
  return undefined;
}

function between(before: PosedFace, after: PosedFace, share: number): PosedFace {
  const mix = (from: number, to: number): number => from + (to - from) * share;
  const turn = Math.atan2(Math.sin(after.roll - before.roll), Math.cos(after.roll - before.roll));
  return {
    x: mix(before.x, after.x),
    y: mix(before.y, after.y),
    logSize: mix(before.logSize, after.logSize),
    roll: before.roll + turn * share,
    shape: before.shape.map((value, index) => mix(value, after.shape[index] ?? value)),
  };
}
