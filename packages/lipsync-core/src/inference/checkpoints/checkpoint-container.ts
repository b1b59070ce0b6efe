import type { PickleValue } from './pickle-values.ts';
import type { Storage } from './tensors.ts';

/** The content of a checkpoint file, independent of its format. */
export interface CheckpointContainer {
  /** The object that was passed to `torch.save`. */
  readonly root: PickleValue;
  /**
   * Returns the byte offset of each storage by key. Throws `model_invalid` unless all of them lie completely in the
   * file.
   */
  locate(storages: ReadonlySet<Storage>): Promise<ReadonlyMap<string, number>>;
}
