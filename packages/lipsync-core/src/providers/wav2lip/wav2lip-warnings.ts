import type { Warning } from '../../contract/provider-types.ts';

/** Faces this much larger than the model's crop look soft. */
const softFaceRatio = 2;

/** About a face whose mean height in the clip is so much more than the model's crop that it shows. */
export function faceLargerThanModel(faceHeightPx: number, cropSizePx: number): Warning[] {
  if (faceHeightPx <= cropSizePx * softFaceRatio) return [];
  return [
    {
      code: 'face_larger_than_model',
      message: `The face is about ${Math.round(faceHeightPx)} pixels high and the model draws ${cropSizePx}; the mouth will look softer than the rest. A smaller clip hides it.`,
    },
  ];
}

/** `smallest` is how many faces at once the engine went down to; null where it did not have to. */
export function reducedBatch(smallest: number | null): Warning[] {
  if (smallest === null) return [];
  return [
    {
      code: 'engine_batch_reduced',
      message: `The model failed with more faces; the engine went down to ${smallest} at once.`,
    },
  ];
}
