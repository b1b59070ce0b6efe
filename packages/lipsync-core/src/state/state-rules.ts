import { LipsyncError } from '../errors/index.ts';
import type { Change, StatePage } from './state-store.ts';

const keyPattern = /^[!-~]{1,300}$/;
const prefixPattern = /^[!-~]{0,300}$/;
const maxPageSize = 1_000;
const maxKeys = 100;

/** What every driver refuses before it reads: `internal`, because only our own code names keys and pages. */
export function checkKeys(keys: readonly string[]): void {
  if (keys.length === 0 || keys.length > maxKeys) throw misuse(`A transaction reads 1 to ${maxKeys} documents.`);
  if (!keys.every((key) => keyPattern.test(key))) throw misuse('A key of the state store is 1 to 300 printable ASCII characters without spaces.');
}

/** The writes of a change, checked: a document that was not read must not be overwritten unseen. */
export function checkedWrites<Result>(keys: readonly string[], { writes }: Change<Result>): NonNullable<Change<Result>['writes']> {
  const checked = writes ?? new Map();
  for (const key of checked.keys()) {
    if (!keys.includes(key)) throw misuse('A transaction writes only documents that it read.');
  }
  return checked;
}

/** Throws `internal` for a page that no driver gives. */
export function checkPage(prefix: string, { after, limit }: StatePage): void {
  if (!prefixPattern.test(prefix) || (after !== undefined && !prefixPattern.test(after))) throw misuse('A prefix of the state store is printable ASCII without spaces.');
  if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize) throw misuse(`A page holds 1 to ${maxPageSize} documents.`);
}

export function closedError(): LipsyncError {
  return misuse('The state store is closed.');
}

function misuse(message: string): LipsyncError {
  return new LipsyncError('internal', message);
}
