import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { StateStore } from '../storage/state-store.ts';
import { InvalidCursorError } from './job-store.ts';

/** A receiver of webhooks of one API key. */
export interface Receiver {
  readonly owner: string | null;
  readonly url: string;
}

/** A receiver that gets no messages. */
export interface SilencedReceiver {
  readonly id: string;
  readonly owner: string | null;
  /** Scheme, host and port; the rest of an address may name a person. Null in state of earlier versions. */
  readonly origin: string | null;
  /** The delivery that was answered 410; it may be erased. Null in state of earlier versions. */
  readonly deliveryId: string | null;
  readonly offSinceMs: number | null;
}

const documentSchema = z.object({
  owner: z.string().nullable(),
  origin: z.string(),
  deliveryId: z.string(),
  offSinceMs: z.number(),
});

const prefix = 'webhooks-off:';
/** Limit of documents that one page reads, because those of other keys are skipped. */
const maxReads = 2_000;
const readsPerCall = 200;

/**
 * Receivers that are switched off because they answered 410, shared by all workers. The state keeps only the origin of an
 * address. Every call throws `resource_exhausted` without the store.
 */
export class ReceiverSwitches {
  readonly #state: Pick<StateStore, 'transact' | 'list'>;

  constructor({ state }: { readonly state: Pick<StateStore, 'transact' | 'list'> }) {
    this.#state = state;
  }

  isOff(receiver: Receiver): Promise<boolean> {
    const key = keyOf(receiver);
    return this.#state.transact([key], (documents) => ({ result: documents.get(key) !== undefined }));
  }

  /** Switches a receiver off that answered 410 to a delivery. */
  async switchOff(receiver: Receiver, deliveryId: string, atMs: number): Promise<void> {
    const key = keyOf(receiver);
    const { owner, url } = receiver;
    const document = { owner, origin: URL.parse(url)?.origin ?? '', deliveryId, offSinceMs: atMs };
    await this.#state.transact([key], () => ({ result: undefined, writes: new Map([[key, document]]) }));
  }

  async switchOn(receiver: Receiver): Promise<void> {
    await this.#delete(keyOf(receiver));
  }

  /** A receiver that is off; undefined for the id of another. */
  async find(id: string): Promise<SilencedReceiver | undefined> {
    if (!isId(id)) return undefined;
    const key = `${prefix}${id}`;
    const document = await this.#state.transact([key], (documents) => ({ result: documents.get(key) }));
    return document === undefined ? undefined : toReceiver(key, document);
  }

  /** Switches on the receiver with this id. Does nothing for one that is on. */
  async switchOnById(id: string): Promise<void> {
    await this.#delete(`${prefix}${id}`);
  }

  /**
   * Lists the receivers of a key that are off, or those of all keys, in the order of their ids. A page may be short or
   * empty although others follow.
   */
  async list({
    owner,
    after,
    limit,
  }: {
    readonly owner?: string;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly receivers: readonly SilencedReceiver[]; readonly nextCursor: string | null }> {
    const receivers: SilencedReceiver[] = [];
    if (after !== undefined && !isId(after)) throw new InvalidCursorError();
    let last = after === undefined ? undefined : `${prefix}${after}`;
    for (let reads = 0; reads < maxReads; reads += readsPerCall) {
      const page = await this.#state.list(prefix, { limit: readsPerCall, ...(last !== undefined && { after: last }) });
      for (const { key, document } of page) {
        const receiver = toReceiver(key, document);
        last = key;
        if (owner !== undefined && receiver.owner !== owner) continue;
        receivers.push(receiver);
        if (receivers.length === limit) return { receivers, nextCursor: receiver.id };
      }
      if (page.length < readsPerCall) return { receivers, nextCursor: null };
    }
    return { receivers, nextCursor: last?.slice(prefix.length) ?? null };
  }

  async #delete(key: string): Promise<void> {
    await this.#state.transact([key], () => ({ result: undefined, writes: new Map([[key, null]]) }));
  }
}

function isId(text: string): boolean {
  return /^[\w-]{43}$/.test(text);
}

function toReceiver(key: string, document: unknown): SilencedReceiver {
  const id = key.slice(prefix.length);
  const parsed = documentSchema.safeParse(document);
  return parsed.success
    ? { id, ...parsed.data }
    : { id, owner: null, origin: null, deliveryId: null, offSinceMs: null };
}

function keyOf({ owner, url }: Receiver): string {
  return `${prefix}${createHash('sha256')
    .update(JSON.stringify([owner, url]))
    .digest('base64url')}`;
}
