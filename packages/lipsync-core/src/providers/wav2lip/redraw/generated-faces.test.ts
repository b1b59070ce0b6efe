import { expect, it } from 'vitest';
import { GeneratedFaces } from './generated-faces.ts';

const faceBytes = 1024 ** 2;
const inputsOf = (value: number) => ({
  crop: Uint8Array.of(value),
  melChunk: Float32Array.of(0),
  reference: 'own' as const,
  firstRow: 40,
});

it('Crop, sound, reference and generated rows all distinguish faces.', () => {
  const faces = new GeneratedFaces(faceBytes);
  const inputs = inputsOf(1);
  expect(faces.take(inputs).isNew).toBe(true);
  expect(faces.take({ ...inputs, melChunk: Float32Array.of(-0) }).isNew).toBe(true);
  expect(faces.take({ ...inputs, reference: 'closed' }).isNew).toBe(true);
  expect(faces.take({ ...inputs, firstRow: 32 }).isNew).toBe(true);
  expect(faces.take(inputs).isNew).toBe(false);
});

it('At most 4 MiB of faces are kept, those used last.', () => {
  const faces = new GeneratedFaces(faceBytes);
  for (const value of [1, 2, 3, 4, 1, 5]) faces.take(inputsOf(value));
  expect([1, 3, 4, 5].map((value) => faces.take(inputsOf(value)).isNew)).toEqual([false, false, false, false]);
  expect(faces.take(inputsOf(2)).isNew).toBe(true);
});
