import { LipsyncError } from '../../../errors/index.ts';
import type { NetworkTrial } from '../../../inference/models/network-kind.ts';
import type { OnnxSession } from '../../../inference/onnx-session.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns, melChunkLength } from '../mel-chunks.ts';
import { describeWav2LipModel, type Wav2LipModelFacts } from './model-facts.ts';
import { startRowTensor } from './start-rows.ts';

/** A deterministic mel value for test inputs, −4 to 4, different at every index. */
export function testMelValue(index: number): number {
  return 4 * Math.sin(index * index * 0.37);
}

/** A deterministic pixel value for test inputs, 0 to 1, different at every index. */
export function testPixelValue(index: number): number {
  return 0.5 + 0.5 * Math.sin(index * index * 0.11);
}

/** Runs Wav2Lip models once. */
export const networkTrial: NetworkTrial = {
  matches: ({ inputs }) =>
    inputs.some(
      ({ dims: [, channels, bands, columns] }) =>
        channels === 1 && bands === melBandCount && columns === melChunkColumns,
    ),
  async run(session) {
    const facts = describeWav2LipModel(session);
    const generated = await runOnce(session, facts);
    const { cropSizePx, fixedBatch, melInput, framesInput, output } = facts;
    const expected = (fixedBatch ?? 1) * 3 * cropSizePx ** 2;
    if (generated.length !== expected) throw invalid(`It generated ${generated.length} values instead of ${expected}.`);
    if (!generated.every(Number.isFinite)) throw invalid('It generated values that are not finite.');
    const batches = fixedBatch === null ? 'any batch' : `batches of ${fixedBatch}`;
    return {
      facts: {
        crop_size_px: cropSizePx,
        fixed_batch: fixedBatch,
        inputs: { mel: melInput, frames: framesInput },
        output,
      },
      summary: `crops of ${cropSizePx} × ${cropSizePx}, ${batches}; one pass is finite`,
    };
  },
};

async function runOnce(session: OnnxSession, facts: Wav2LipModelFacts): Promise<readonly number[]> {
  const { fixedBatch, cropSizePx, melInput, framesInput, startRowInput, output } = facts;
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
      ...(startRowInput === null ? {} : { [startRowInput]: startRowTensor(0) }),
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
