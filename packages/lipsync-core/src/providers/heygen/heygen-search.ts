import { LipsyncError } from '../../errors/index.ts';
import type { HeygenClient } from './heygen-client.ts';
import type { ListedLipsync } from './heygen-wire.ts';

export interface SearchedLipsync {
  readonly callbackId: string;
  /** What it is known by where its callback id is not told. */
  readonly title: string;
  /** It was not created before. */
  readonly notBeforeMs: number;
}

/** Of a hundred operations each. */
const mostPages = 50;
/** Their clock is not ours, and tells whole seconds. */
const clockSlackMs = 10 * 60_000;

/**
 * Looks through the account's operations for one of ours and returns its id; null when there is none for sure. Throws
 * what the client throws, and `provider_unavailable` when there are more than can be looked through, or some that may be it.
 */
export async function findLipsync(
  client: Pick<HeygenClient, 'listLipsyncs'>,
  searched: SearchedLipsync,
  signal: AbortSignal,
): Promise<string | null> {
  let token: string | null = null;
  let before: readonly ListedLipsync[] = [];
  for (let page = 0; page < mostPages; page += 1) {
    const { lipsyncs, nextToken, hasMore } = await client.listLipsyncs(token, signal);
    const found = lipsyncs.find((lipsync) => isSearched(lipsync, searched));
    if (found) return found.id;
    before = [...before, ...lipsyncs];
    const beforeMs = searched.notBeforeMs - clockSlackMs;
    const isWhole = isPast(before, beforeMs) || (nextToken === null && !hasMore);
    if (isWhole && !before.some((lipsync) => isNameless(lipsync, beforeMs))) return null;
    if (isWhole || nextToken === null)
      throw new LipsyncError('provider_unavailable', 'HeyGen does not say of all operations whose they are.');
    token = nextToken;
  }
  throw new LipsyncError('provider_unavailable', 'The HeyGen account has more operations than can be looked through.');
}

function isSearched({ callbackId, title }: ListedLipsync, searched: SearchedLipsync): boolean {
  return callbackId === null ? title === searched.title : callbackId === searched.callbackId;
}

/** It may be anybody's, so that a search that does not know it has found nothing out. */
function isNameless({ callbackId, title, createdAtMs }: ListedLipsync, beforeMs: number): boolean {
  return callbackId === null && title === null && (createdAtMs ?? Infinity) >= beforeMs;
}

/** The order of the list is nowhere promised: only one that is seen to go from new to old says by its last that the rest is older. */
function isPast(lipsyncs: readonly ListedLipsync[], beforeMs: number): boolean {
  const times = lipsyncs.map(({ createdAtMs }) => createdAtMs ?? Infinity);
  const isNewestFirst = times.every((time, index) => time <= (times[index - 1] ?? Infinity));
  return isNewestFirst && (times.at(-1) ?? Infinity) < beforeMs;
}
