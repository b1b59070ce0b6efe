import { mfccCount } from '../../audio/mfcc.ts';
import { LipsyncError } from '../../errors/index.ts';
import { loadSession, type OnnxSession, type OnnxTensor } from '../../inference/onnx-session.ts';
import { countModelThreads } from '../../processes/cpu-share.ts';
import { hashFile } from '../../storage/file-hash.ts';
import { croppedLength } from './syncnet-crop.ts';
import {
  audioOutputName,
  embeddingLength,
  framesInputName,
  frameSidePx,
  lipOutputName,
  mfccInputName,
  windowFrames,
  windowMfccRows,
} from './syncnet-network.ts';
import { requireSyncNetPorts } from './try-model.ts';

const plane = frameSidePx * frameSidePx;
const framesLength = windowFrames * croppedLength;
const mfccLength = mfccCount * windowMfccRows;

/** Embeddings of pictures and sounds, one array each. */
export interface Embeddings {
  readonly lips: readonly Float32Array[];
  readonly sounds: readonly Float32Array[];
}

/** A loaded SyncNet. The owner releases it. */
export class SyncNetModel {
  readonly sha256: string;
  readonly #session: OnnxSession;
  /** Input of the largest batch so far: a new array of 24 MB per batch would cost as much as its copies. */
  #frames = new Float32Array(0);

  private constructor(session: OnnxSession, sha256: string) {
    this.#session = session;
    this.sha256 = sha256;
  }

  /** Loads an ONNX file. Throws the errors of `loadSession`, and `model_invalid` for another network. */
  static async load(path: string, signal: AbortSignal): Promise<SyncNetModel> {
    const session = await loadSession(path, { threads: await countModelThreads(), spinning: false });
    try {
      requireSyncNetPorts(session);
      return new SyncNetModel(session, (await hashFile(path, signal)).sha256);
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  /**
   * Embeds pictures, `windowFrames` cropped frames each, and sounds, `windowMfccRows` rows of MFCC each. At least one of
   * both. Throws `model_invalid` when an embedding is not finite.
   */
  async embed(pictures: readonly (readonly Uint8Array[])[], sounds: readonly Float32Array[]): Promise<Embeddings> {
    const length = pictures.length * framesLength;
    if (this.#frames.length < length) this.#frames = new Float32Array(length);
    const frames = this.#frames.subarray(0, length);
    pictures.forEach((window, index) => layOutFrames(window, frames.subarray(index * framesLength)));
    const mfcc = new Float32Array(sounds.length * mfccLength);
    sounds.forEach((rows, index) => transposeRows(rows, mfcc.subarray(index * mfccLength)));
    const outputs = await this.#session.run({
      [framesInputName]: {
        type: 'float32',
        data: frames,
        dims: [pictures.length, 3 * windowFrames, frameSidePx, frameSidePx],
      },
      [mfccInputName]: { type: 'float32', data: mfcc, dims: [sounds.length, 1, mfccCount, windowMfccRows] },
    });
    return { lips: split(outputs[lipOutputName]), sounds: split(outputs[audioOutputName]) };
  }
}

/** The network takes all blue planes first, then green, then red, each in order of time. */
function layOutFrames(window: readonly Uint8Array[], output: Float32Array): void {
  window.forEach((frame, time) => {
    for (let color = 0; color < 3; color += 1)
      output.set(frame.subarray(color * plane, (color + 1) * plane), (color * windowFrames + time) * plane);
  });
}

/** Coefficients are rows, time the columns of the network's input. */
function transposeRows(rows: Float32Array, output: Float32Array): void {
  for (let row = 0; row < windowMfccRows; row += 1)
    for (let index = 0; index < mfccCount; index += 1)
      output[index * windowMfccRows + row] = rows[row * mfccCount + index] ?? 0;
}

function split(tensor: OnnxTensor | undefined): Float32Array[] {
  const { data } = tensor?.type === 'float32' ? tensor : { data: new Float32Array(0) };
  if (!data.every(Number.isFinite))
    throw new LipsyncError(
      'model_invalid',
      'SyncNet computed values that are not finite. Import its checkpoint again.',
    );
  return Array.from({ length: data.length / embeddingLength }, (_, index) =>
    data.slice(index * embeddingLength, (index + 1) * embeddingLength),
  );
}
