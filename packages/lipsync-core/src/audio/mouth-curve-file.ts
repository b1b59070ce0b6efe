import { readFile, writeFile } from 'node:fs/promises';
import { LipsyncError } from '../errors/index.ts';
import type { MouthCurve } from './speech-types.ts';

/** The curve's arrays in the order in which the file holds them, as little-endian float32 and nothing else. */
const parts = ['open', 'wide', 'closure', 'voiced'] as const satisfies readonly (keyof MouthCurve)[];

/** Writes a mouth curve for another process to read. */
export async function writeMouthCurve(path: string, curve: MouthCurve): Promise<void> {
  await writeFile(path, Buffer.concat(parts.map((name) => bytesOf(curve[name]))));
}

/** Reads a mouth curve of `frameCount` frames. Throws `internal` when the file is of another length. */
export async function readMouthCurve(path: string, frameCount: number): Promise<MouthCurve> {
  const bytes = await readFile(path);
  if (bytes.length !== parts.length * frameCount * Float32Array.BYTES_PER_ELEMENT) {
    throw new LipsyncError('internal', 'The mouth curve does not belong to this timeline.');
  }
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const part = (index: number): Float32Array => values.subarray(index * frameCount, (index + 1) * frameCount);
  return { open: part(0), wide: part(1), closure: part(2), voiced: part(3) };
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
