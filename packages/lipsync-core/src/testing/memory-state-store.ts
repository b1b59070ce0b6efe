import { createStateStore } from '../storage/create-state-store.ts';
import type { Json, StateStore } from '../storage/state-store.ts';

/** Documents that last as long as the test that made them. */
export interface MemoryState {
  /** A store over the documents; any number of them share what one of them wrote. */
  open(): StateStore;
}

export function createMemoryState(): MemoryState {
  const texts = new Map<string, string>();
  return { open: () => openStore(texts) };
}

function openStore(texts: Map<string, string>): StateStore {
  return createStateStore({
    async attempt(keys, change) {
      const { result, writes } = change(new Map(keys.map((key) => [key, parse(texts.get(key))])));
      const written = [...writes].map(
        ([key, document]) => [key, document === null ? undefined : JSON.stringify(document)] as const,
      );
      for (const [key, text] of written) {
        if (text === undefined) texts.delete(key);
        else texts.set(key, text);
      }
      return result;
    },
    async list(prefix, after, limit) {
      const keys = [...texts.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      return keys.slice(0, limit).map((key) => ({ key, document: parse(texts.get(key)) ?? null }));
    },
    async close() {},
  });
}

function parse(text: string | undefined): Json | undefined {
  // `as`: only this file writes the texts, as JSON.
  return text === undefined ? undefined : (JSON.parse(text) as Json);
}
