/** How large a checkpoint may be before it is refused. Every limit holds while reading, so that memory stays bounded. */
export interface CheckpointLimits {
  /** Of one pickle. */
  readonly pickleBytes: number;
  /** Values on the pickle machine's stack at one time. */
  readonly stackValues: number;
  readonly memoEntries: number;
  /** Containers, strings and tensors that one pickle makes. */
  readonly objects: number;
  /** Containers within containers. */
  readonly nesting: number;
  /** Of one string or byte string in a pickle. */
  readonly textBytes: number;
  /** Of one integer in a pickle. */
  readonly integerBytes: number;
  readonly zipMembers: number;
  /** Of all that an archive says about its members: names, comments and what else there is room for. */
  readonly zipDirectoryBytes: number;
  /** In the state dict. */
  readonly tensors: number;
  /** Of all tensors in the state dict together. */
  readonly elements: number;
}

/**
 * Ten times what the largest checkpoint that we import needs, or more (a pickle of 50 KB with 2 600 memo entries, 36 million
 * elements in 352 tensors, an integer of 10 bytes), and little enough for the worst pickle to be refused within a second or two.
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
