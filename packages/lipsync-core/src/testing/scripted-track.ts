import type { FaceTrack } from '../face/face-types.ts';
import type { GrowingTrack } from '../face/growing-track.ts';

/**
 * A face track of one shot without hidden mouths. `pointsAt` returns the landmarks of a frame, undefined for a frame
 * without a face. Every frame is ready.
 */
export function scriptedTrack(
  frameCount: number,
  pointsAt: (frame: number) => Float32Array | undefined,
): FaceTrack & Pick<GrowingTrack, 'ready'> {
  return {
    frameCount,
    shotStarts: [0],
    absentRanges: [],
    hiddenRanges: [],
    faceChoices: [],
    visibility: () => 1,
    cached: false,
    ready: () => Promise.resolve(),
    frame: (index) => {
      const points = pointsAt(index);
      return points ? { presence: 'found', points } : { presence: 'absent', points: new Float32Array(0) };
    },
    close: () => undefined,
  };
}
