import { LipsyncError } from '../../../errors/index.ts';
import type { OnnxSession, OnnxTensor } from '../../../inference/onnx-session.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns, melChunkLength } from '../mel-chunks.ts';
import type { Wav2LipModelFacts } from '../model/model-facts.ts';
import { startRowTensor } from '../model/start-rows.ts';
import { faceBytes } from './engine-protocol.ts';

/** Faces to draw, with the speech of each. The model does not modify them. */
export interface FaceBatch {
  readonly count: number;
  /** count × 80 × 16 values: mel bands from low to high, columns in time. */
  readonly mel: Float32Array;
  /** The frames to redraw: count × size × size × 3 bytes, BGR. */
  readonly faces: Uint8Array;
  /** The unmasked reference frames in the same shape, usually the same array. */
  readonly references: Uint8Array;
  /** The first row that is needed; rows above it may stay black. 0 by default. */
  readonly startRow?: number;
}

export interface DrawnFaces {
  /** count × size × size × 3 bytes, BGR. */
  readonly faces: Uint8Array<ArrayBuffer>;
  /** The batch size for further runs, because a larger batch failed; null if none failed. */
  readonly reducedTo: number | null;
}

interface ModelInputs {
  readonly mel: OnnxTensor;
  readonly frames: OnnxTensor;
}

/** The last rows of the pictures that a model drew. */
interface DrawnRows {
  /** Planes of the rows: faces × 3 × rows × size values. */
  readonly values: Float32Array;
  readonly rows: number;
}

/** A Wav2Lip model that reads and draws faces as bytes, one batch at a time. Owns its session. */
export class FaceModel {
  readonly facts: Wav2LipModelFacts;
  readonly #session: OnnxSession;
  /** Input memory, reused for every run. The unused rest of a fixed batch keeps old values. */
  #mel = new Float32Array();
  #frames = new Float32Array();

  constructor(session: OnnxSession, facts: Wav2LipModelFacts) {
    this.#session = session;
    this.facts = facts;
  }

  /**
   * Draws a batch in runs of at most `largestBatch` faces. A failed run is retried with half as many. Throws
   * `resource_exhausted` when a single face fails too, and `model_invalid` when the model returns a value that is not
   * finite.
   */
  async draw(batch: FaceBatch, largestBatch: number): Promise<DrawnFaces> {
    const { cropSizePx, fixedBatch } = this.facts;
    const faces = new Uint8Array(batch.count * faceBytes(cropSizePx));
    let runSize = fixedBatch ?? largestBatch;
    let reducedTo: number | null = null;
    for (let done = 0; done < batch.count;) {
      const part = sliceBatch(batch, done, Math.min(batch.count, done + runSize), cropSizePx);
      const drawn = await this.#tryRun(part);
      if (drawn !== undefined) {
        readDrawnFaces(drawn, part.count, cropSizePx, faces.subarray(done * faceBytes(cropSizePx)));
        done += part.count;
      } else {
        // Half of what actually ran, which at the end of a batch may be less than the limit.
        runSize = Math.floor(part.count / 2);
        reducedTo = runSize;
      }
    }
    return { faces, reducedTo };
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  /** The output of the model; undefined if it failed and may succeed with fewer faces. */
  async #tryRun(part: FaceBatch): Promise<DrawnRows | undefined> {
    const { facts } = this;
    const { startRow = 0 } = part;
    const { mel, frames } = this.#writeInputs(part);
    try {
      const { [facts.output]: output } = await this.#session.run({
        [facts.melInput]: mel,
        [facts.framesInput]: frames,
        ...(facts.startRowInput === null ? {} : { [facts.startRowInput]: startRowTensor(startRow) }),
      });
      const drawn = output && drawnRows(output, part.count, facts);
      if (drawn && drawn.rows >= facts.cropSizePx - startRow) return drawn;
    } catch (cause) {
      // The model ran when it was loaded, and fewer faces need less memory.
      if (part.count > 1 && facts.fixedBatch === null) return undefined;
      throw failedAtAnySize(facts, cause);
    }
    throw new LipsyncError(
      'model_invalid',
      'The output of the model does not have the shape that the model declares. Fetch or import it again.',
    );
  }

  #writeInputs(part: FaceBatch): ModelInputs {
    const { cropSizePx, fixedBatch } = this.facts;
    const frameValues = 2 * faceBytes(cropSizePx);
    const count = fixedBatch ?? part.count;
    if (this.#frames.length < count * frameValues) {
      this.#mel = new Float32Array(count * melChunkLength);
      this.#frames = new Float32Array(count * frameValues);
    }
    this.#mel.set(part.mel);
    writeFrames(part, cropSizePx, this.#frames);
    return {
      mel: {
        type: 'float32',
        dims: [count, 1, melBandCount, melChunkColumns],
        data: this.#mel.subarray(0, count * melChunkLength),
      },
      frames: {
        type: 'float32',
        dims: [count, 6, cropSizePx, cropSizePx],
        data: this.#frames.subarray(0, count * frameValues),
      },
    };
  }
}

function sliceBatch(
  { mel, faces, references, startRow = 0 }: FaceBatch,
  start: number,
  end: number,
  cropSizePx: number,
): FaceBatch {
  const bytes = faceBytes(cropSizePx);
  const slice = (pixels: Uint8Array): Uint8Array => pixels.subarray(start * bytes, end * bytes);
  const slicedFaces = slice(faces);
  return {
    count: end - start,
    mel: mel.subarray(start * melChunkLength, end * melChunkLength),
    faces: slicedFaces,
    references: references === faces ? slicedFaces : slice(references),
    startRow,
  };
}

/**
 * Writes the frame input of the model: planes of values from 0 to 1; blue, green and red of the frame to redraw with
 * its lower half zero, then of the reference. `frames` holds at least count × 6 × size × size values.
 */
export function writeFrames({ count, faces, references }: FaceBatch, cropSizePx: number, frames: Float32Array): void {
  const plane = cropSizePx * cropSizePx;
  const shown = Math.floor(cropSizePx / 2) * cropSizePx;
  for (let face = 0; face < count; face += 1) {
    const to = face * plane * 6;
    const from = faces.subarray(face * plane * 3);
    writePlanes(from, shown, frames.subarray(to), plane);
    for (let channel = 0; channel < 3; channel += 1)
      frames.fill(0, to + channel * plane + shown, to + (channel + 1) * plane);
    writePlanes(references.subarray(face * plane * 3), plane, frames.subarray(to + 3 * plane), plane);
  }
}

/** Splits the first `count` interleaved pixels into three planes. */
function writePlanes(pixels: Uint8Array, count: number, planes: Float32Array, plane: number): void {
  for (let pixel = 0; pixel < count; pixel += 1) {
    const source = pixel * 3;
    planes[pixel] = (pixels[source] ?? 0) / 255;
    planes[plane + pixel] = (pixels[source + 1] ?? 0) / 255;
    planes[2 * plane + pixel] = (pixels[source + 2] ?? 0) / 255;
  }
}

/** The output of a model as rows; undefined when it is too small. */
function drawnRows(output: OnnxTensor, count: number, { cropSizePx }: Wav2LipModelFacts): DrawnRows | undefined {
  const rows = Math.min(cropSizePx, output.dims[2] ?? 0);
  if (output.type !== 'float32' || output.data.length < count * 3 * rows * cropSizePx) return undefined;
  return { values: output.data, rows };
}

/**
 * Converts planes of values from 0 to 1 into interleaved bytes, rounded and clamped. Rows that were not drawn stay
 * unchanged. Throws `model_invalid` for a value that is not finite.
 */
function readDrawnFaces({ values, rows }: DrawnRows, count: number, cropSizePx: number, faces: Uint8Array): void {
  const plane = rows * cropSizePx;
  const skipped = cropSizePx * cropSizePx - plane;
  // The typed array rounds and clamps.
  const clamped = new Uint8ClampedArray(faces.buffer, faces.byteOffset, faces.byteLength);
  for (let channel = 0; channel < count * 3; channel += 1) {
    const from = channel * plane;
    const to = (Math.floor(channel / 3) * cropSizePx * cropSizePx + skipped) * 3 + (channel % 3);
    for (let pixel = 0; pixel < plane; pixel += 1) {
      const value = values[from + pixel] ?? Number.NaN;
      // 0 for finite numbers, NaN for all others, and faster than Number.isFinite.
      if (value - value !== 0) throw notFinite(value);
      clamped[to + pixel * 3] = value * 255;
    }
  }
}

function notFinite(value: number): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    'The model returns values that are not finite. Fetch or import it again, or run it on another device.',
    { cause: new Error(`${value} among the values of a face`) },
  );
}

function failedAtAnySize({ fixedBatch }: Wav2LipModelFacts, cause: unknown): LipsyncError {
  const tried =
    fixedBatch === null
      ? 'smaller batches down to a single face failed too'
      : `it accepts no batches smaller than ${fixedBatch}`;
  return new LipsyncError(
    'resource_exhausted',
    `A run of the model failed, and ${tried}. If memory is short, run fewer jobs at once or add memory; the log holds the message of the runtime.`,
    { cause },
  );
}
