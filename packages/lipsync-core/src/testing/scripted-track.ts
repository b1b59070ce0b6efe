import type { FaceTrack } from '../face/face-types.ts';

/**
 * A face track of one shot without hidden mouths. `pointsAt` returns the landmarks of a frame, undefined for a frame
 * without a face.
 */
export function scriptedTrack(frameCount: number, pointsAt: (frame: number) => Float32Array | undefined): FaceTrack {
  return {
    frameCount,
    shotStarts: [0],
    absentRanges: [],
    hiddenRanges: [],
    faceChoices: [],
    visibility: () => 1,
    cached: false,
    frame: (index) => {
      const points = pointsAt(index);
      return points ? { presence: 'found', points } : { presence: 'absent', points: new Float32Array(0) };
    },
    close: () => undefined,
  };
}
