import { setTimeout as delay } from 'node:timers/promises';
import { LipsyncError } from '../errors/index.ts';
import type { Change, Documents, StatePage, StateStore, StoredDocument } from './state-store.ts';

/** Returned by one try of a driver that lost against a concurrent writer. */
export const contended: unique symbol = Symbol('contended');

export interface ContentionLimits {
  readonly maxTries: number;
  /** Longest pause between two tries. Pauses are random and start short. */
  readonly maxPauseMs: number;
}

/** Retries for about five seconds. */
const defaultContentionLimits: ContentionLimits = Object.freeze({ maxTries: 200, maxPauseMs: 50 });

/** A change whose writes have been checked. */
export type CheckedChange<Result> = Required<Change<Result>>;

const keyPattern = /^[!-~]{1,300}$/;
const prefixPattern = /^[!-~]{0,300}$/;
const maxPageSize = 1_000;
const maxKeys = 100;

/** What all state stores share: argument checks, retries under contention, and the closed state. */
export abstract class BaseStateStore implements StateStore {
  readonly #contentionLimits: ContentionLimits;
  #closed = false;

  constructor(contentionLimits: ContentionLimits = defaultContentionLimits) {
    this.#contentionLimits = contentionLimits;
  }

  /**
   * Tries a transaction once. Returns `contended` and stores nothing when a concurrent writer interfered. Rethrows
   * errors of `change` and stores nothing.
   */
  protected abstract tryTransact<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result | typeof contended>;

  /** Lists up to `limit` documents whose keys start with `prefix` and sort after `after`, ascending by key. */
  protected abstract tryList(
    prefix: string,
    after: string,
    limit: number,
  ): Promise<readonly StoredDocument[] | typeof contended>;

  /** Releases the driver's resources. Called once. */
  protected abstract closeDriver(): Promise<void>;

  async transact<Result>(keys: readonly string[], change: (documents: Documents) => Change<Result>): Promise<Result> {
    checkKeys(keys);
    return this.#retry(() => this.tryTransact(keys, (documents) => checkWrites(keys, change(documents))));
  }

  async list(prefix: string, page: StatePage): Promise<readonly StoredDocument[]> {
    checkPage(prefix, page);
    return this.#retry(() => this.tryList(prefix, page.after ?? '', page.limit));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.closeDriver();
  }

  async #retry<Result>(attempt: () => Promise<Result | typeof contended>): Promise<Result> {
    return retryContended(this.#contentionLimits, async () => {
      if (this.#closed) throw misuse('The state store is closed.');
      return attempt();
    });
  }
}

/**
 * Repeats `attempt` while it returns `contended`. Pauses are random, so that competing writers drift apart. Throws
 * `resource_exhausted` after the last try, and the errors of `attempt`.
 */
export async function retryContended<Result>(
  { maxTries, maxPauseMs }: ContentionLimits,
  attempt: () => Promise<Result | typeof contended>,
): Promise<Result> {
  for (let tries = 1; tries <= maxTries; tries += 1) {
    const result = await attempt();
    if (result !== contended) return result;
    if (tries < maxTries) await delay(Math.random() * Math.min(maxPauseMs, 2 ** Math.min(tries, 10)));
  }
  throw new LipsyncError('resource_exhausted', 'Too many processes changed the same state at once. Try again shortly.');
}

function checkKeys(keys: readonly string[]): void {
  if (keys.length === 0 || keys.length > maxKeys) throw misuse(`A transaction reads 1 to ${maxKeys} documents.`);
  if (!keys.every((key) => keyPattern.test(key)))
    throw misuse('A state store key must be 1 to 300 printable ASCII characters without spaces.');
}

function checkPage(prefix: string, { after = '', limit }: StatePage): void {
  if (!prefixPattern.test(prefix) || !prefixPattern.test(after))
    throw misuse('A state store prefix must be printable ASCII without spaces.');
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize)
    throw misuse(`A page of the state store holds 1 to ${maxPageSize} documents.`);
}

/** Prevents a transaction from overwriting a document that it has not read. */
function checkWrites<Result>(
  keys: readonly string[],
  { result, writes = new Map() }: Change<Result>,
): CheckedChange<Result> {
  if ([...writes.keys()].every((key) => keys.includes(key))) return { result, writes };
  throw misuse('A transaction may only write documents that it has read.');
}

/** `internal`, because keys and pages come only from the service's own code. */
function misuse(message: string): LipsyncError {
  return new LipsyncError('internal', message);
}
