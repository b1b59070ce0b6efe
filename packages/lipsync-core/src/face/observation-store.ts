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
}

/** The faces of a shot after selection. */
export interface ShotFaces {
  /** The observations of the selected faces in order of time, at most one per frame. */
  readonly observations: readonly StoredObservation[];
  readonly selected: readonly Tracklet[];
  readonly all: readonly Tracklet[];
}

const pointBytes = landmarkCount * 3 * 4;
const recordBytes = pointBytes + appearanceBytes;

/** The measurements of one identity within the shot so far. */
interface TrackletSums {
  readonly firstFrame: number;
  readonly motion: FaceMotion;
  readonly observations: StoredObservation[];
  prominence: number;
  x: number;
  y: number;
  height: number;
}

/** Keeps the observations of one shot on disk, so that a shot of any length needs a few bytes of memory per frame. */
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
    });
    sums.prominence += prominence;
    sums.x += points[noseBase * 3] ?? 0;
    sums.y += points[noseBase * 3 + 1] ?? 0;
    sums.height += faceHeight(points);
    this.#end += recordBytes;
  }

  /** Selects the faces to animate. */
  select(shotLength: number): ShotFaces {
    const all = [...this.#sums].map(([identity, sums]) => toTracklet(identity, sums));
    const selected = selectTracklets(all, shotLength);
    return {
      observations: selected.flatMap(({ identity }) => this.#sums.get(identity)?.observations ?? []),
      selected,
      all,
    };
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

function toTracklet(identity: number, { firstFrame, motion, observations, ...sums }: TrackletSums): Tracklet {
  const count = observations.length;
  return {
    identity,
    firstFrame,
    lastFrame: observations.at(-1)?.frame ?? firstFrame,
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
