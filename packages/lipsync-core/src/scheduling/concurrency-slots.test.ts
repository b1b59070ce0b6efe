import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { StateStore } from '../storage/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { createConcurrencySlots, type ConcurrencySlots } from './concurrency-slots.ts';

let nowMs: number;
let state: StateStore;
let places: ConcurrencySlots;
const names = async (provider = 'heygen'): Promise<string[]> =>
  (await places.holders(provider)).map(({ jobId }) => jobId);

beforeEach(() => {
  nowMs = 1_000;
  state = createMemoryState().open();
  places = createConcurrencySlots({ state, clock: { nowMs: () => nowMs } });
});

describe('places at a provider', () => {
  it('are taken until there is none left, and again once one was given back', async () => {
    expect([
      await places.enter('heygen', 'job_1', 2),
      await places.enter('heygen', 'job_2', 2),
      await places.enter('heygen', 'job_3', 2),
    ]).toEqual([true, true, false]);
    await places.leave('heygen', 'job_1');
    expect(await places.enter('heygen', 'job_3', 2)).toBe(true);
    expect(await names()).toEqual(['job_2', 'job_3']);
  });

  it('are kept by a job that asks again, also when there are fewer now', async () => {
    await places.enter('heygen', 'job_1', 1);
    nowMs = 2_000;
    expect(await places.enter('heygen', 'job_1', 0)).toBe(true);
    expect(await places.holders('heygen')).toEqual([{ jobId: 'job_1', sinceMs: 1_000, untilMs: null }]);
  });

  it('that a job does not have are given back without harm', async () => {
    await places.enter('heygen', 'job_1', 1);
    await places.leave('heygen', 'job_2');
    await places.leave('other', 'job_1');
    expect(await names()).toEqual(['job_1']);
  });

  it('are counted for each provider by itself', async () => {
    await places.enter('heygen', 'job_1', 1);
    expect(await places.enter('other', 'job_2', 1)).toBe(true);
    expect([await names('heygen'), await names('other')]).toEqual([['job_1'], ['job_2']]);
  });

  it('of jobs that ended are freed by a sweep, at every provider, and the others stay', async () => {
    await Promise.all(['job_1', 'job_2', 'job_3'].map((jobId) => places.enter('heygen', jobId, 3)));
    await places.enter('other', 'job_1', 1);
    expect(await places.sweep(async (jobId) => jobId !== 'job_2')).toBe(3);
    expect([await names('heygen'), await names('other')]).toEqual([['job_2'], []]);
    expect(await places.sweep(async (jobId) => jobId !== 'job_2')).toBe(0);
  });

  it('that are kept for what may still run are free again when they are left, or by themselves', async () => {
    for (const jobId of ['job_1', 'job_2', 'job_3']) await places.enter('heygen', jobId, 2);
    await places.keep('heygen', 'job_1', 5_000);
    await places.keep('heygen', 'job_2', 5_000);
    expect([await places.enter('heygen', 'job_3', 2), await places.sweep(async () => true)]).toEqual([false, 0]);
    await places.leave('heygen', 'job_1');
    expect(await places.enter('heygen', 'job_3', 2)).toBe(true);
    nowMs = 5_000;
    expect([await names(), await places.sweep(async () => false), await places.enter('heygen', 'job_4', 2)]).toEqual([
      ['job_3'],
      1,
      true,
    ]);
  });

  it('that were kept belong to their job as before once it goes on', async () => {
    await places.enter('heygen', 'job_1', 1);
    await places.keep('heygen', 'job_1', 5_000);
    expect(await places.enter('heygen', 'job_1', 1)).toBe(true);
    nowMs = 5_000;
    expect(await names()).toEqual(['job_1']);
  });

  it('leave nothing behind in the store when all are free', async () => {
    await places.enter('heygen', 'job_1', 1);
    await places.leave('heygen', 'job_1');
    expect(await state.list('', { limit: 1 })).toEqual([]);
  });

  it('are never more than there are, and never two for one job, whoever comes and goes', async () => {
    const step = fc.record({ jobId: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), enters: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 4 }), async (steps, limit) => {
        state = createMemoryState().open();
        places = createConcurrencySlots({ state, clock: { nowMs: () => nowMs } });
        const inside = new Set<string>();
        for (const { jobId, enters } of steps) {
          if (!enters) {
            await places.leave('heygen', jobId);
            inside.delete(jobId);
          } else {
            expect(await places.enter('heygen', jobId, limit)).toBe(inside.has(jobId) || inside.size < limit);
            if (inside.has(jobId) || inside.size < limit) inside.add(jobId);
          }
          expect(await names()).toEqual([...inside]);
        }
      }),
    );
  });
});
