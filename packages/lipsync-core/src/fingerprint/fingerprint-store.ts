import type { Json, StateStore } from '../storage/state-store.ts';
import type { Fingerprint } from './fingerprint.ts';

/** The key of a stored fingerprint. */
export interface StoredKey {
  readonly jobId: string;
  /** Name of the API key that created the job; null without one. */
  readonly owner: string | null;
  readonly sound: string;
  readonly pictures: string;
}

const keyPrefix = 'fingerprint-keys/';
const packedPrefix = 'fingerprints/';
const defaultPageSize = 500;

/**
 * Fingerprints of outputs, by job. Keys are small and kept apart, so that all of them can be searched page by page.
 * Throws `resource_exhausted` when the state store is unavailable.
 */
export class FingerprintStore {
  readonly #state: StateStore;
  readonly #pageSize: number;

  constructor({ state, pageSize = defaultPageSize }: { readonly state: StateStore; readonly pageSize?: number }) {
    this.#state = state;
    this.#pageSize = pageSize;
  }

  /** Stores the fingerprint of the output of a job; replaces an earlier one. */
  save({ id, owner }: { readonly id: string; readonly owner: string | null }, fingerprint: Fingerprint): Promise<void> {
    const { key, packed } = fingerprint;
    const writes = new Map<string, Json>([
      [`${keyPrefix}${id}`, { owner, ...key }],
      [`${packedPrefix}${id}`, packed],
    ]);
    return this.#state.transact([...writes.keys()], () => ({ result: undefined, writes }));
  }

  /** Ignores a job without a fingerprint. */
  delete(jobId: string): Promise<void> {
    const keys = [`${keyPrefix}${jobId}`, `${packedPrefix}${jobId}`];
    return this.#state.transact(keys, (documents) => {
      const stored = keys.filter((key) => documents.get(key) !== undefined);
      return { result: undefined, writes: new Map(stored.map((key) => [key, null])) };
    });
  }

  /** Passes the fingerprint of a job on to another one that has the same output. */
  move(fromJobId: string, toJobId: string): Promise<void> {
    const [from, to] = [fromJobId, toJobId].map((id) => [`${keyPrefix}${id}`, `${packedPrefix}${id}`] as const);
    const keys = [...(from ?? []), ...(to ?? [])];
    return this.#state.transact(keys, (documents) => {
      const writes = new Map<string, Json | null>();
      for (const [index, key] of (from ?? []).entries()) {
        const document = documents.get(key);
        const target = to?.[index];
        if (document === undefined || target === undefined) continue;
        writes.set(key, null).set(target, document);
      }
      return { result: undefined, writes };
    });
  }

  /** The packed fingerprint of a job; undefined without one. */
  async find(jobId: string): Promise<string | undefined> {
    const key = `${packedPrefix}${jobId}`;
    const document = await this.#state.transact([key], (documents) => ({ result: documents.get(key) }));
    return typeof document === 'string' ? document : undefined;
  }

  /** Yields the keys of all fingerprints, page by page. */
  async *listKeys(): AsyncGenerator<readonly StoredKey[]> {
    const limit = this.#pageSize;
    let after: string | undefined;
    do {
      const page = await this.#state.list(keyPrefix, { limit, ...(after === undefined ? {} : { after }) });
      yield page.flatMap(({ key, document }) => toStoredKey(key.slice(keyPrefix.length), document) ?? []);
      after = page.length < limit ? undefined : page.at(-1)?.key;
    } while (after !== undefined);
  }
}

function toStoredKey(jobId: string, document: Json): StoredKey | undefined {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return undefined;
  // `as`: only `save` writes these documents.
  return { jobId, ...(document as Omit<StoredKey, 'jobId'>) };
}
