import { writeFile } from 'node:fs/promises';
import { landmarkCount } from '../face/face-types.ts';
import { innerLipsLower, innerLipsUpper } from '../face/landmarks.ts';

/** Writes a mono WAV file of 32-bit floats, which may include NaN. */
export async function writeFloatWav(path: string, samples: Float32Array, sampleRateHz: number): Promise<void> {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(3, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(sampleRateHz, 24);
  header.writeUInt32LE(sampleRateHz * 4, 28);
  header.writeUInt16LE(4, 32);
  header.writeUInt16LE(32, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.byteLength, 40);
  await writeFile(path, Buffer.concat([header, new Uint8Array(samples.buffer)]));
}

/** Landmarks of a face with an eye distance and mouth width of 100 px and a lip opening of `opening` × 100 px. */
export function faceWith(opening: number): Float32Array {
  const points = new Float32Array(landmarkCount * 3);
  const put = (landmark: number, x: number, y: number): void => points.set([x, y, 0], landmark * 3);
  for (const landmark of [33, 133]) put(landmark, 100, 100);
  for (const landmark of [263, 362]) put(landmark, 200, 100);
  innerLipsUpper.forEach((landmark, index) => put(landmark, 100 + index * 10, 200));
  innerLipsLower.forEach((landmark, index) => put(landmark, 100 + index * 10, 200 + opening * 100));
  return points;
}
