import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Total } from '../billing/ledger-entry.ts';
import { Ledger } from '../billing/ledger.ts';
import { systemClock } from '../contract/system-ports.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type { StateStore } from '../storage/state-store.ts';
import { cappedBatch, jobsOfChild, readVendor, vendorLimit, vendorPriceMicros } from './admission-jobs.ts';

export interface AdmissionUnderTest {
  readonly store: StateStore;
  /** The program that opens the same state and calls `serveAdmissionJobs`. */
  readonly program: URL;
  readonly programArguments: readonly string[];
  dispose(): Promise<void>;
}

/**
 * Guarantees of admission over several processes and their crashes. `open` is called once per test with empty state.
 */
export function admissionSuite(name: string, open: () => Promise<AdmissionUnderTest>): void {
  describe(`admission over ${name}`, () => {
    let subject: AdmissionUnderTest;
    let children: ChildProcess[];
    beforeEach(async () => {
      subject = await open();
      children = [];
    });
    afterEach(async () => {
      for (const child of children) child.kill('SIGKILL');
      await subject.dispose();
    });

    const start = (child: number, ...mode: readonly 'capped'[]): Promise<readonly unknown[]> => {
      const process = fork(subject.program, [...subject.programArguments, String(child), ...mode], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      children.push(process);
      return once(process, 'exit');
    };

    /** Kills the second process twice while it works, and lets it end at the third start. */
    const killRepeatedly = async (...mode: readonly 'capped'[]): Promise<void> => {
      for (let kill = 0; kill < 2; kill += 1) {
        const killed = start(1, ...mode);
        await expect
          .poll(async () => (await readVendor(subject.store)).started.length, { timeout: 30_000, interval: 10 })
          .toBeGreaterThan(kill);
        await delay(Math.random() * 100);
        children.at(-1)?.kill('SIGKILL');
        await killed;
      }
      expect(await start(1, ...mode)).toEqual([0, null]);
    };

    it('Two processes, one of which is killed repeatedly, never exceed the slot limit and pay for each job once.', async () => {
      const steady = start(0);
      await killRepeatedly();
      expect(await steady).toEqual([0, null]);
      const jobs = [...jobsOfChild(0), ...jobsOfChild(1)];
      const vendor = await readVendor(subject.store);
      expect(vendor.most).toBeLessThanOrEqual(vendorLimit);
      expect(vendor.running).toEqual([]);
      expect(vendor.started.toSorted()).toEqual(jobs.map((jobId) => `${jobId}-0`).toSorted());
      const ledger = new Ledger({
        state: subject.store,
        clock: systemClock,
        caps: { dailyMicros: null, monthlyMicros: null, userDailyMicros: null },
      });
      expect(await ledger.sum({ fromMs: 0, toMs: Date.now() + 1, groupBy: 'method' })).toEqual([
        { key: 'heygen', jobs: jobs.length, spentMicros: jobs.length * vendorPriceMicros, reservedMicros: 0 },
      ]);
      expect(await createConcurrencySlots({ state: subject.store, clock: systemClock }).holders('heygen')).toEqual([]);
    });

    it('Two processes, one of which is killed repeatedly, never reserve and spend more than the cap of their batch.', async () => {
      const key = `ledger/batch/${cappedBatch.id}`;
      const readTotal = () =>
        // `as`: the ledger writes the document.
        subject.store.transact([key], (documents) => ({ result: documents.get(key) as Total | undefined }));
      let highest = 0;
      let isWatching = true;
      const watch = async () => {
        while (isWatching) {
          const { reservedMicros, spentMicros } = (await readTotal()) ?? { reservedMicros: 0, spentMicros: 0 };
          highest = Math.max(highest, reservedMicros + spentMicros);
          await delay(2);
        }
      };
      const watching = watch();
      const steady = start(0, 'capped');
      await killRepeatedly('capped');
      expect(await steady).toEqual([0, null]);
      isWatching = false;
      await watching;
      const { started } = await readVendor(subject.store);
      expect(await readTotal()).toEqual({ reservedMicros: 0, spentMicros: started.length * vendorPriceMicros });
      expect(highest).toBeLessThanOrEqual(cappedBatch.capMicros);
      // Another attempt would have been covered.
      expect(started.length * vendorPriceMicros).toBeGreaterThan(cappedBatch.capMicros - 2 * 2 * vendorPriceMicros);
    });
  });
}
