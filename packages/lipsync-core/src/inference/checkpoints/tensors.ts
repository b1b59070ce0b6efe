/// <reference lib="es2025.float16" />
import type { CheckpointFile } from './checkpoint-file.ts';
import { invalidCheckpoint } from './limits.ts';

/** Size in bytes of one stored element, by PyTorch's dtype name. */
const elementBytes = Object.freeze({
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
});

/** PyTorch's dtype names. */
export type ElementType = keyof typeof elementBytes;

/** A contiguous block of elements in the file, identified by its key. */
export interface Storage {
  readonly key: string;
  readonly elementType: ElementType;
  readonly elementCount: number;
}

/** A range of a storage. */
export interface StorageView {
  readonly kind: 'storage';
  readonly storage: Storage;
  readonly firstElement: number;
  readonly elementCount: number;
}

/** A tensor that lies within its storage. Sizes, strides and offset are in elements. */
export interface StoredTensor {
  readonly kind: 'tensor';
  readonly storage: Storage;
  readonly firstElement: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
}

export function countElements(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

export function storageBytes(storage: Storage): number {
  return storage.elementCount * elementBytes[storage.elementType];
}

/**
 * Reads a tensor as float32, row-major; float16 and bfloat16 are widened exactly. `storagePosition` is the byte offset
 * of the tensor's storage. Throws `model_invalid` for other element types and for non-contiguous tensors. Files are
 * little-endian, as are all processors that the ONNX runtime supports.
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

/** Whether the elements are in row-major order without gaps. The stride of an axis of size 1 is irrelevant. */
function isContiguous({ dims, strides }: StoredTensor): boolean {
  if (dims.includes(0)) return true;
  let expected = 1;
  for (let axis = dims.length - 1; axis >= 0; axis -= 1) {
    const size = dims[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
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
