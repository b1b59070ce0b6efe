import { boxOfPoints } from '../speaker/mouth-crop.ts';
import { medianFilter } from './sync-distances.ts';

/** Taps of the running median over a track. */
const smoothingTaps = 13;
/** Frames without a face, at 25 fps, that a track bridges. */
const maxGapFrames = 25;
/** Overlap with the previous box below which a new track starts. */
const minOverlap = 0.5;

/** An upright face box by center and half of its larger side, in pixels. */
export interface FaceBox {
  readonly centerX: number;
  readonly centerY: number;
  readonly halfSide: number;
}

/** A face in consecutive frames at 25 fps. */
export interface BoxTrack {
  readonly start: number;
  readonly boxes: readonly FaceBox[];
}

/** The box of a face from its landmarks, upright however the head is tilted, with the size of a box of S3FD. */
export function boxOfLandmarks(points: Float32Array): FaceBox {
  const { x, y, halfSide } = boxOfPoints(points);
  return { centerX: x, centerY: y, halfSide };
}

/** Boxes of the frames of a video at its own rate, with bounded memory. */
export class BoxSeries {
  readonly framesPerSecond: number;
  /** Center and half side per frame; NaN without a face. */
  readonly #values: Float32Array;

  constructor(frameCount: number, framesPerSecond: number) {
    this.framesPerSecond = framesPerSecond;
    this.#values = new Float32Array(frameCount * 3).fill(NaN);
  }

  set(frame: number, { centerX, centerY, halfSide }: FaceBox): void {
    this.#values.set([centerX, centerY, halfSide], frame * 3);
  }

  /** The box that is shown at a time; undefined without a face. */
  at(timeS: number): FaceBox | undefined {
    const frame = Math.min(this.#values.length / 3 - 1, Math.round(timeS * this.framesPerSecond));
    const [centerX = NaN, centerY = NaN, halfSide = NaN] = this.#values.subarray(frame * 3, frame * 3 + 3);
    return Number.isNaN(centerX) ? undefined : { centerX, centerY, halfSide };
  }
}

/**
 * Tracks of a face at a constant rate, as run_pipeline.py cuts them: a track ends when the face is absent for more than a
 * second or its box jumps; gaps are interpolated; centers and sizes pass a running median of 13 frames, which counts zeros
 * outside of the track.
 */
export function cutTracks(
  series: BoxSeries,
  { frameCount, framesPerSecond }: { readonly frameCount: number; readonly framesPerSecond: number },
): readonly BoxTrack[] {
  const tracks: { start: number; boxes: FaceBox[] }[] = [];
  for (let frame = 0; frame < frameCount; frame += 1) {
    const box = series.at(frame / framesPerSecond);
    if (!box) continue;
    const track = tracks.at(-1);
    const last = track?.boxes.at(-1);
    const gap = track ? frame - (track.start + track.boxes.length) : 0;
    if (track && last && gap <= maxGapFrames && overlapOf(last, box) > minOverlap)
      track.boxes.push(...interpolated(last, box, gap), box);
    else tracks.push({ start: frame, boxes: [box] });
  }
  return tracks.map(({ start, boxes }) => ({ start, boxes: smooth(boxes) }));
}

function interpolated(from: FaceBox, to: FaceBox, count: number): FaceBox[] {
  return Array.from({ length: count }, (_, index) => {
    const share = (index + 1) / (count + 1);
    const mix = (key: keyof FaceBox): number => from[key] + (to[key] - from[key]) * share;
    return { centerX: mix('centerX'), centerY: mix('centerY'), halfSide: mix('halfSide') };
  });
}

function smooth(boxes: readonly FaceBox[]): FaceBox[] {
  const filtered = (key: keyof FaceBox): Float64Array =>
    medianFilter(
      Float64Array.from(boxes, (box) => box[key]),
      smoothingTaps,
    );
  const [x, y, side] = [filtered('centerX'), filtered('centerY'), filtered('halfSide')];
  return boxes.map((_, index) => ({ centerX: x[index] ?? 0, centerY: y[index] ?? 0, halfSide: side[index] ?? 0 }));
}

/** Intersection over union. */
function overlapOf(first: FaceBox, second: FaceBox): number {
  const along = (axis: 'centerX' | 'centerY'): number =>
    Math.min(first[axis] + first.halfSide, second[axis] + second.halfSide) -
    Math.max(first[axis] - first.halfSide, second[axis] - second.halfSide);
  const shared = Math.max(0, along('centerX')) * Math.max(0, along('centerY'));
  return shared / (4 * first.halfSide ** 2 + 4 * second.halfSide ** 2 - shared);
}
