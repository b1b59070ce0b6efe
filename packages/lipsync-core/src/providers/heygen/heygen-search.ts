import { LipsyncError } from '../../errors/index.ts';
import type { HeygenClient } from './heygen-client.ts';
import type { ListedLipsync } from './heygen-wire.ts';

export interface SearchedLipsync {
  readonly callbackId: string;
  /** It was not created before. */
  readonly notBeforeMs: number;
}

/** Of a hundred operations each. */
const mostPages = 50;
/** Their clock is not ours, and tells whole seconds. */
const clockSlackMs = 10 * 60_000;

/**
 * Looks through the account's operations for one of ours and returns its id; null when there is none for sure. Throws
 * what the client throws, and `provider_unavailable` when there are more than can be looked through.
 */
export async function findLipsync(client: Pick<HeygenClient, 'listLipsyncs'>, { callbackId, notBeforeMs }: SearchedLipsync, signal: AbortSignal): Promise<string | null> {
  let token: string | null = null;
  let before: readonly ListedLipsync[] = [];
  for (let page = 0; page < mostPages; page += 1) {
    const { lipsyncs, nextToken } = await client.listLipsyncs(token, signal);
    const found = lipsyncs.find((lipsync) => lipsync.callbackId === callbackId);
    if (found) return found.id;
    before = [...before, ...lipsyncs];
    if (nextToken === null || isPast(before, notBeforeMs - clockSlackMs)) return null;
    token = nextToken;
  }
  throw new LipsyncError('provider_unavailable', 'The HeyGen account has more operations than can be looked through.');
}

/** The order of the list is nowhere promised: only one that is seen to go from new to old says by its last that the rest is older. */
function isPast(lipsyncs: readonly ListedLipsync[], beforeMs: number): boolean {
  const times = lipsyncs.map(({ createdAtMs }) => createdAtMs ?? Infinity);
  const isNewestFirst = times.every((time, index) => time <= (times[index - 1] ?? Infinity));
  return isNewestFirst && (times.at(-1) ?? Infinity) < beforeMs;
}
