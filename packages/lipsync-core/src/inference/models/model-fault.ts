import { toLipsyncError } from '../../errors/index.ts';
import { openCheckpoint } from '../checkpoints/checkpoint.ts';
import { findOnnxFault } from '../onnx-header.ts';
import { isOnnx } from './model-record.ts';

/** Limit on reading the header of a checkpoint. */
const headerTimeoutMs = 20_000;

/** What the header of the model or checkpoint shows to be wrong; null for nothing. Nothing is loaded. */
export async function findModelFault(path: string): Promise<string | null> {
  try {
    if (isOnnx(path)) return await findOnnxFault(path);
    const checkpoint = await openCheckpoint(path, { signal: AbortSignal.timeout(headerTimeoutMs) });
    await checkpoint.close();
    return null;
  } catch (error) {
    return toLipsyncError(error).message;
  }
}
