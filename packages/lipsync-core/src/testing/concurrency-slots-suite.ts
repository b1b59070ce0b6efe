import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../contract/ports.ts';
import type { ConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type { StateStore } from '../storage/state-store.ts';

export interface SlotsUnderTest {
  readonly slots: ConcurrencySlots;
  /** Where the holders are kept. */
  readonly state: StateStore;
}

/** What every implementation of `ConcurrencySlots` promises. `open` is called once per test and gives empty state. */
export function concurrencySlotsSuite(name: string, open: (clock: Clock) => Promise<SlotsUnderTest>): void {
  describe(`concurrency slots over ${name}`, () => {
    let nowMs: number;
    let state: StateStore;
    let slots: ConcurrencySlots;
    const openEmpty = async (): Promise<void> => {
      ({ slots, state } = await open({ nowMs: () => nowMs }));
    };
    const holderIds = async (provider = 'heygen'): Promise<string[]> =>
      (await slots.holders(provider)).map(({ jobId }) => jobId);
    /** Fills the only slot and lets the jobs wait for it in the given order. */
    const wait = async (...jobs: readonly (readonly [jobId: string, priority: number])[]): Promise<void> => {
      await slots.acquire('heygen', 'job_holder', { limit: 1 });
      for (const [jobId, priority] of jobs) await slots.acquire('heygen', jobId, { limit: 1, priority });
    };

    beforeEach(() => {
      nowMs = 1_000;
      return openEmpty();
    });

    it('Slots are acquired until the limit is reached, and again after a release.', async () => {
      const acquire = (jobId: string): Promise<boolean> => slots.acquire('heygen', jobId, { limit: 2 });
      expect([await acquire('job_1'), await acquire('job_2'), await acquire('job_3')]).toEqual([true, true, false]);
      await slots.release('heygen', 'job_1');
      expect(await acquire('job_3')).toBe(true);
      expect(await holderIds()).toEqual(['job_2', 'job_3']);
    });

    it('A job that holds a slot keeps it when it acquires again, even if the limit was lowered.', async () => {
      await slots.acquire('heygen', 'job_1', { limit: 1 });
      nowMs = 2_000;
      expect(await slots.acquire('heygen', 'job_1', { limit: 0 })).toBe(true);
      expect(await slots.holders('heygen')).toEqual([{ jobId: 'job_1', sinceMs: 1_000, untilMs: null }]);
    });

    it('Releasing a slot that the job does not hold changes nothing.', async () => {
      await wait(['job_1', 5]);
      expect([await slots.release('heygen', 'job_2'), await slots.release('other', 'job_holder')]).toEqual([
        null,
        null,
      ]);
      expect([await holderIds(), await slots.countWaiting('heygen')]).toEqual([['job_holder'], 1]);
    });

    it('Each provider has slots of its own.', async () => {
      await slots.acquire('heygen', 'job_1', { limit: 1 });
      expect(await slots.acquire('other', 'job_2', { limit: 1 })).toBe(true);
      expect([await holderIds('heygen'), await holderIds('other')]).toEqual([['job_1'], ['job_2']]);
    });

    it('A sweep releases the slots of ended jobs at every provider and leaves the others.', async () => {
      for (const jobId of ['job_1', 'job_2', 'job_3']) await slots.acquire('heygen', jobId, { limit: 3 });
      await slots.acquire('other', 'job_1', { limit: 1 });
      const isGone = async (jobId: string): Promise<boolean> => jobId !== 'job_2';
      expect(await slots.sweep(isGone)).toEqual({ released: 3, ready: [] });
      expect([await holderIds('heygen'), await holderIds('other')]).toEqual([['job_2'], []]);
      expect(await slots.sweep(isGone)).toEqual({ released: 0, ready: [] });
    });

    it('A sweep returns one waiting job for each slot that it releases.', async () => {
      await wait(['job_1', 5], ['job_2', 1]);
      expect(await slots.sweep(async (jobId) => jobId === 'job_holder')).toEqual({
        released: 1,
        ready: [{ provider: 'heygen', jobId: 'job_2' }],
      });
    });

    it('A slot that is kept for an operation is free again after its release or its expiry.', async () => {
      const acquire = (jobId: string): Promise<boolean> => slots.acquire('heygen', jobId, { limit: 2 });
      for (const jobId of ['job_1', 'job_2', 'job_3']) await acquire(jobId);
      await slots.keep('heygen', 'job_1', 5_000);
      await slots.keep('heygen', 'job_2', 5_000);
      expect([await acquire('job_3'), (await slots.sweep(async () => true)).released]).toEqual([false, 0]);
      await slots.release('heygen', 'job_1');
      expect(await acquire('job_3')).toBe(true);
      nowMs = 5_000;
      expect([await holderIds(), (await slots.sweep(async () => false)).released, await acquire('job_4')]).toEqual([
        ['job_3'],
        1,
        true,
      ]);
    });

    it('A kept slot does not expire once its job has acquired it again.', async () => {
      await slots.acquire('heygen', 'job_1', { limit: 1 });
      await slots.keep('heygen', 'job_1', 5_000);
      expect(await slots.acquire('heygen', 'job_1', { limit: 1 })).toBe(true);
      nowMs = 5_000;
      expect(await holderIds()).toEqual(['job_1']);
    });

    it('Nothing is left in the store when all slots are free and no job waits.', async () => {
      await wait(['job_1', 5]);
      await slots.release('heygen', 'job_holder');
      expect(await state.list('', { limit: 1 })).toEqual([]);
    });

    it('A release returns the most urgent of the waiting jobs, and of equally urgent ones the oldest.', async () => {
      await wait(['job_3', 5], ['job_1', 5], ['job_4', 0], ['job_2', 5], ['job_0', 10]);
      expect(await slots.release('heygen', 'job_holder')).toBe('job_4');
      const rest = [];
      for (let next = await slots.takeNextWaiting('heygen'); next; next = await slots.takeNextWaiting('heygen'))
        rest.push(next);
      expect(rest).toEqual(['job_1', 'job_2', 'job_3', 'job_0']);
    });

    it('A job that waits again after it was taken keeps its age.', async () => {
      await wait(['job_1', 5], ['job_2', 5]);
      expect(await slots.takeNextWaiting('heygen')).toBe('job_1');
      await slots.acquire('heygen', 'job_1', { limit: 1 });
      expect(await slots.release('heygen', 'job_holder')).toBe('job_1');
    });

    it('A job that acquires a slot no longer waits.', async () => {
      await wait(['job_1', 5], ['job_2', 5]);
      expect(await slots.acquire('heygen', 'job_1', { limit: 2 })).toBe(true);
      expect(await slots.release('heygen', 'job_holder')).toBe('job_2');
    });

    it('A job that stops waiting is not returned by a release.', async () => {
      await wait(['job_1', 5], ['job_2', 5]);
      await slots.stopWaiting('heygen', 'job_1');
      await slots.stopWaiting('other', 'job_2');
      expect(await slots.release('heygen', 'job_holder')).toBe('job_2');
    });

    it('The waiting jobs ahead of a job are counted, and all of them for a job that does not wait.', async () => {
      await wait(['job_1', 5], ['job_2', 5], ['job_3', 1]);
      const count = (jobId?: string): Promise<number> => slots.countWaiting('heygen', jobId);
      expect([
        await count('job_3'),
        await count('job_1'),
        await count('job_2'),
        await count(),
        await count('job_9'),
      ]).toEqual([0, 1, 2, 3, 3]);
    });

    it('A hundred waiting jobs are returned once each, in order, by a hundred releases.', async () => {
      const jobIds = Array.from({ length: 100 }, (_, index) => `job_${String(index).padStart(3, '0')}`);
      await wait(...jobIds.map((jobId, index) => [jobId, index % 4] as const));
      const order = jobIds.toSorted(
        (one, other) => (Number(one.slice(4)) % 4) - (Number(other.slice(4)) % 4) || (one < other ? -1 : 1),
      );
      let holder = 'job_holder';
      for (const jobId of order) {
        expect(await slots.release('heygen', holder)).toBe(jobId);
        expect(await slots.acquire('heygen', jobId, { limit: 1 })).toBe(true);
        holder = jobId;
      }
      expect(await slots.release('heygen', holder)).toBeNull();
    });

    it('Concurrent releases return different jobs.', async () => {
      for (const jobId of ['job_a', 'job_b', 'job_c']) await slots.acquire('heygen', jobId, { limit: 3 });
      for (const jobId of ['job_1', 'job_2', 'job_3', 'job_4']) await slots.acquire('heygen', jobId, { limit: 3 });
      const ready = await Promise.all(['job_a', 'job_b', 'job_c'].map((jobId) => slots.release('heygen', jobId)));
      expect(new Set(ready)).toEqual(new Set(['job_1', 'job_2', 'job_3']));
    });

    it('Holders never exceed the limit, and a job never holds two slots, in any sequence of calls.', async () => {
      const step = fc.record({ jobId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), acquires: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.integer({ min: 0, max: 4 }), async (steps, limit) => {
          await openEmpty();
          const held = new Set<string>();
          for (const { jobId, acquires } of steps) {
            if (!acquires) {
              await slots.release('heygen', jobId);
              held.delete(jobId);
            } else {
              const isHeld = held.has(jobId) || held.size < limit;
              expect(await slots.acquire('heygen', jobId, { limit })).toBe(isHeld);
              if (isHeld) held.add(jobId);
            }
            expect(await holderIds()).toEqual([...held]);
          }
        }),
        { numRuns: 50 },
      );
    });
  });
}
