import { checkedWrites, checkKeys, checkPage, closedError } from '../state/state-rules.ts';
import type { Json, StateStore } from '../state/state-store.ts';

/** Documents that last as long as the test that made them. */
export interface MemoryState {
  /** A store over the documents; any number of them share what one of them wrote. */
  open(): StateStore;
}

export function createMemoryState(): MemoryState {
  const texts = new Map<string, string>();
  return { open: () => openStore(texts) };
}

/** A store with documents of its own. */
export function createMemoryStateStore(): StateStore {
  return createMemoryState().open();
}

function openStore(texts: Map<string, string>): StateStore {
  let closed = false;
  const checkOpen = (): void => {
    if (closed) throw closedError();
  };
  return {
    async transact(keys, change) {
      checkKeys(keys);
      checkOpen();
      const changed = change(new Map(keys.map((key) => [key, parse(texts.get(key))])));
      for (const [key, document] of checkedWrites(keys, changed)) {
        if (document === null) texts.delete(key);
        else texts.set(key, JSON.stringify(document));
      }
      return changed.result;
    },
    async list(prefix, page) {
      checkPage(prefix, page);
      checkOpen();
      const { after = '', limit } = page;
      const keys = [...texts.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      return keys.slice(0, limit).map((key) => ({ key, document: parse(texts.get(key)) ?? null }));
    },
    async close() {
      closed = true;
    },
  };
}

function parse(text: string | undefined): Json | undefined {
  // `as`: only this file writes the texts, as JSON.
  return text === undefined ? undefined : (JSON.parse(text) as Json);
}
