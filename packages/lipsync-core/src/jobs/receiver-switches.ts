import { createHash } from 'node:crypto';
import type { StateStore } from '../storage/state-store.ts';

/** A receiver of webhooks of one API key. */
export interface Receiver {
  readonly owner: string | null;
  readonly url: string;
}

/**
 * Receivers that are switched off because they answered 410, shared by all workers. The state names neither key nor
 * address. Every call throws `resource_exhausted` without the store.
 */
export class ReceiverSwitches {
  readonly #state: Pick<StateStore, 'transact'>;

  constructor({ state }: { readonly state: Pick<StateStore, 'transact'> }) {
    this.#state = state;
  }

  isOff(receiver: Receiver): Promise<boolean> {
    const key = keyOf(receiver);
    return this.#state.transact([key], (documents) => ({ result: documents.get(key) !== undefined }));
  }

  async set(receiver: Receiver, state: 'on' | 'off'): Promise<void> {
    const key = keyOf(receiver);
    const writes = new Map([[key, state === 'off' ? true : null]]);
    await this.#state.transact([key], () => ({ result: undefined, writes }));
  }
}

function keyOf({ owner, url }: Receiver): string {
  return `webhooks-off:${createHash('sha256')
    .update(JSON.stringify([owner, url]))
    .digest('base64url')}`;
}
