import { createHmac, randomBytes } from 'node:crypto';
import { listAllDocuments, type StateStore } from '../storage/state-store.ts';
import { entryKey, entryPrefix, userDigestOf, type EntryReference, type LedgerEntry } from './ledger-entry.ts';

/** Key of this installation, from which pseudonyms are derived. */
const secretKey = 'ledger/pseudonym-key';

/** A user of one API key, or of all of them. */
export interface LedgerUser {
  readonly userId: string;
  /** Undefined for all API keys. */
  readonly owner?: string;
  /** Whether entries without an API key count, too. Their user could also be the name of a key. */
  readonly isUserWithoutKey: boolean;
}

/**
 * Replaces users in ledger entries by pseudonyms: sums, and budgets of the same day, stay. The entries of one user get
 * the same pseudonym. Every call may run twice, and throws `resource_exhausted` when the state store is unavailable.
 */
export class LedgerPseudonyms {
  readonly #state: StateStore;

  constructor({ state }: { readonly state: StateStore }) {
    this.#state = state;
  }

  /** Replaces the user in the entries of a job's attempts. */
  async replaceInAttempts(owner: string | null, attempts: readonly EntryReference[]): Promise<void> {
    for (const attempt of attempts) await this.#replace(entryKey(attempt), () => owner === null);
  }

  /** Replaces a user in all entries. */
  async replaceEverywhere(user: LedgerUser, signal: AbortSignal): Promise<void> {
    for await (const { key, document } of listAllDocuments(this.#state, entryPrefix)) {
      signal.throwIfAborted();
      // `as`: only the ledger writes documents under this prefix.
      if (isOf(user, document as LedgerEntry)) await this.#replace(key, () => user.isUserWithoutKey);
    }
  }

  /** `namesUser` returns whether the field `user` of an entry without a `userId` is a user, not an API key. */
  async #replace(key: string, namesUser: () => boolean): Promise<void> {
    const secret = await this.#readSecret();
    await this.#state.transact([key], (documents) => {
      // `as`: only the ledger writes these documents.
      const entry = documents.get(key) as LedgerEntry | undefined;
      const userDigest = entry && userDigestOf(entry);
      if (!entry || entry.userDigest !== undefined || userDigest === null || userDigest === undefined)
        return { result: undefined };
      if (entry.userId === undefined && !namesUser()) return { result: undefined };
      const pseudonym = `erased-${createHmac('sha256', secret).update(userDigest).digest('base64url').slice(0, 16)}`;
      const name = entry.userId === undefined ? { user: pseudonym } : { userId: pseudonym };
      return { result: undefined, writes: new Map([[key, { ...entry, ...name, userDigest }]]) };
    });
  }

  #readSecret(): Promise<string> {
    const fresh = randomBytes(32).toString('base64url');
    return this.#state.transact([secretKey], (documents) => {
      const stored = documents.get(secretKey);
      if (typeof stored === 'string') return { result: stored };
      return { result: fresh, writes: new Map([[secretKey, fresh]]) };
    });
  }
}

function isOf({ userId, owner, isUserWithoutKey }: LedgerUser, entry: LedgerEntry): boolean {
  if (entry.userId !== undefined) return entry.userId === userId && (owner === undefined || entry.user === owner);
  return owner === undefined && isUserWithoutKey && entry.user === userId;
}
