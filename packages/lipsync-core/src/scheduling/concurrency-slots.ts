import type { Clock } from '../contract/ports.ts';
import type { Json, StateStore } from '../storage/state-store.ts';

/** A slot that a job holds. */
export interface SlotHolder {
  readonly jobId: string;
  readonly sinceMs: number;
  /** When the slot expires; null while the job's attempt is running. */
  readonly untilMs: number | null;
}

export interface SlotRequest {
  /** Maximum number of holders. */
  readonly limit: number;
  /** 0 (most urgent) to 10; 5 when absent. */
  readonly priority?: number;
}

export interface SweptSlots {
  /** Number of slots that were released. */
  readonly released: number;
  /** Waiting jobs that can try to acquire a slot now, by provider. */
  readonly ready: readonly { readonly provider: string; readonly jobId: string }[];
}

/**
 * Limits how many operations run at a provider at once, over all processes. A slot belongs to a job, not to a process,
 * because an operation outlives the process that started it. Jobs that find no free slot wait in a list ordered by
 * priority, then by age. A port: one implementation works over any `StateStore`, one keeps the list in Redis; both pass
 * `concurrencySlotsSuite`. Every call is atomic and throws `resource_exhausted` when the store is unavailable.
 */
export interface ConcurrencySlots {
  /**
   * Takes a slot. True when the job holds one afterwards, with its expiry removed; otherwise the job joins the
   * provider's waiting list and leaves any other.
   */
  acquire(provider: string, jobId: string, request: SlotRequest): Promise<boolean>;
  /** Lets the job's slot, if it holds one, expire at `untilMs`: its operation may still be running. */
  keep(provider: string, jobId: string, untilMs: number): Promise<void>;
  /**
   * Releases the job's slot and removes the first waiting job from the list in the same step. Returns that job, which
   * can try to acquire the slot now; null when `jobId` held no slot or no job waits.
   */
  release(provider: string, jobId: string): Promise<string | null>;
  /** Removes the first waiting job from the list and returns it; null when no job waits. */
  takeNextWaiting(provider: string): Promise<string | null>;
  /** Removes a job from the provider's waiting list. */
  stopWaiting(provider: string, jobId: string): Promise<void>;
  /** Number of waiting jobs ahead of `jobId`; of all waiting jobs when it is absent or does not wait. */
  countWaiting(provider: string, jobId?: string): Promise<number>;
  /** Current holders, oldest first. */
  holders(provider: string): Promise<readonly SlotHolder[]>;
  /**
   * Releases expired slots and, where `isGone`, slots without an expiry; `isGone` means that the job has ended
   * permanently.
   */
  sweep(isGone: (jobId: string) => Promise<boolean>): Promise<SweptSlots>;
}

/** Default of `SlotRequest.priority`, as in the request contract. */
export const defaultSlotPriority = 5;

/** Key prefix of the documents that list the holders at a provider. Stored data: the name stays. */
export const slotHoldersPrefix = 'places/';
/** Key prefix of the documents that list the waiting jobs of a provider. */
const waitingPrefix = 'slot-waiting/';
const pageSize = 100;

interface WaitingJob {
  readonly jobId: string;
  readonly priority: number;
}

interface ProviderSlots {
  readonly holders: readonly SlotHolder[];
  /** In the order in which slots are given out. */
  readonly waiting: readonly WaitingJob[];
}

/**
 * Concurrency slots over a state store. For a few processes: every waiting job is part of one document per provider.
 */
export function createConcurrencySlots({
  state,
  clock,
}: {
  readonly state: StateStore;
  readonly clock: Clock;
}): ConcurrencySlots {
  const isHeld = ({ untilMs }: SlotHolder): boolean => untilMs === null || clock.nowMs() < untilMs;
  const update = <Result>(provider: string, decide: Decide<Result>): Promise<Result> =>
    updateSlots(state, provider, decide);

  const release = (provider: string, jobId: string): Promise<string | null> =>
    update(provider, ({ holders, waiting }) => {
      const rest = holders.filter((holder) => holder.jobId !== jobId);
      if (rest.length === holders.length) return { result: null };
      return { result: waiting[0]?.jobId ?? null, holders: rest, waiting: waiting.slice(1) };
    });

  const stopWaiting = (provider: string, jobId: string): Promise<void> =>
    update(provider, ({ waiting }) => ({ result: undefined, waiting: withoutJob(waiting, jobId) }));

  return {
    release,
    acquire: (provider, jobId, { limit, priority = defaultSlotPriority }) =>
      update(provider, (slots) => {
        const holders = slots.holders.filter(isHeld);
        const waiting = withoutJob(slots.waiting, jobId);
        const own = holders.find((holder) => holder.jobId === jobId);
        if (own)
          return { result: true, holders: holders.with(holders.indexOf(own), { ...own, untilMs: null }), waiting };
        if (holders.length >= limit)
          return { result: false, waiting: [...waiting, { jobId, priority }].toSorted(compareWaiting) };
        return { result: true, holders: [...holders, { jobId, sinceMs: clock.nowMs(), untilMs: null }], waiting };
      }),
    keep: (provider, jobId, untilMs) =>
      update(provider, ({ holders }) => ({
        result: undefined,
        holders: holders.map((holder) => (holder.jobId === jobId ? { ...holder, untilMs } : holder)),
      })),
    takeNextWaiting: (provider) =>
      update(provider, ({ waiting }) => ({ result: waiting[0]?.jobId ?? null, waiting: waiting.slice(1) })),
    stopWaiting,
    countWaiting: (provider, jobId) =>
      update(provider, ({ waiting }) => {
        const index = waiting.findIndex((job) => job.jobId === jobId);
        return { result: index < 0 ? waiting.length : index };
      }),
    holders: (provider) => update(provider, ({ holders }) => ({ result: holders.filter(isHeld) })),
    async sweep(isGone) {
      // Nothing else removes the jobs of killed processes from the waiting list.
      for (const { key, document } of await state.list(waitingPrefix, { limit: pageSize }))
        for (const { jobId } of toWaiting(document))
          if (await isGone(jobId)) await stopWaiting(key.slice(waitingPrefix.length), jobId);
      return sweepSlots(state, { isGone, isHeld, release });
    },
  };
}

/**
 * The sweep of every implementation: holders are documents of the state store in all of them. `release` releases one
 * slot and returns the next waiting job.
 */
export async function sweepSlots(
  state: Pick<StateStore, 'list'>,
  {
    isGone,
    isHeld,
    release,
  }: {
    isGone(jobId: string): Promise<boolean>;
    isHeld(holder: SlotHolder): boolean;
    release(provider: string, jobId: string): Promise<string | null>;
  },
): Promise<SweptSlots> {
  let released = 0;
  const ready: { provider: string; jobId: string }[] = [];
  for (const { key, document } of await state.list(slotHoldersPrefix, { limit: pageSize })) {
    const provider = key.slice(slotHoldersPrefix.length);
    for (const holder of toHolders(document)) {
      const isFree = holder.untilMs === null ? await isGone(holder.jobId) : !isHeld(holder);
      if (!isFree) continue;
      const nextJobId = await release(provider, holder.jobId);
      released += 1;
      if (nextJobId !== null) ready.push({ provider, jobId: nextJobId });
    }
  }
  return { released, ready };
}

/** Most urgent first, then oldest: job ids sort by time. */
function compareWaiting(one: WaitingJob, other: WaitingJob): number {
  return one.priority - other.priority || (one.jobId < other.jobId ? -1 : 1);
}

function withoutJob(waiting: readonly WaitingJob[], jobId: string): readonly WaitingJob[] {
  return waiting.filter((job) => job.jobId !== jobId);
}

type Decide<Result> = (slots: ProviderSlots) => { readonly result: Result } & Partial<ProviderSlots>;

/** Runs `decide` in a transaction and stores the lists that it returns where they differ. */
function updateSlots<Result>(state: StateStore, provider: string, decide: Decide<Result>): Promise<Result> {
  const holdersKey = `${slotHoldersPrefix}${provider}`;
  const waitingKey = `${waitingPrefix}${provider}`;
  return state.transact([holdersKey, waitingKey], (documents) => {
    const before = { holders: toHolders(documents.get(holdersKey)), waiting: toWaiting(documents.get(waitingKey)) };
    const { result, holders = before.holders, waiting = before.waiting } = decide(before);
    const writes = new Map<string, Json | null>();
    if (!isSameList(holders, before.holders))
      writes.set(holdersKey, toDocument(holders.map(({ jobId, sinceMs, untilMs }) => ({ jobId, sinceMs, untilMs }))));
    if (!isSameList(waiting, before.waiting))
      writes.set(waitingKey, toDocument(waiting.map(({ jobId, priority }) => ({ jobId, priority }))));
    return { result, writes };
  });
}

function isSameList(one: readonly object[], other: readonly object[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function toDocument(list: readonly Json[]): Json | null {
  return list.length === 0 ? null : list;
}

// `as` in both: only this module and the Redis implementation write these documents.
function toHolders(document: Json | undefined): readonly SlotHolder[] {
  return (document ?? []) as unknown as readonly SlotHolder[];
}

function toWaiting(document: Json | undefined): readonly WaitingJob[] {
  return (document ?? []) as unknown as readonly WaitingJob[];
}
