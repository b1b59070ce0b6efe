import { LipsyncError } from '../errors/index.ts';
import { defaultContentionLimits, untilUncontended, type contended, type ContentionLimits } from './contention.ts';
import type { Change, Documents, StatePage, StateStore, StoredDocument } from './state-store.ts';

/** A change whose writes were checked. */
export type CheckedChange<Result> = Required<Change<Result>>;

/** What keeps the documents. Keys and pages have been checked when it is asked, and it is not asked after `close`. */
export interface StateDriver {
  /**
   * Tries a transaction once. `contended`, with nothing stored, when others got in the way. Whatever `change` throws is
   * thrown, and nothing is stored.
   */
  attempt<Result>(
    keys: readonly string[],
    change: (documents: Documents) => CheckedChange<Result>,
  ): Promise<Result | typeof contended>;
  /** Up to `limit` documents whose keys begin with `prefix` and come behind `after`, ascending by key. */
  list(prefix: string, after: string, limit: number): Promise<readonly StoredDocument[] | typeof contended>;
  close(): Promise<void>;
}

const keyPattern = /^[!-~]{1,300}$/;
const prefixPattern = /^[!-~]{0,300}$/;
const maxPageSize = 1_000;
const maxKeys = 100;

/** A store over a driver: refuses what no driver takes, and tries again what was contended. */
export function createStateStore(driver: StateDriver, limits: ContentionLimits = defaultContentionLimits): StateStore {
  let closed = false;
  const untilDone = <Result>(attempt: () => Promise<Result | typeof contended>): Promise<Result> =>
    untilUncontended(limits, async () => {
      if (closed) throw misuse('The state store is closed.');
      return attempt();
    });

  return {
    async transact(keys, change) {
      checkKeys(keys);
      return untilDone(() => driver.attempt(keys, (documents) => checked(keys, change(documents))));
    },
    async list(prefix, page) {
      checkPage(prefix, page);
      return untilDone(() => driver.list(prefix, page.after ?? '', page.limit));
    },
    async close() {
      if (closed) return;
      closed = true;
      await driver.close();
    },
  };
}

function checkKeys(keys: readonly string[]): void {
  if (keys.length === 0 || keys.length > maxKeys) throw misuse(`A transaction reads 1 to ${maxKeys} documents.`);
  if (!keys.every((key) => keyPattern.test(key)))
    throw misuse('A key of the state store is 1 to 300 printable ASCII characters without spaces.');
}

function checkPage(prefix: string, { after = '', limit }: StatePage): void {
  if (!prefixPattern.test(prefix) || !prefixPattern.test(after))
    throw misuse('A prefix of the state store is printable ASCII without spaces.');
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize)
    throw misuse(`A page holds 1 to ${maxPageSize} documents.`);
}

/** A document that was not read must not be overwritten unseen. */
function checked<Result>(
  keys: readonly string[],
  { result, writes = new Map() }: Change<Result>,
): CheckedChange<Result> {
  if ([...writes.keys()].every((key) => keys.includes(key))) return { result, writes };
  throw misuse('A transaction writes only documents that it read.');
}

/** `internal`, because only our own code names keys and pages. */
function misuse(message: string): LipsyncError {
  return new LipsyncError('internal', message);
}
