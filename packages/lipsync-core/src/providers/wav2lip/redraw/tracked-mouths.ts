import { measureLips, type FaceTrack } from '../../../face/index.ts';
import { placeFace } from '../picture/face-crop.ts';

/** Number of detected faces that are searched for the most closed mouth, so that little video is decoded. */
const maxSearchedFaces = 240;

/**
 * The frame with the smallest lip opening among the first detected faces within the first `frameCount` frames of a
 * track; undefined when none of them shows a face.
 */
export function findMostClosedMouth(track: FaceTrack, frameCount: number): number | undefined {
  let best: { readonly index: number; readonly opening: number } | undefined;
  let searched = 0;
  for (const { index, points, presence } of facesOf(track, frameCount)) {
    if (presence !== 'found' || track.visibility(index) === 0) continue;
    const { opening } = measureLips(points);
    if (!best || opening < best.opening) best = { index, opening };
    searched += 1;
    if (searched === maxSearchedFaces) break;
  }
  return best?.index;
}

/** Mean height of the face box in the first `frameCount` frames; 0 when none of them shows a face. */
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
