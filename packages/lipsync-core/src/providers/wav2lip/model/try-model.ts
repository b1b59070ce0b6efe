import { LipsyncError } from '../../../errors/index.ts';
import { loadSession, type OnnxSession } from '../../../inference/onnx-session.ts';
import { melBandCount, melChunkColumns, melChunkLength } from '../features/index.ts';
import { describeWav2LipModel, type Wav2LipModelFacts } from './model-facts.ts';

/**
 * Loads a Wav2Lip model on the CPU and runs it once on made-up sound and face. Throws `model_missing` when the file
 * cannot be read, `model_invalid` when it is no such model, cannot be run, or draws what is not finite.
 */
export async function tryWav2LipModel(path: string): Promise<Wav2LipModelFacts> {
  const session = await loadSession(path, { threads: 1 });
  try {
    const facts = describeWav2LipModel(session);
    const drawn = await drawOnce(session, facts);
    const expected = (facts.fixedBatch ?? 1) * 3 * facts.cropSizePx ** 2;
    if (drawn.length !== expected) throw invalid(`It drew ${drawn.length} values where ${expected} were expected.`);
    if (!drawn.every(Number.isFinite)) throw invalid('It drew values that are not finite.');
    return facts;
  } finally {
    await session.release();
  }
}

async function drawOnce(session: OnnxSession, facts: Wav2LipModelFacts): Promise<readonly number[]> {
  const { fixedBatch, cropSizePx, melInput, framesInput, output } = facts;
  const batch = fixedBatch ?? 1;
  const wave = (length: number, middle: number, swing: number): Float32Array =>
    Float32Array.from({ length }, (_, index) => middle + swing * Math.sin(index * 0.37));
  try {
    const answer = await session.run({
      [melInput]: {
        type: 'float32',
        data: wave(batch * melChunkLength, 0, 4),
        dims: [batch, 1, melBandCount, melChunkColumns],
      },
      [framesInput]: {
        type: 'float32',
        data: wave(batch * 6 * cropSizePx ** 2, 0.5, 0.5),
        dims: [batch, 6, cropSizePx, cropSizePx],
      },
    });
    return Array.from(answer[output]?.data ?? [], Number);
  } catch (cause) {
    throw invalid(`It failed on crops of ${cropSizePx} × ${cropSizePx}.`, cause);
  }
}

function invalid(finding: string, cause?: unknown): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The model loads but does not draw a face. ${finding} Fetch or import it again.`,
    { cause },
  );
}
