import { elementBytes, type ElementType } from './element-types.ts';

/** A run of elements in the file, known by its key. */
export interface Storage {
  readonly key: string;
  readonly elementType: ElementType;
  readonly elementCount: number;
}

/** A part of a storage, as tensors name it. */
export interface StorageView {
  readonly kind: 'storage';
  readonly storage: Storage;
  readonly firstElement: number;
  readonly elementCount: number;
}

/** A tensor whose elements all lie within its storage. Sizes, strides and offset count elements. */
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

/** Whether the elements lie one after another in the order of the dimensions; the stride of a size of one says nothing. */
export function isContiguous({ dims, strides }: StoredTensor): boolean {
  if (dims.includes(0)) return true;
  let expected = 1;
  for (let axis = dims.length - 1; axis >= 0; axis -= 1) {
    const size = dims[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}
