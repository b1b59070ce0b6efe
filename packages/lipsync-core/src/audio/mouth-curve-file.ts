import { readFile, writeFile } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';

/** Mouth shape over time, one value per output frame; every array has the timeline's frame count. */
export interface MouthCurve {
  /** Opening between the inner lips: 0 closed, 1 the widest "ah" of this speaker. */
  readonly open: Float32Array;
  /** Width: −1 rounded as in "oo", 0 neutral, 1 spread as in "ee". */
  readonly wide: Float32Array;
  /** Strength of a bilabial closure (p, b, m), 0–1. Where it is high, `open` is near 0. */
  readonly closure: Float32Array;
  /** 1 in speech, 0 in pauses, with short ramps between. */
  readonly voiced: Float32Array;
}

/** The arrays in file order. The file holds little-endian float32 values without a header. */
const arrayNames = ['open', 'wide', 'closure', 'voiced'] as const satisfies readonly (keyof MouthCurve)[];

export async function writeMouthCurve(path: string, curve: MouthCurve): Promise<void> {
  await writeFile(path, Buffer.concat(arrayNames.map((name) => bytesOf(curve[name]))));
}

/** Reads a mouth curve of `frameCount` frames. Throws `internal` when the file has another length. */
export async function readMouthCurve(path: string, frameCount: number): Promise<MouthCurve> {
  const bytes = await readFile(path);
  if (bytes.length !== arrayNames.length * frameCount * Float32Array.BYTES_PER_ELEMENT) {
    throw new LipsyncError('internal', 'The mouth curve file does not match the frame count of the timeline.');
  }
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const part = (index: number): Float32Array => values.subarray(index * frameCount, (index + 1) * frameCount);
  return { open: part(0), wide: part(1), closure: part(2), voiced: part(3) };
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
