import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';

export interface Holder {
  readonly jobId: string;
  readonly sinceMs: number;
  /** When the place is free again by itself; null for one whose attempt is under way. */
  readonly untilMs: number | null;
}

/**
 * How many operations run at a provider at once, over all processes. A place belongs to a job and not to a process,
 * because the operation outlives the process that began it; it is held until it is left.
 */
export interface ConcurrencySlots {
  /** Takes one of `limit` places; true when the job has one now, also from before and without a term then, false when all are taken. */
  enter(provider: string, jobId: string, limit: number): Promise<boolean>;
  /** Keeps the place of a job, where it has one, for an operation that may still run there: until it is left, or until then. */
  keep(provider: string, jobId: string, untilMs: number): Promise<void>;
  /** Gives the job's place back, where it has one. */
  leave(provider: string, jobId: string): Promise<void>;
  /** Those who have a place, longest first. */
  holders(provider: string): Promise<readonly Holder[]>;
  /**
   * Frees the places whose term is over, and those without one of jobs for which `isGone` is true: ended, so that they never
   * enter again. Returns how many.
   */
  sweep(isGone: (jobId: string) => Promise<boolean>): Promise<number>;
}

const keyPrefix = 'places/';
const pageSize = 100;

/** Throws what the state store throws. */
export function createConcurrencySlots({
  state,
  clock,
}: {
  readonly state: StateStore;
  readonly clock: Clock;
}): ConcurrencySlots {
  const isHeld = ({ untilMs }: Holder): boolean => untilMs === null || clock.nowMs() < untilMs;
  const leave = (provider: string, jobId: string): Promise<void> =>
    transactHolders(state, provider, (holders) => {
      const rest = holders.filter((holder) => holder.jobId !== jobId);
      return { result: undefined, ...(rest.length === holders.length ? {} : { holders: rest }) };
    });

  return {
    leave,
    enter: (provider, jobId, limit) =>
      transactHolders(state, provider, (all) => {
        const holders = all.filter(isHeld);
        const own = holders.find((holder) => holder.jobId === jobId);
        if (own)
          return own.untilMs === null
            ? { result: true }
            : { result: true, holders: holders.with(holders.indexOf(own), { ...own, untilMs: null }) };
        if (holders.length >= limit) return { result: false };
        return { result: true, holders: [...holders, { jobId, sinceMs: clock.nowMs(), untilMs: null }] };
      }),
    keep: (provider, jobId, untilMs) =>
      transactHolders(state, provider, (holders) => ({
        result: undefined,
        holders: holders.map((holder) => (holder.jobId === jobId ? { ...holder, untilMs } : holder)),
      })),
    holders: (provider) => transactHolders(state, provider, (holders) => ({ result: holders.filter(isHeld) })),
    async sweep(isGone) {
      let freed = 0;
      for (const { key, document } of await state.list(keyPrefix, { limit: pageSize })) {
        for (const holder of toHolders(document)) {
          const isFree = holder.untilMs === null ? await isGone(holder.jobId) : !isHeld(holder);
          if (!isFree) continue;
          await leave(key.slice(keyPrefix.length), holder.jobId);
          freed += 1;
        }
      }
      return freed;
    },
  };
}

/** Runs `decide` on the holders of a provider's places and stores the holders that it returns, if any. */
function transactHolders<Result>(
  state: StateStore,
  provider: string,
  decide: (holders: readonly Holder[]) => { readonly result: Result; readonly holders?: readonly Holder[] },
): Promise<Result> {
  const key = `${keyPrefix}${provider}`;
  return state.transact([key], (documents) => {
    const { result, holders } = decide(toHolders(documents.get(key)));
    if (!holders) return { result };
    return {
      result,
      writes: new Map([
        [
          key,
          holders.length === 0 ? null : holders.map(({ jobId, sinceMs, untilMs }) => ({ jobId, sinceMs, untilMs })),
        ],
      ]),
    };
  });
}

function toHolders(document: Json | undefined): readonly Holder[] {
  // `as`: only this file writes these documents.
  return (document ?? []) as unknown as readonly Holder[];
}
