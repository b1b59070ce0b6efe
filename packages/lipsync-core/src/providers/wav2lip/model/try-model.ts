import { LipsyncError } from '../../../errors/index.ts';
import { loadSession, type OnnxSession } from '../../../inference/onnx-session.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns, melChunkLength } from '../mel-chunks.ts';
import { describeWav2LipModel, type Wav2LipModelFacts } from './model-facts.ts';

/** A deterministic mel value for test inputs, −4 to 4, different at every index. */
export function testMelValue(index: number): number {
  return 4 * Math.sin(index * index * 0.37);
}

/** A deterministic pixel value for test inputs, 0 to 1, different at every index. */
export function testPixelValue(index: number): number {
  return 0.5 + 0.5 * Math.sin(index * index * 0.11);
}

/**
 * Loads a Wav2Lip model on the CPU and runs it once on test inputs. Throws `model_missing` when the file cannot be
 * read, `model_invalid` when it is another model, fails to run, or generates values of the wrong count or non-finite
 * values.
 */
export async function tryWav2LipModel(path: string): Promise<Wav2LipModelFacts> {
  const session = await loadSession(path, { threads: 1 });
  try {
    const facts = describeWav2LipModel(session);
    const generated = await runOnce(session, facts);
    const expected = (facts.fixedBatch ?? 1) * 3 * facts.cropSizePx ** 2;
    if (generated.length !== expected) throw invalid(`It generated ${generated.length} values instead of ${expected}.`);
    if (!generated.every(Number.isFinite)) throw invalid('It generated values that are not finite.');
    return facts;
  } finally {
    await session.release();
  }
}

async function runOnce(session: OnnxSession, facts: Wav2LipModelFacts): Promise<readonly number[]> {
  const { fixedBatch, cropSizePx, melInput, framesInput, output } = facts;
  const batch = fixedBatch ?? 1;
  const wave = (length: number, offset: number, amplitude: number): Float32Array =>
    Float32Array.from({ length }, (_, index) => offset + amplitude * Math.sin(index * 0.37));
  try {
    const outputs = await session.run({
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
    return Array.from(outputs[output]?.data ?? [], Number);
  } catch (cause) {
    throw invalid(`It failed on crops of ${cropSizePx} × ${cropSizePx}.`, cause);
  }
}

function invalid(finding: string, cause?: unknown): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The model loads but does not generate a face. ${finding} Download or import it again.`,
    { cause },
  );
}
