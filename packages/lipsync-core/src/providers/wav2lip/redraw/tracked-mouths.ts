import type { GrowingTrack } from '../../../face/growing-track.ts';
import { measureLips, type FaceTrack } from '../../../face/index.ts';
import { placeFace } from '../picture/face-crop.ts';

/** Number of detected faces that are searched for the most closed mouth, so that little video is decoded. */
const maxSearchedFaces = 240;

/**
 * The frame with the smallest lip opening among the first detected faces within the first `frameCount` frames of a
 * track; undefined when none of them shows a face. Waits for the searched frames only.
 */
export async function findMostClosedMouth(
  track: Pick<GrowingTrack, 'frameCount' | 'ready' | 'frame' | 'visibility'>,
  frameCount: number,
): Promise<number | undefined> {
  let best: { readonly index: number; readonly opening: number } | undefined;
  let searched = 0;
  for (let index = 0; index < Math.min(track.frameCount, frameCount); index += 1) {
    await track.ready(index);
    const { presence, points } = track.frame(index);
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
  for (let index = 0; index < Math.min(track.frameCount, frameCount); index += 1) {
    const { presence, points } = track.frame(index);
    if (presence === 'absent') continue;
    heights += placeFace(points).height;
    faces += 1;
  }
  return faces === 0 ? 0 : heights / faces;
}
