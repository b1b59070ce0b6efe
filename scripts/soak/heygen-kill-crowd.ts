import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import type { JobRecord, JobStore } from '@lipsync/core/host';
import type { LipsyncClient } from '../demo/lipsync-client.ts';

/** A steady supply of jobs, and how often each was interrupted. */
export interface Crowd {
  /** Jobs that have ended, in order of their end. */
  readonly ended: readonly JobView[];
  /** Runs that kills have cut off so far. */
  readonly cuts: number;
  /** Submits jobs until as many as wanted are under way. */
  fill(): Promise<void>;
  /** Waits until no job under way has been cut off so often, or until `end`. */
  untilNoneIsHit(times: number, end: AbortSignal): Promise<void>;
  /** Called when no worker runs: counts the runs that the last one has left, and returns how many those are. */
  countCuts(): Promise<number>;
  /** Waits until all jobs are at their end. Throws what following them threw. */
  drain(): Promise<void>;
  /** Crashes as the records have them, of all jobs. */
  crashes(): Promise<number>;
}

export interface CrowdOptions {
  readonly client: LipsyncClient;
  readonly store: JobStore;
  readonly samples: readonly { readonly videoPath: string; readonly audioPath: string }[];
  readonly jobsAtOnce: number;
}

const lookMs = 200;

export function openCrowd({ client, store, samples, jobsAtOnce }: CrowdOptions): Crowd {
  const ended: JobView[] = [];
  const underWay = new Map<string, Promise<void>>();
  const cutsOf = new Map<string, number>();
  /** The last counted run of a job: until its lock has expired no worker resumes it, however many workers are killed. */
  const lastCutOf = new Map<string, number>();
  let submitted = 0;

  const recordsOf = async (ids: Iterable<string>): Promise<readonly JobRecord[]> =>
    (await Promise.all([...ids].map((id) => store.get(id)))).filter((record) => record !== undefined);
  const follow = async (id: string): Promise<void> => {
    ended.push(await client.follow(id, () => undefined));
    underWay.delete(id);
  };
  const add = async (): Promise<void> => {
    const sample = samples[submitted % samples.length];
    if (!sample) throw new Error('A crowd needs a sample.');
    submitted += 1;
    const { id } = await client.submit(sample, { method: 'heygen' });
    const following = follow(id);
    // Told by `drain`.
    following.catch(() => undefined);
    underWay.set(id, following);
  };

  return {
    ended,
    get cuts() {
      return [...cutsOf.values()].reduce((sum, cuts) => sum + cuts, 0);
    },
    async fill() {
      await Promise.all(Array.from({ length: jobsAtOnce - underWay.size }, add));
    },
    async untilNoneIsHit(times, end) {
      // A lock that is lost without a kill counts as well.
      const isHit = ({ id, crashes }: JobRecord): boolean =>
        underWay.has(id) && Math.max(crashes, cutsOf.get(id) ?? 0) >= times;
      while (!end.aborted && (await recordsOf(underWay.keys())).some(isHit))
        await sleep(lookMs, undefined, { signal: end }).catch(() => undefined);
    },
    async countCuts() {
      const left = (await recordsOf(underWay.keys())).filter(
        ({ id, status, parkedUntilMs, runs }) =>
          status === 'processing' && parkedUntilMs === null && runs !== lastCutOf.get(id),
      );
      for (const { id, runs } of left) {
        cutsOf.set(id, (cutsOf.get(id) ?? 0) + 1);
        lastCutOf.set(id, runs);
      }
      return left.length;
    },
    async drain() {
      await Promise.all(underWay.values());
    },
    async crashes() {
      const records = await recordsOf(ended.map(({ id }) => id));
      return records.reduce((sum, { crashes }) => sum + crashes, 0);
    },
  };
}
