import type { PickleValue } from './pickle/pickle-values.ts';
import type { Storage } from './stored-tensor.ts';

/** What both file formats give: the object that was saved, and where in the file its storages lie. */
export interface CheckpointContainer {
  readonly root: PickleValue;
  /**
   * The byte at which each of these storages begins, by key. Checks that all of each lies in the file; throws
   * `model_invalid` otherwise.
   */
  locate(storages: ReadonlySet<Storage>): Promise<ReadonlyMap<string, number>>;
}
