import type { CheckpointFile } from './checkpoint-file.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import { elementBytes } from './element-types.ts';
import { countElements, isContiguous, type StoredTensor } from './stored-tensor.ts';

/**
 * Reads a tensor as float32; float16 and bfloat16 are widened, which is exact. `storagePosition` is the byte at which the
 * tensor's storage begins. Throws `model_invalid` for other element types and for tensors that are not contiguous.
 * Files are little-endian, and so is every processor that the ONNX runtime is made for.
 */
export async function readTensorValues(file: CheckpointFile, tensor: StoredTensor, storagePosition: number): Promise<Float32Array> {
  const { elementType } = tensor.storage;
  if (!isContiguous(tensor)) throw invalidCheckpoint('a contiguous tensor', `strides ${tensor.strides.join('×')} for ${tensor.dims.join('×')}`);
  const position = storagePosition + tensor.firstElement * elementBytes[elementType];
  const count = countElements(tensor.dims);
  if (elementType === 'float32') return readFloats(file, count, position);
  if (elementType === 'float16') return widen(await readHalves(file, count, position), widenFloat16);
  if (elementType === 'bfloat16') return widen(await readHalves(file, count, position), widenBfloat16);
  throw invalidCheckpoint('a tensor of float32, float16 or bfloat16', elementType);
}

async function readFloats(file: CheckpointFile, count: number, position: number): Promise<Float32Array> {
  const values = new Float32Array(count);
  await file.read(new Uint8Array(values.buffer), position);
  return values;
}

async function readHalves(file: CheckpointFile, count: number, position: number): Promise<Uint16Array> {
  const values = new Uint16Array(count);
  await file.read(new Uint8Array(values.buffer), position);
  return values;
}

function widen(halves: Uint16Array, toBits: (half: number) => number): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let index = 0; index < halves.length; index += 1) bits[index] = toBits(halves[index] ?? 0);
  return new Float32Array(bits.buffer);
}

function widenBfloat16(half: number): number {
  return half << 16;
}

/** Bits of the float32 that equals an IEEE 754 binary16: exponent bias 15 becomes 127, the fraction grows by 13 bits. */
function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: shift the leading one out of the fraction and lower the exponent as far.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | ((fraction << (13 + shift)) & 0x7fffff);
}
