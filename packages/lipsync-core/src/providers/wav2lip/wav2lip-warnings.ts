import type { Warning } from '../../contract/provider-types.ts';

/** Faces that exceed the crop of the model by more than this factor look visibly soft. */
const softFaceRatio = 2;

/** Warns about faces whose mean height in the clip visibly exceeds the crop of the model. */
export function faceLargerThanModel(faceHeightPx: number, cropSizePx: number): Warning[] {
  if (faceHeightPx <= cropSizePx * softFaceRatio) return [];
  return [
    {
      code: 'face_larger_than_model',
      message: `The face is about ${Math.round(faceHeightPx)} pixels high, but the model draws only ${cropSizePx}, so the mouth looks softer than the rest. Use a smaller clip to hide the difference.`,
    },
  ];
}

/** Warns that the engine reduced its batches to `smallest` faces; null means that it did not. */
export function reducedBatch(smallest: number | null): Warning[] {
  if (smallest === null) return [];
  return [
    {
      code: 'engine_batch_reduced',
      message: `The model failed with larger batches; the engine reduced them to ${smallest} faces. Free device memory, or run fewer jobs at once, to restore full speed.`,
    },
  ];
}
