/**
 * The rule that chooses the face to animate, per shot:
 *
 * 1. In a frame, the prominence of a face is its size, reduced towards the border (`prominenceOf`).
 *    `MultiFaceTracker` follows only the most prominent faces.
 * 2. Over the shot, the face with the largest sum of prominence wins, so that a long presence outweighs a large size.
 * 3. Other faces follow in that order if their time, from the first to the last frame, overlaps that of no chosen face.
 *    At most one face is chosen per frame.
 * 4. A face that never moves (a poster, a photo, a screen) is not chosen in a shot in which another one moves.
 * 5. A face with fewer than 3 observations is treated as a false detection, unless the shot is shorter.
 *
 * A long shot is decided in sections (`ShotDecisions`). From the second one on, "over the shot" means from the first
 * undecided frame to the end of the look-ahead, and the face that was shown last stays until it leaves, unless another
 * one has `takeOver` times its prominence until then, so that the choice does not alternate between similar faces.
 */
import type { Rectangle } from './bounding-boxes.ts';
import type { RgbPicture } from './face-regions.ts';
import type { FaceChoice, FacePlace } from './face-types.ts';

/** The observations of one identity within a shot. */
export interface Tracklet {
  readonly identity: number;
  readonly firstFrame: number;
  readonly lastFrame: number;
  readonly observationCount: number;
  /** Sum of the prominence of all observations. */
  readonly prominence: number;
  /** See `FaceMotion`; undefined when the face was observed too briefly. */
  readonly motion: number | undefined;
  /** Mean place in the clip. */
  readonly place: FacePlace;
}

const minimumObservations = 3;
const takeOver = 2;
/**
 * A picture of a face moves less than `still`, even under a moving camera: talking faces move by 0.04 to 0.15. It is
 * passed over only for a face that moves by `ratio` as much.
 */
const stillMotion = { still: 0.02, ratio: 3 } as const;

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

/**
 * Selects tracklets by the rule above, greedily, and returns them in order of time. `shown` is the identity of the face
 * that was shown last.
 */
export function selectTracklets(
  tracklets: readonly Tracklet[],
  shotLength: number,
  shown?: number,
): readonly Tracklet[] {
  const weightOf = ({ identity, prominence }: Tracklet): number =>
    identity === shown ? prominence * takeOver : prominence;
  const needed = Math.min(minimumObservations, shotLength);
  const selected: Tracklet[] = [];
  const candidates = tracklets.filter((tracklet) => !isStillBeside(tracklet, tracklets));
  for (const tracklet of candidates.sort((first, second) => weightOf(second) - weightOf(first))) {
    const isFree = selected.every(
      ({ firstFrame, lastFrame }) => tracklet.lastFrame < firstFrame || tracklet.firstFrame > lastFrame,
    );
    if (tracklet.observationCount >= needed && isFree) selected.push(tracklet);
  }
  return selected.sort((first, second) => first.firstFrame - second.firstFrame);
}

/** Whether a face never moves while another one of the shot does. */
function isStillBeside({ motion }: Tracklet, tracklets: readonly Tracklet[]): boolean {
  if (motion === undefined || motion >= stillMotion.still) return false;
  const needed = Math.max(stillMotion.still, motion * stillMotion.ratio);
  return tracklets.some((other) => other.motion !== undefined && other.motion >= needed);
}

/**
 * The times in which other faces are visible beside a selected one. A face that is observed in fewer than 3 frames is
 * ignored, as in the selection.
 */
export function listFaceChoices(
  selected: readonly Tracklet[],
  all: readonly Tracklet[],
  shotLength: number,
): readonly FaceChoice[] {
  const needed = Math.min(minimumObservations, shotLength);
  return selected.flatMap((chosen) => {
    const others = all.filter(
      (other) =>
        other.identity !== chosen.identity &&
        other.observationCount >= needed &&
        other.firstFrame <= chosen.lastFrame &&
        other.lastFrame >= chosen.firstFrame,
    );
    if (others.length === 0) return [];
    return {
      start: Math.max(chosen.firstFrame, Math.min(...others.map(({ firstFrame }) => firstFrame))),
      end: Math.min(chosen.lastFrame, Math.max(...others.map(({ lastFrame }) => lastFrame))) + 1,
      chosen: chosen.place,
      others: others.map((other) => ({ ...other.place, isStill: isStillBeside(other, all) })),
    };
  });
}
