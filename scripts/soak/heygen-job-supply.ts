import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView } from '@lipsync/core/contract';
import type { JobRecord, JobStore } from '@lipsync/core/host';
import type { InputPaths } from '../lib/create-job.ts';
import type { ScratchStack } from './scratch-stack.ts';

/** Keeps a number of jobs running and counts how often a kill interrupted each of them. */
export interface JobSupply {
  /** Jobs that have ended, in order of their end. */
  readonly ended: readonly JobView[];
  /** Runs that kills have interrupted so far. */
  readonly interruptedRuns: number;
  /** Submits jobs until `jobsAtOnce` are unfinished. */
  fill(): Promise<void>;
  /** Waits until every unfinished job was interrupted fewer than `interruptions` times, or until `end`. */
  waitForFewerInterruptions(interruptions: number, end: AbortSignal): Promise<void>;
  /** Counts and returns the runs that the killed worker left unfinished. Call it while no worker runs. */
  countInterruptedRuns(): Promise<number>;
  /** Waits until all jobs have ended. Throws the first error of following them. */
  waitForAll(): Promise<void>;
  /** Sum of the crashes in all job records. */
  countCrashes(): Promise<number>;
}

export interface JobSupplyOptions {
  readonly stack: Pick<ScratchStack, 'submit' | 'waitFor'>;
  readonly store: JobStore;
  readonly samples: readonly InputPaths[];
  readonly jobsAtOnce: number;
}

const pollIntervalMs = 200;

export function openJobSupply({ stack, store, samples, jobsAtOnce }: JobSupplyOptions): JobSupply {
  const ended: JobView[] = [];
  const unfinished = new Map<string, Promise<void>>();
  const interruptionsOf = new Map<string, number>();
  /** Last counted run of each job: no worker resumes it before its lock expires, even if more workers are killed. */
  const lastCountedRunOf = new Map<string, number>();
  let submitted = 0;

  const recordsOf = async (ids: Iterable<string>): Promise<readonly JobRecord[]> =>
    (await Promise.all([...ids].map((id) => store.get(id)))).filter((record) => record !== undefined);
  const follow = async (id: string): Promise<void> => {
    ended.push(await stack.waitFor(id));
    unfinished.delete(id);
  };
  const add = async (): Promise<void> => {
    const sample = samples[submitted % samples.length];
    if (!sample) throw new Error('The job supply requires a sample.');
    submitted += 1;
    const { id } = await stack.submit(sample, { method: 'heygen' });
    const following = follow(id);
    // `waitForAll` reports the error.
    following.catch(() => undefined);
    unfinished.set(id, following);
  };

  return {
    ended,
    get interruptedRuns() {
      return [...interruptionsOf.values()].reduce((sum, count) => sum + count, 0);
    },
    async fill() {
      await Promise.all(Array.from({ length: jobsAtOnce - unfinished.size }, add));
    },
    async waitForFewerInterruptions(interruptions, end) {
      // A lock that is lost without a kill also counts as a crash.
      const hasTooMany = ({ id, crashes }: JobRecord): boolean =>
        unfinished.has(id) && Math.max(crashes, interruptionsOf.get(id) ?? 0) >= interruptions;
      while (!end.aborted && (await recordsOf(unfinished.keys())).some(hasTooMany))
        await sleep(pollIntervalMs, undefined, { signal: end }).catch(() => undefined);
    },
    async countInterruptedRuns() {
      const left = (await recordsOf(unfinished.keys())).filter(
        ({ id, status, parkedUntilMs, runs }) =>
          status === 'processing' && parkedUntilMs === null && runs !== lastCountedRunOf.get(id),
      );
      for (const { id, runs } of left) {
        interruptionsOf.set(id, (interruptionsOf.get(id) ?? 0) + 1);
        lastCountedRunOf.set(id, runs);
      }
      return left.length;
    },
    async waitForAll() {
      await Promise.all(unfinished.values());
    },
    async countCrashes() {
      const records = await recordsOf(ended.map(({ id }) => id));
      return records.reduce((sum, { crashes }) => sum + crashes, 0);
    },
  };
}
