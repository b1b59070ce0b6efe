import { LipsyncError } from '../../../errors/index.ts';
import type { OnnxSession, OnnxTensor } from '../../../inference/onnx-session.ts';
import { melBandCount, melChunkColumns, melChunkLength } from '../features/index.ts';
import type { Wav2LipModelFacts } from '../model/model-facts.ts';
import { faceBytes } from './engine-protocol.ts';
import { readDrawnFaces, writeFrames } from './face-tensors.ts';

/** Faces to be drawn, with the sound of each. Not changed by the model. */
export interface FaceBatch {
  readonly count: number;
  /** count × 80 × 16 values, mel bands from low to high, columns in time. */
  readonly mel: Float32Array;
  /** The frames to draw in: count × size × size × 3 bytes, BGR. */
  readonly faces: Uint8Array;
  /** What the model is shown unmasked, of the same shape; mostly the very same bytes. */
  readonly references: Uint8Array;
}

export interface DrawnFaces {
  /** count × size × size × 3 bytes, BGR. */
  readonly faces: Uint8Array<ArrayBuffer>;
  /** The largest batch that is run from now on, because a larger one failed; null where none has. */
  readonly reducedTo: number | null;
}

/** A Wav2Lip model that takes and gives faces as bytes. One batch at a time. */
export interface FaceModel {
  readonly facts: Wav2LipModelFacts;
  /**
   * Draws the batch, at most `largestBatch` faces at once. A run that fails is tried again with half as many; throws
   * `resource_exhausted` when a single face fails, too, and `model_invalid` when the model gives a value that is no number.
   */
  draw(batch: FaceBatch, largestBatch: number): Promise<DrawnFaces>;
  release(): Promise<void>;
}

/** Makes a face model of a session, which it owns from here on. */
export function createFaceModel(session: OnnxSession, facts: Wav2LipModelFacts): FaceModel {
  const inputs = createInputs(facts);
  return {
    facts,
    release: () => session.release(),
    async draw(batch, largestBatch) {
      const faces = new Uint8Array(batch.count * faceBytes(facts.cropSizePx));
      let atOnce = facts.fixedBatch ?? largestBatch;
      let reducedTo: number | null = null;
      for (let done = 0; done < batch.count;) {
        const part = partOf(batch, done, Math.min(batch.count, done + atOnce), facts.cropSizePx);
        const values = await tryRun(session, facts, inputs(part), part.count);
        if (values !== undefined) {
          readDrawnFaces(values, part.count, facts.cropSizePx, faces.subarray(done * faceBytes(facts.cropSizePx)));
          done += part.count;
        } else {
          // What failed is what ran, which the end of a batch may have made smaller than the limit.
          atOnce = Math.floor(part.count / 2);
          reducedTo = atOnce;
        }
      }
      return { faces, reducedTo };
    },
  };
}

type ModelInputs = (part: FaceBatch) => { readonly mel: OnnxTensor; readonly frames: OnnxTensor };

/** Tensors for a part of a batch. Their memory is used again for the next part; what fills up a fixed batch is not looked at. */
function createInputs({ cropSizePx, fixedBatch }: Wav2LipModelFacts): ModelInputs {
  const frameValues = 2 * faceBytes(cropSizePx);
  let mel = new Float32Array();
  let frames = new Float32Array();
  return (part) => {
    const count = fixedBatch ?? part.count;
    if (frames.length < count * frameValues) {
      mel = new Float32Array(count * melChunkLength);
      frames = new Float32Array(count * frameValues);
    }
    mel.set(part.mel);
    writeFrames(part, cropSizePx, frames);
    return {
      mel: {
        type: 'float32',
        dims: [count, 1, melBandCount, melChunkColumns],
        data: mel.subarray(0, count * melChunkLength),
      },
      frames: {
        type: 'float32',
        dims: [count, 6, cropSizePx, cropSizePx],
        data: frames.subarray(0, count * frameValues),
      },
    };
  };
}

function partOf({ mel, faces, references }: FaceBatch, start: number, end: number, cropSizePx: number): FaceBatch {
  const bytes = faceBytes(cropSizePx);
  const cut = (pictures: Uint8Array): Uint8Array => pictures.subarray(start * bytes, end * bytes);
  const cutFaces = cut(faces);
  return {
    count: end - start,
    mel: mel.subarray(start * melChunkLength, end * melChunkLength),
    faces: cutFaces,
    references: references === faces ? cutFaces : cut(references),
  };
}

/** The model's answer; undefined where it failed and may succeed with fewer faces. */
async function tryRun(
  session: OnnxSession,
  facts: Wav2LipModelFacts,
  { mel, frames }: ReturnType<ModelInputs>,
  count: number,
): Promise<Float32Array | undefined> {
  try {
    const { [facts.output]: output } = await session.run({ [facts.melInput]: mel, [facts.framesInput]: frames });
    if (output?.type === 'float32' && output.data.length >= count * faceBytes(facts.cropSizePx)) return output.data;
  } catch (cause) {
    // The same model ran when it was loaded: fewer faces need less memory.
    if (count > 1 && facts.fixedBatch === null) return undefined;
    throw failedAtAnySize(facts, cause);
  }
  throw new LipsyncError(
    'model_invalid',
    'The model gives pictures of another shape than it says. Fetch or import it again.',
  );
}

function failedAtAnySize({ fixedBatch }: Wav2LipModelFacts, cause: unknown): LipsyncError {
  const tried =
    fixedBatch === null
      ? 'fewer faces at once, down to a single one, did not help'
      : `it takes no smaller batches than ${fixedBatch}`;
  return new LipsyncError(
    'resource_exhausted',
    `A run of the model failed, and ${tried}. If memory is short, run fewer jobs at once or add some; the log holds what the runtime said.`,
    { cause },
  );
}
