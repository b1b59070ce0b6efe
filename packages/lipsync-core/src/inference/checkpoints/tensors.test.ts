import { expect, it } from 'vitest';
import { memoryFile } from '../../../test/inference/checkpoints/checkpoint-files.ts';
import { readTensorValues } from './tensors.ts';

/** Reads a tensor of all 65 536 bit patterns of a 16-bit type. */
async function readEveryPattern(elementType: 'float16' | 'bfloat16'): Promise<Float32Array> {
  const bytes = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, bits) => bits).buffer);
  const storage = { key: '0', elementType, elementCount: 65_536 };
  return readTensorValues(
    memoryFile(bytes),
    { kind: 'tensor', storage, firstElement: 0, dims: [65_536], strides: [1] },
    0,
  );
}

/** Decodes a 16-bit float by the definition of IEEE 754: sign, `exponentBits` of exponent, fraction. */
function decodeFloat(bits: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const maxExponent = 2 ** exponentBits - 1;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = (bits >> fractionBits) & maxExponent;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === maxExponent) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

it.each([
  ['float16', 5],
  ['bfloat16', 8],
] as const)('Every %s bit pattern is widened to the same number.', async (elementType, exponentBits) => {
  const values = await readEveryPattern(elementType);
  const wrong = Array.from(values.keys()).filter((bits) => !Object.is(values[bits], decodeFloat(bits, exponentBits)));
  expect(wrong).toEqual([]);
});
