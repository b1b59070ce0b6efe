/// <reference lib="es2025.float16" />
import type { CheckpointFile } from './checkpoint-file.ts';
import { invalidCheckpoint } from './checkpoint-errors.ts';
import { elementBytes } from './element-types.ts';
import { countElements, isContiguous, type StoredTensor } from './stored-tensor.ts';

/**
 * Reads a tensor as float32; float16 and bfloat16 are widened, which is exact. `storagePosition` is the byte at which the
 * tensor's storage begins. Throws `model_invalid` for other element types and for tensors that are not contiguous.
 * Files are little-endian, and so is every processor that the ONNX runtime is made for.
 */
export async function readTensorValues(
  file: CheckpointFile,
  tensor: StoredTensor,
  storagePosition: number,
): Promise<Float32Array> {
  const { elementType } = tensor.storage;
  if (!isContiguous(tensor))
    throw invalidCheckpoint('a contiguous tensor', `strides ${tensor.strides.join('×')} for ${tensor.dims.join('×')}`);
  const position = storagePosition + tensor.firstElement * elementBytes[elementType];
  const count = countElements(tensor.dims);
  if (elementType === 'float32') return readFloats(file, count, position);
  if (elementType === 'float16')
    return Float32Array.from(new Float16Array((await readHalves(file, count, position)).buffer));
  if (elementType === 'bfloat16') return widenBfloat16(await readHalves(file, count, position));
  throw invalidCheckpoint('a tensor of float32, float16 or bfloat16', elementType);
}

async function readFloats(file: CheckpointFile, count: number, position: number): Promise<Float32Array> {
  const values = new Float32Array(count);
  await file.read(new Uint8Array(values.buffer), position);
  return values;
}

async function readHalves(file: CheckpointFile, count: number, position: number): Promise<Uint16Array<ArrayBuffer>> {
  const values = new Uint16Array(count);
  await file.read(new Uint8Array(values.buffer), position);
  return values;
}

/** A bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}
