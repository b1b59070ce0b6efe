import { angleDifference, decomposePose } from '../../face/face-pose.ts';
import { regionOfMesh } from '../../face/face-regions.ts';
import type { FaceRegion, FaceTrack } from '../../face/face-types.ts';

/** Position of the crop of the landmark model relative to the rigid points of a face, in units of their size. */
interface CropPlacement {
  readonly across: number;
  readonly down: number;
  readonly side: number;
  readonly roll: number;
}

/** Frames that are measured for the placement of a shot. */
const placementFrames = 60;

/**
 * Places the crop of the landmark model at the same position relative to the face in every frame of a shot, because the
 * measured opening of a mouth changes by up to a third with its position in the crop. A crop around all landmarks would
 * move with the chin, and so with the speech of the source.
 */
export class FixedCrop {
  readonly #track: FaceTrack;
  readonly #placements = new Map<number, CropPlacement | undefined>();

  constructor(track: FaceTrack) {
    this.#track = track;
  }

  /** The crop in a frame of the track, in pixels of its clip; undefined without a face. */
  at(frame: number): FaceRegion | undefined {
    const { points } = this.#track.frame(frame);
    return points.length === 0 ? undefined : this.around(points, frame);
  }

  /** The crop for landmarks that were measured in a frame of the track; pixels of the landmarks. */
  around(points: Float32Array, frame: number): FaceRegion | undefined {
    const shot = this.#track.shotStarts.findLastIndex((start) => start <= frame);
    if (!this.#placements.has(shot)) this.#placements.set(shot, this.#measureShot(shot));
    const placement = this.#placements.get(shot);
    return placement && placeCrop(points, placement);
  }

  #measureShot(shot: number): CropPlacement | undefined {
    const start = this.#track.shotStarts[shot] ?? 0;
    const end = this.#track.shotStarts[shot + 1] ?? this.#track.frameCount;
    const step = Math.max(1, Math.floor((end - start) / placementFrames));
    const seen: CropPlacement[] = [];
    for (let frame = start; frame < end; frame += step) {
      const { points } = this.#track.frame(frame);
      if (points.length > 0) seen.push(describePlacement(points));
    }
    if (seen.length === 0) return undefined;
    return {
      across: medianOf(seen.map(({ across }) => across)),
      down: medianOf(seen.map(({ down }) => down)),
      side: medianOf(seen.map(({ side }) => side)),
      roll: medianOf(seen.map(({ roll }) => roll)),
    };
  }
}

function describePlacement(points: Float32Array): CropPlacement {
  const { x, y, logSize, roll } = decomposePose(points);
  const region = regionOfMesh(points);
  const size = Math.exp(logSize);
  const [dx, dy] = [region.centerX - x, region.centerY - y];
  return {
    across: (dx * Math.cos(roll) + dy * Math.sin(roll)) / size,
    down: (dy * Math.cos(roll) - dx * Math.sin(roll)) / size,
    side: region.side / size,
    roll: angleDifference(region.roll, roll),
  };
}

function placeCrop(points: Float32Array, { across, down, side, roll: turn }: CropPlacement): FaceRegion {
  const { x, y, logSize, roll } = decomposePose(points);
  const size = Math.exp(logSize);
  return {
    centerX: x + size * (across * Math.cos(roll) - down * Math.sin(roll)),
    centerY: y + size * (across * Math.sin(roll) + down * Math.cos(roll)),
    side: side * size,
    roll: roll + turn,
  };
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((first, second) => first - second);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
