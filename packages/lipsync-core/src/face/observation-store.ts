import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { landmarkCount } from './face-types.ts';
import { selectTracklets, type Tracklet } from './select-faces.ts';

/** One face in one frame. */
export interface FaceObservation {
  readonly frame: number;
  /** Number of the tracked face, unique within a shot. */
  readonly identity: number;
  readonly points: Float32Array;
  /** Likelihood, 0–1, that the picture is about this face: large and central faces are near 1. */
  readonly prominence: number;
}

/** A selected observation whose points are on disk. */
export interface StoredObservation {
  readonly frame: number;
  readonly identity: number;
  readonly offset: number;
}

const pointBytes = landmarkCount * 3 * 4;

/** Keeps the observations of one shot on disk, so that a shot of any length needs a few bytes of memory per frame. */
export class ObservationStore {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #tracklets = new Map<number, Tracklet>();
  readonly #observations = new Map<number, StoredObservation[]>();
  #end = 0;

  /** Creates a new file at `path`. The caller disposes of the store. */
  constructor(path: string) {
    this.#path = path;
    this.#descriptor = openSync(path, 'wx+');
  }

  add({ frame, identity, points, prominence }: FaceObservation): void {
    writeSync(this.#descriptor, points, 0, pointBytes, this.#end);
    const before = this.#tracklets.get(identity);
    this.#tracklets.set(identity, {
      identity,
      firstFrame: before?.firstFrame ?? frame,
      lastFrame: frame,
      observationCount: (before?.observationCount ?? 0) + 1,
      prominence: (before?.prominence ?? 0) + prominence,
    });
    const stored = { frame, identity, offset: this.#end };
    const known = this.#observations.get(identity);
    if (known) known.push(stored);
    else this.#observations.set(identity, [stored]);
    this.#end += pointBytes;
  }

  /** Returns the observations of the selected tracklets in order of time, at most one per frame. */
  select(shotLength: number): readonly StoredObservation[] {
    const selected = selectTracklets([...this.#tracklets.values()], shotLength);
    return selected.flatMap(({ identity }) => this.#observations.get(identity) ?? []);
  }

  readPoints({ offset }: StoredObservation): Float32Array {
    const points = new Float32Array(landmarkCount * 3);
    readSync(this.#descriptor, points, 0, pointBytes, offset);
    return points;
  }

  /** Removes all observations before the next shot. */
  clear(): void {
    this.#tracklets.clear();
    this.#observations.clear();
    this.#end = 0;
  }

  /** Closes and deletes the file. */
  dispose(): void {
    closeSync(this.#descriptor);
    rmSync(this.#path, { force: true });
  }
}
