import { LipsyncError } from '../../../errors/index.ts';
import { melChunkLength } from '../features/index.ts';
import { testMelValue, testPixelValue } from '../model/try-model.ts';
import { faceBytes } from './engine-protocol.ts';
import type { FaceModel } from './face-model.ts';

/** Mean difference of two drawings, in levels of 255, that rounding in half precision stays well below. */
const allowedMeanDifference = 2;

/** Has a model draw a made-up face, the same every time. Throws as `FaceModel.draw`. */
export async function drawTrialFace(model: FaceModel): Promise<Uint8Array> {
  const faces = Uint8Array.from(
    { length: faceBytes(model.facts.cropSizePx) },
    (_, index) => 255 * testPixelValue(index),
  );
  const mel = Float32Array.from({ length: melChunkLength }, (_, index) => testMelValue(index));
  return (await model.draw({ count: 1, mel, faces, references: faces }, 1)).faces;
}

/** Throws `not_supported` when what a device drew differs from what the CPU did by more than rounding explains. */
export function checkDrawing(drawn: Uint8Array, expected: Uint8Array): void {
  const difference =
    expected.reduce((sum, value, index) => sum + Math.abs(value - (drawn[index] ?? Number.NaN)), 0) / expected.length;
  if (difference <= allowedMeanDifference) return;
  throw new LipsyncError(
    'not_supported',
    `It draws other faces than the CPU does, by ${difference.toFixed(1)} levels of 255 in the mean: its driver or its kernels compute wrongly, or the model is not written for it (models import --for gpu).`,
  );
}
