/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** The documents of the keys that were asked for; undefined where there is none. */
export type Documents = ReadonlyMap<string, Json | undefined>;

export interface Change<Result> {
  readonly result: Result;
  /** New documents by key, null to delete one; only keys that were read. Nothing is stored where there are none. */
  readonly writes?: ReadonlyMap<string, Json | null>;
}

export interface StoredDocument {
  readonly key: string;
  readonly document: Json;
}

export interface StatePage {
  /** Begin behind this key, whether there is such a document or not. */
  readonly after?: string;
  /** 1 to 1000. */
  readonly limit: number;
}

/**
 * What several processes decide together: small documents by key, changed in transactions. A port; every driver passes
 * the same suite. Keys are 1 to 300 printable ASCII characters without spaces.
 *
 * Every call throws `resource_exhausted` when the store cannot be reached, is full, or was contended for too long: then
 * the change may or may not have been stored, so that a change must bear being made again.
 */
export interface StateStore {
  /**
   * Reads `keys` at one moment, gives their documents to `change` and stores what it returns: all of it or nothing, and
   * only if nobody wrote any of them meanwhile; otherwise once more from the start. `change` is therefore pure; what it
   * throws is thrown, and nothing is stored.
   */
  transact<Result>(keys: readonly string[], change: (documents: Documents) => Change<Result>): Promise<Result>;
  /** Documents whose keys begin with `prefix`, ascending by key. */
  list(prefix: string, page: StatePage): Promise<readonly StoredDocument[]>;
  /** Lets go of what the store holds open; a call after it throws `internal`. */
  close(): Promise<void>;
}
