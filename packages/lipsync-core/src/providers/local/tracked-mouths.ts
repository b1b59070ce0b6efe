import { measureLips, type FaceTrack } from '../../face/index.ts';
import { placeFace } from '../wav2lip/picture/face-crop.ts';

/** Found faces among which the most closed mouth is looked for. */
const lookedAtFaces = 240;

/**
 * The frame of a track in which the lips are closest together, among the earliest found faces of its first `frameCount`
 * frames; undefined when none shows a face.
 */
export function findMostClosedMouth(track: FaceTrack, frameCount: number): number | undefined {
  let best: { readonly index: number; readonly opening: number } | undefined;
  let lookedAt = 0;
  for (const { index, points, presence } of facesOf(track, frameCount)) {
    if (presence !== 'found') continue;
    const { opening } = measureLips(points);
    if (!best || opening < best.opening) best = { index, opening };
    lookedAt += 1;
    if (lookedAt === lookedAtFaces) break;
  }
  return best?.index;
}

/** Mean height of the face among the first `frameCount` frames; 0 when none shows it. */
export function meanFaceHeightPx(track: FaceTrack, frameCount: number): number {
  let heights = 0;
  let faces = 0;
  for (const { points } of facesOf(track, frameCount)) {
    heights += placeFace(points).height;
    faces += 1;
  }
  return faces === 0 ? 0 : heights / faces;
}

function* facesOf(track: FaceTrack, frameCount: number) {
  for (let index = 0; index < Math.min(track.frameCount, frameCount); index += 1) {
    const face = track.frame(index);
    if (face.presence !== 'absent') yield { index, ...face };
  }
}
