/**
 * The rule that chooses the face to animate, per shot:
 *
 * 1. In a frame, the prominence of a face is its size, reduced towards the border (`prominenceOf`).
 *    `MultiFaceTracker` follows only the most prominent faces.
 * 2. Over the shot, the face with the largest sum of prominence wins, so that a long presence outweighs a large size.
 * 3. Other faces follow in that order if their time, from the first to the last frame, overlaps that of no chosen face.
 *    At most one face is chosen per frame.
 * 4. A face with fewer than 3 observations is treated as a false detection, unless the shot is shorter.
 */
import type { Rectangle } from './bounding-boxes.ts';
import type { RgbPicture } from './face-regions.ts';

/** The observations of one identity within a shot. */
export interface Tracklet {
  readonly identity: number;
  readonly firstFrame: number;
  readonly lastFrame: number;
  readonly observationCount: number;
  /** Sum of the prominence of all observations. */
  readonly prominence: number;
}

const minimumObservations = 3;

/** Share of its size that a face in a corner of the picture loses. */
const borderPenalty = 0.5;

/**
 * How likely the picture is about this face: the longer side of its box relative to the shorter side of the picture,
 * reduced towards the border. About 1 for a face that fills the picture.
 */
export function prominenceOf({ x, y, width, height }: Rectangle, picture: RgbPicture): number {
  const size = Math.max(width, height) / Math.min(picture.width, picture.height);
  const offset = Math.hypot(x + width / 2 - picture.width / 2, y + height / 2 - picture.height / 2);
  const fromCenter = offset / (Math.hypot(picture.width, picture.height) / 2);
  return size * (1 - borderPenalty * Math.min(1, fromCenter));
}

/** Selects tracklets by the rule above, greedily, and returns them in order of time. */
export function selectTracklets(tracklets: readonly Tracklet[], shotLength: number): readonly Tracklet[] {
  const needed = Math.min(minimumObservations, shotLength);
  const selected: Tracklet[] = [];
  for (const tracklet of tracklets.toSorted((first, second) => second.prominence - first.prominence)) {
    const isFree = selected.every(
      ({ firstFrame, lastFrame }) => tracklet.lastFrame < firstFrame || tracklet.firstFrame > lastFrame,
    );
    if (tracklet.observationCount >= needed && isFree) selected.push(tracklet);
  }
  return selected.sort((first, second) => first.firstFrame - second.firstFrame);
}
