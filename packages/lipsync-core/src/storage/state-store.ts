/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Documents by key; undefined for a key without a document. */
export type Documents = ReadonlyMap<string, Json | undefined>;

export interface Change<Result> {
  readonly result: Result;
  /** New documents by key, null to delete one; only keys that the transaction read. */
  readonly writes?: ReadonlyMap<string, Json | null>;
}

export interface StoredDocument {
  readonly key: string;
  readonly document: Json;
}

export interface StatePage {
  /** Lists only keys after this one; it need not exist. */
  readonly after?: string;
  /** 1 to 1000. */
  readonly limit: number;
}

const pageSize = 100;

/** Yields all documents whose keys start with `prefix`, ascending by key, page by page. */
export async function* listAllDocuments(
  state: Pick<StateStore, 'list'>,
  prefix: string,
): AsyncGenerator<StoredDocument> {
  let after: string | undefined;
  do {
    const page = await state.list(prefix, { limit: pageSize, ...(after === undefined ? {} : { after }) });
    yield* page;
    after = page.length < pageSize ? undefined : page.at(-1)?.key;
  } while (after !== undefined);
}

/**
 * Small documents that several processes share and change in transactions. Every driver passes `stateStoreSuite`. Keys
 * are 1 to 300 printable ASCII characters without spaces.
 *
 * Every call throws `resource_exhausted` when the store is unreachable, full or contended for too long. The change may
 * have been stored then, so a caller that retries must tolerate a second application.
 */
export interface StateStore {
  /**
   * Reads a consistent snapshot of `keys`, passes it to `change` and stores the writes atomically. Runs `change` again
   * when another writer changed one of the documents in between, so `change` must be pure. Stores nothing when `change`
   * throws, and rethrows its error.
   */
  transact<Result>(keys: readonly string[], change: (documents: Documents) => Change<Result>): Promise<Result>;
  /** Lists the documents whose keys start with `prefix`, ascending by key. */
  list(prefix: string, page: StatePage): Promise<readonly StoredDocument[]>;
  /** Releases the store's resources; later calls throw `internal`. */
  close(): Promise<void>;
}
