import { LipsyncError } from '../../errors/index.ts';
import { openCheckpoint } from '../../inference/checkpoints/checkpoint.ts';
import { rejectInvalidTensors } from '../../inference/models/expected-tensors.ts';
import { hashModelFile, isOnnx } from '../../inference/models/model-record.ts';
import { loadSession, type OnnxSession } from '../../inference/onnx-session.ts';
import { encodeOnnxModel } from '../../inference/onnx-writer.ts';
import { mfccCount } from '../../audio/mfcc.ts';
import { facesInputName, mfccInputName, mouthScoresOutputName, scoresOutputName } from './speaker-graph.ts';
import { speakerKind } from './speaker-kind.ts';
import { mfccRowsPerFrame, speakerCropPx } from './speaker-network.ts';

/** Mean logits of a window. */
export interface SpeakerScore {
  /** Whether this mouth speaks this sound. Never a grade: it hardly tells own from foreign speech. */
  readonly speaker: number;
  /** Whether the mouth moves as in speech, whatever sounds. */
  readonly mouth: number;
}

/** LR-ASD, loaded. */
export class SpeakerModel {
  readonly sha256: string;
  readonly #session: OnnxSession;

  private constructor(session: OnnxSession, sha256: string) {
    this.#session = session;
    this.sha256 = sha256;
  }

  /**
   * Loads an imported model, or the authors' checkpoint, which takes a tenth of a second more. Throws `model_missing` and
   * `model_invalid`.
   */
  static async load(path: string): Promise<SpeakerModel> {
    const { signal } = new AbortController();
    const { sha256 } = await hashModelFile(path, signal);
    const session = await loadSession(isOnnx(path) ? path : await convert(path, signal), { threads: 1 });
    const names = [...session.inputNames, ...session.outputNames];
    const needed = [facesInputName, mfccInputName, scoresOutputName, mouthScoresOutputName];
    if (!needed.every((name) => names.includes(name))) {
      await session.release();
      throw new LipsyncError(
        'model_invalid',
        'The model at ASD_MODEL_PATH is not LR-ASD as "models import" writes it.',
      );
    }
    return new SpeakerModel(session, sha256);
  }

  /** Scores one window: gray crops frame by frame, and four rows of MFCC per frame. */
  async score(crops: Uint8Array, mfcc: Float32Array): Promise<SpeakerScore> {
    const frames = crops.length / speakerCropPx ** 2;
    const outputs = await this.#session.run({
      [facesInputName]: {
        type: 'float32',
        data: Float32Array.from(crops),
        dims: [1, frames, speakerCropPx, speakerCropPx],
      },
      [mfccInputName]: { type: 'float32', data: mfcc, dims: [1, frames * mfccRowsPerFrame, mfccCount] },
    });
    const mean = (name: string): number => {
      const values = Array.from(outputs[name]?.data ?? [], Number);
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    return { speaker: mean(scoresOutputName), mouth: mean(mouthScoresOutputName) };
  }
}

/** The ONNX model of a checkpoint, in memory. */
async function convert(path: string, signal: AbortSignal): Promise<Uint8Array> {
  const checkpoint = await openCheckpoint(path, { signal });
  try {
    const source = rejectInvalidTensors(checkpoint);
    const form = { elementType: 'float32', form: 'plain' } as const;
    return encodeOnnxModel((await speakerKind.build(checkpoint.tensors, source, form)).graph);
  } finally {
    await checkpoint.close();
  }
}
