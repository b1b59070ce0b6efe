import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { appearanceBytes } from './face-appearance.ts';
import { FaceMotion } from './face-motion.ts';
import { mouthWidthOf, turnOf } from './face-pose.ts';
import { chinTip, foreheadTop, noseBase } from './landmarks.ts';
import { landmarkCount } from './face-types.ts';
import { selectTracklets, type Tracklet } from './select-faces.ts';

/** One face in one frame. */
export interface FaceObservation {
  readonly frame: number;
  /** Number of the tracked face, unique within a shot. */
  readonly identity: number;
  readonly points: Float32Array;
  /** See `describeAppearance`. */
  readonly appearance: Uint8Array;
  /** Likelihood, 0–1, that the picture is about this face: large and central faces are near 1. */
  readonly prominence: number;
}

/** A selected observation whose points are on disk. */
export interface StoredObservation {
  readonly frame: number;
  readonly identity: number;
  readonly offset: number;
  /** See `turnOf`. */
  readonly turn: number;
  readonly mouthWidthPx: number;
  readonly prominence: number;
}

export interface SelectOptions {
  /** The first frame to select faces for. */
  readonly from: number;
  /** Number of frames of the shot so far. */
  readonly shotLength: number;
  /** Identity of the face that was selected for the frames before `from`. */
  readonly shown: number | undefined;
}

const pointBytes = landmarkCount * 3 * 4;
const recordBytes = pointBytes + appearanceBytes;

/** The measurements of one identity within the shot so far. */
interface TrackletSums {
  readonly firstFrame: number;
  readonly motion: FaceMotion;
  /** Those that are not forgotten. */
  readonly observations: StoredObservation[];
  lastFrame: number;
  count: number;
  prominence: number;
  x: number;
  y: number;
  height: number;
}

/** Keeps the observations of one shot on disk. Forgotten ones need no memory. */
export class ObservationStore {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #sums = new Map<number, TrackletSums>();
  #end = 0;

  /** Creates a new file at `path`. The caller disposes of the store. */
  constructor(path: string) {
    this.#path = path;
    this.#descriptor = openSync(path, 'wx+');
  }

  add({ frame, identity, points, appearance, prominence }: FaceObservation): void {
    writeSync(this.#descriptor, points, 0, pointBytes, this.#end);
    writeSync(this.#descriptor, appearance, 0, appearanceBytes, this.#end + pointBytes);
    const sums = this.#sums.get(identity) ?? {
      firstFrame: frame,
      motion: new FaceMotion(),
      observations: [],
      lastFrame: frame,
      count: 0,
      prominence: 0,
      x: 0,
      y: 0,
      height: 0,
    };
    this.#sums.set(identity, sums);
    sums.motion.add(points);
    sums.observations.push({
      frame,
      identity,
      offset: this.#end,
      turn: turnOf(points),
      mouthWidthPx: mouthWidthOf(points),
      prominence,
    });
    sums.lastFrame = frame;
    sums.count += 1;
    sums.prominence += prominence;
    sums.x += points[noseBase * 3] ?? 0;
    sums.y += points[noseBase * 3 + 1] ?? 0;
    sums.height += faceHeight(points);
    this.#end += recordBytes;
  }

  /** Measures all faces over the whole shot so far. */
  listTracklets(): readonly Tracklet[] {
    return [...this.#sums].map(([identity, sums]) => toTracklet(identity, sums));
  }

  /**
   * Selects the faces to animate from a frame on. Returns the observations of these faces in order of time, at most one
   * per frame. The face that was shown stays until it leaves or a much more prominent one appears.
   */
  select({ from, shotLength, shown }: SelectOptions): readonly StoredObservation[] {
    const kept = shown === undefined ? [] : this.#observationsOf(shown, from, Infinity);
    const leavesAt = kept.at(-1)?.frame;
    if (leavesAt === undefined) return this.#select(from, shotLength);
    const untilThen = selectTracklets(this.#trackletsWithin(from, leavesAt + 1), shotLength, shown);
    if (untilThen.some(({ identity }) => identity === shown))
      return [...kept, ...this.#select(leavesAt + 1, shotLength)];
    const observations = this.#select(from, shotLength);
    if (observations.some(({ identity }) => identity === shown)) return observations;
    const replacedAt = observations[0]?.frame ?? from;
    return [...kept.filter(({ frame }) => frame < replacedAt), ...observations];
  }

  #select(from: number, shotLength: number): readonly StoredObservation[] {
    const selected = selectTracklets(this.#trackletsWithin(from, Infinity), shotLength);
    return selected.flatMap(({ identity }) => this.#observationsOf(identity, from, Infinity));
  }

  /** All faces, with their time and prominence within some frames; those that are not seen there have no prominence. */
  #trackletsWithin(from: number, until: number): readonly Tracklet[] {
    return this.listTracklets().map((tracklet) => {
      const observations = this.#observationsOf(tracklet.identity, from, until);
      return {
        ...tracklet,
        firstFrame: observations[0]?.frame ?? tracklet.firstFrame,
        lastFrame: observations.at(-1)?.frame ?? tracklet.lastFrame,
        prominence: observations.reduce((sum, { prominence }) => sum + prominence, 0),
      };
    });
  }

  #observationsOf(identity: number, from: number, until: number): readonly StoredObservation[] {
    const observations = this.#sums.get(identity)?.observations ?? [];
    return observations.filter(({ frame }) => frame >= from && frame < until);
  }

  /** Drops the observations of the frames before `frame`, which `select` is not called for again. */
  forget(frame: number): void {
    for (const { observations } of this.#sums.values()) {
      const kept = observations.findIndex((observation) => observation.frame >= frame);
      observations.splice(0, kept < 0 ? observations.length : kept);
    }
  }

  readPoints({ offset }: StoredObservation): Float32Array {
    const points = new Float32Array(landmarkCount * 3);
    readSync(this.#descriptor, points, 0, pointBytes, offset);
    return points;
  }

  readAppearance({ offset }: StoredObservation): Uint8Array {
    const appearance = new Uint8Array(appearanceBytes);
    readSync(this.#descriptor, appearance, 0, appearanceBytes, offset + pointBytes);
    return appearance;
  }

  /** Removes all observations before the next shot. */
  clear(): void {
    this.#sums.clear();
    this.#end = 0;
  }

  /** Closes and deletes the file. */
  dispose(): void {
    closeSync(this.#descriptor);
    rmSync(this.#path, { force: true });
  }
}

function toTracklet(identity: number, { firstFrame, lastFrame, motion, count, ...sums }: TrackletSums): Tracklet {
  return {
    identity,
    firstFrame,
    lastFrame,
    observationCount: count,
    prominence: sums.prominence,
    motion: motion.amount,
    place: { x: sums.x / count, y: sums.y / count, height: sums.height / count },
  };
}

/** Height from the hairline to the chin, along the head. */
function faceHeight(points: Float32Array): number {
  return Math.hypot(
    (points[chinTip * 3] ?? 0) - (points[foreheadTop * 3] ?? 0),
    (points[chinTip * 3 + 1] ?? 0) - (points[foreheadTop * 3 + 1] ?? 0),
  );
}
