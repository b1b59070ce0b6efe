import { LipsyncError } from '../../errors/lipsync-error.ts';

/** Upper bounds for the content of a checkpoint. They are enforced while reading, so memory stays bounded. */
export interface CheckpointLimits {
  /** Size of one pickle. */
  readonly pickleBytes: number;
  /** Values and marks on the stack of the pickle machine at any time. */
  readonly stackValues: number;
  readonly memoEntries: number;
  /** Containers, strings and tensors that one pickle creates. */
  readonly objects: number;
  /** Depth of nested containers. */
  readonly nesting: number;
  /** Size of one string in a pickle. */
  readonly textBytes: number;
  /** Size of one integer in a pickle. */
  readonly integerBytes: number;
  readonly zipMembers: number;
  /** Size of the central directory of a zip archive: names, comments and extra fields included. */
  readonly zipDirectoryBytes: number;
  /** Tensors in the state dict. */
  readonly tensors: number;
  /** Elements of all tensors in the state dict. */
  readonly elements: number;
}

/**
 * At least ten times the needs of the largest supported checkpoint (a 50 KB pickle with 2 600 memo entries, 36 million
 * elements in 352 tensors, 10-byte integers). The worst pickle within these limits is rejected in about two seconds.
 */
export const defaultCheckpointLimits: CheckpointLimits = Object.freeze({
  pickleBytes: 4 * 1024 * 1024,
  stackValues: 100_000,
  memoEntries: 200_000,
  objects: 200_000,
  nesting: 64,
  textBytes: 64 * 1024,
  integerBytes: 16,
  zipMembers: 50_000,
  zipDirectoryBytes: 8 * 1024 * 1024,
  tensors: 20_000,
  elements: 400_000_000,
});

/** Creates the `model_invalid` error for unexpected file content. `expected` and `found` complete a sentence. */
export function invalidCheckpoint(expected: string, found: string, cause?: unknown): LipsyncError {
  const message = `The checkpoint cannot be read: expected ${expected}, found ${found}. Download it again from its authors.`;
  return new LipsyncError('model_invalid', message, { cause });
}
