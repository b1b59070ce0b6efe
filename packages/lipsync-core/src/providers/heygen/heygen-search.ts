import type { HeygenClient } from './heygen-client.ts';
import { HeygenError } from './heygen-errors.ts';
import type { ListedLipsync } from './heygen-wire.ts';

export interface LipsyncSearch {
  readonly callbackId: string;
  /** Identifies the operation if the list does not contain callback ids. */
  readonly title: string;
  /** The operation was not created earlier. */
  readonly createdAfterMs: number;
}

const maxPages = 50;
/** Tolerates clock differences and HeyGen's rounding to seconds. */
const clockToleranceMs = 10 * 60_000;

/**
 * Searches the account's operations and returns the id of the match; null when there certainly is none. Throws the
 * errors of the client, and `provider_unavailable` when the list is too long or cannot rule out a match.
 */
export async function findLipsync(
  client: Pick<HeygenClient, 'listLipsyncs'>,
  search: LipsyncSearch,
  signal: AbortSignal,
): Promise<string | null> {
  const sinceMs = search.createdAfterMs - clockToleranceMs;
  let token: string | null = null;
  let seen: readonly ListedLipsync[] = [];
  for (let page = 0; page < maxPages; page += 1) {
    const { lipsyncs, nextToken, hasMore } = await client.listLipsyncs(token, signal);
    const match = lipsyncs.find((lipsync) => isMatch(lipsync, search));
    if (match) return match.id;
    seen = [...seen, ...lipsyncs];
    const isComplete = reachesBefore(seen, sinceMs) || (nextToken === null && !hasMore);
    if (isComplete && !seen.some((lipsync) => isUnidentified(lipsync, sinceMs))) return null;
    if (isComplete || nextToken === null) throw incompleteSearch('HeyGen does not identify all of its operations.');
    token = nextToken;
  }
  throw incompleteSearch('The HeyGen account has too many operations to search.');
}

function isMatch({ callbackId, title }: ListedLipsync, search: LipsyncSearch): boolean {
  return callbackId === null ? title === search.title : callbackId === search.callbackId;
}

/** Whether the operation could be the searched one, because the list contains neither its callback id nor its title. */
function isUnidentified({ callbackId, title, createdAtMs }: ListedLipsync, sinceMs: number): boolean {
  return callbackId === null && title === null && (createdAtMs ?? Infinity) >= sinceMs;
}

/** Whether all further pages are older. The API promises no order, so it is derived from the entries seen so far. */
function reachesBefore(lipsyncs: readonly ListedLipsync[], sinceMs: number): boolean {
  const times = lipsyncs.map(({ createdAtMs }) => createdAtMs ?? Infinity);
  const isNewestFirst = times.every((time, index) => time <= (times[index - 1] ?? Infinity));
  return isNewestFirst && (times.at(-1) ?? Infinity) < sinceMs;
}

function incompleteSearch(message: string): HeygenError {
  return new HeygenError('provider_unavailable', message);
}
