import { BaseStateStore, type CheckedChange } from '../storage/base-state-store.ts';
import type { Documents, Json, StateStore, StoredDocument } from '../storage/state-store.ts';

/** Documents in memory, for tests. */
export interface MemoryState {
  /** Opens a store; all stores of one state share their documents. */
  open(): StateStore;
}

export function createMemoryState(): MemoryState {
  const texts = new Map<string, string>();
  return { open: () => new MemoryStateStore(texts) };
}

class MemoryStateStore extends BaseStateStore {
  readonly #texts: Map<string, string>;

  constructor(texts: Map<string, string>) {
    super();
    this.#texts = texts;
  }

  protected override async tryTransact<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result> {
    const { result, writes } = change(new Map(keys.map((key) => [key, parse(this.#texts.get(key))])));
    // Serialized before the first write, so that a document that is not JSON changes nothing.
    const written = [...writes].map(
      ([key, document]) => [key, document === null ? undefined : JSON.stringify(document)] as const,
    );
    for (const [key, text] of written) {
      if (text === undefined) this.#texts.delete(key);
      else this.#texts.set(key, text);
    }
    return result;
  }

  protected override async tryList(prefix: string, after: string, limit: number): Promise<readonly StoredDocument[]> {
    const keys = [...this.#texts.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    return keys.slice(0, limit).map((key) => ({ key, document: parse(this.#texts.get(key)) ?? null }));
  }

  protected override async closeDriver(): Promise<void> {}
}

function parse(text: string | undefined): Json | undefined {
  // `as`: only this file writes the texts, always as JSON.
  return text === undefined ? undefined : (JSON.parse(text) as Json);
}
