import { LipsyncError } from '../../../errors/index.ts';
import { melChunkLength } from '../features/index.ts';
import { faceBytes } from './engine-protocol.ts';
import type { FaceBatch, FaceModel } from './face-model.ts';

/** Mean difference of two drawings, in levels of 255, that rounding in half precision stays well below. */
const allowedMeanDifference = 2;

/** A face and a sound for trying a model: different in every place, the same every time. */
export function trialBatch(cropSizePx: number): FaceBatch {
  const faces = Uint8Array.from({ length: faceBytes(cropSizePx) }, (_, index) => 128 + 127 * Math.sin(index * index * 0.11));
  const mel = Float32Array.from({ length: melChunkLength }, (_, index) => 4 * Math.sin(index * index * 0.37));
  return { count: 1, mel, faces, references: faces };
}

/**
 * Has two models draw the same face. Throws `not_supported` when the pictures differ by more than rounding explains, and
 * what the models throw.
 */
export async function compareDrawings(model: FaceModel, reference: FaceModel): Promise<void> {
  const batch = trialBatch(model.facts.cropSizePx);
  const { faces: drawn } = await model.draw(batch, 1);
  const { faces: expected } = await reference.draw(batch, 1);
  const difference = expected.reduce((sum, value, index) => sum + Math.abs(value - (drawn[index] ?? Number.NaN)), 0) / expected.length;
  if (difference <= allowedMeanDifference) return;
  throw new LipsyncError('not_supported', `It draws other faces than the CPU does, by ${difference.toFixed(1)} levels of 255 in the mean: its driver or its kernels compute wrongly, or the model is not written for it (models import --for gpu).`);
}
