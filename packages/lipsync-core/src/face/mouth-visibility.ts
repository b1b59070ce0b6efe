import type { FaceTrack } from './face-types.ts';

export interface VisibilityFacts extends Pick<
  FaceTrack,
  'frameCount' | 'shotStarts' | 'absentRanges' | 'hiddenRanges'
> {
  /** Length of a fade between the original and a redrawn mouth. */
  readonly fadeFrames: number;
}

const opaque = 255;

/**
 * The opacity that a redrawn mouth may have in each frame of a track, 0–255: 0 where the mouth is hidden or the face is
 * absent, rising over `fadeFrames` frames on both sides. A fade does not cross a cut.
 */
export function mouthVisibility(facts: VisibilityFacts): Uint8Array {
  const { frameCount, shotStarts, fadeFrames } = facts;
  const isHidden = new Uint8Array(frameCount);
  for (const { start, end } of [...facts.absentRanges, ...facts.hiddenRanges]) isHidden.fill(1, start, end);
  const visibility = new Uint8Array(frameCount).fill(opaque);
  for (const [index, start] of shotStarts.entries()) {
    const end = shotStarts[index + 1] ?? frameCount;
    let distance = Infinity;
    for (let frame = start; frame < end; frame += 1) {
      distance = isHidden[frame] === 1 ? 0 : distance + 1;
      visibility[frame] = fadeIn(distance, fadeFrames);
    }
    distance = Infinity;
    for (let frame = end - 1; frame >= start; frame -= 1) {
      distance = isHidden[frame] === 1 ? 0 : distance + 1;
      visibility[frame] = Math.min(visibility[frame] ?? opaque, fadeIn(distance, fadeFrames));
    }
  }
  return visibility;
}

/** Opacity at a distance in frames from the nearest hidden one. */
function fadeIn(distance: number, fadeFrames: number): number {
  return Math.round(opaque * Math.min(1, distance / (fadeFrames + 1)));
}
