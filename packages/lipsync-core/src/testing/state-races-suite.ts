import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Ledger } from '../billing/ledger.ts';
import { systemClock } from '../contract/system-ports.ts';
import { CircuitBreaker } from '../scheduling/circuit-breaker.ts';
import { createConcurrencySlots } from '../scheduling/concurrency-slots.ts';
import type { StateStore } from '../storage/state-store.ts';
import { startStateChild, type StateChild } from './state-child.ts';
import type { StateStoreUnderTest } from './state-store-suite.ts';
import { toMicros } from '../billing/micros.ts';

const dollar = 1_000_000;
const dayMs = 86_400_000;
const noonMs = Date.UTC(2026, 10, 21, 12);

/**
 * What is decided over a state store holds when many decide at once, here from two stores in one process. `makeStores`
 * is called once per test and gives two over the same empty state.
 */
export function stateRacesSuite(name: string, makeStores: () => Promise<StateStoreUnderTest>): void {
  describe(`races over ${name}`, () => {
    let stores: readonly [StateStore, StateStore];
    let subject: StateStoreUnderTest;
    const oneOf = (index: number): StateStore => stores[index % 2 === 0 ? 0 : 1];

    beforeEach(async () => {
      subject = await makeStores();
      stores = [subject.store, subject.other];
      return () => subject.dispose();
    });

    it('a hundred jobs that race for the last dollar spend no more than it, twenty times', async () => {
      const ledgers = stores.map(
        (state) =>
          new Ledger({
            state,
            clock: systemClock,
            caps: { dailyMicros: toMicros(dollar), monthlyMicros: null, userDailyMicros: null },
          }),
      );
      const micros = 99_000;
      for (let repetition = 0; repetition < 20; repetition += 1) {
        const atMs = noonMs + repetition * dayMs;
        const race = Array.from({ length: 100 }, (_, index) => ({
          ledger: ledgers[index % 2] ?? expect.unreachable(),
          id: `job_${index}.1`,
        }));
        const reserved = await Promise.allSettled(
          race.map(({ ledger, id }) =>
            ledger.reserve({ id, jobId: id, provider: 'heygen', user: null, micros: toMicros(micros), atMs }),
          ),
        );
        const winners = race.filter((_, index) => reserved[index]?.status === 'fulfilled');
        expect(winners).toHaveLength(10);
        for (const result of reserved)
          if (result.status === 'rejected')
            expect(result.reason).toMatchObject({ code: 'budget_exceeded', cap: 'daily' });
        await Promise.all(
          winners.map(({ ledger, id }, index) =>
            index % 5 === 4
              ? ledger.release({ id, atMs })
              : ledger.settle({ id, atMs }, { micros: toMicros(micros), atMs }),
          ),
        );
        expect(await ledgers[0]?.sum({ fromMs: atMs, toMs: atMs + 1, groupBy: 'day' })).toMatchObject([
          { jobs: 8, spentMicros: 8 * micros, reservedMicros: 0 },
        ]);
      }
    });

    it('an entry that twenty book at once is booked once', async () => {
      const ledgers = stores.map(
        (state) =>
          new Ledger({
            state,
            clock: systemClock,
            caps: { dailyMicros: toMicros(dollar), monthlyMicros: toMicros(dollar), userDailyMicros: toMicros(dollar) },
          }),
      );
      const reservation = {
        id: 'job_1.1',
        jobId: 'job_1',
        provider: 'heygen',
        user: 'Zoë 😀',
        micros: toMicros(600_000),
        atMs: noonMs,
      };
      const all = Array.from({ length: 20 }, (_, index) => ledgers[index % 2] ?? expect.unreachable());
      await Promise.all(all.map((ledger) => ledger.reserve(reservation)));
      await Promise.all(
        all.map((ledger, index) => ledger.settle(reservation, { micros: toMicros(500_000 + index), atMs: noonMs })),
      );
      const [row] = (await ledgers[0]?.sum({ fromMs: noonMs, toMs: noonMs + 1, groupBy: 'user' })) ?? [];
      expect(row).toMatchObject({ key: 'Zoë 😀', jobs: 1, reservedMicros: 0 });
      await expect(
        ledgers[1]?.reserve({ ...reservation, id: 'job_2.1', micros: toMicros(dollar - (row?.spentMicros ?? 0) + 1) }),
      ).rejects.toMatchObject({ code: 'budget_exceeded' });
      await ledgers[1]?.reserve({ ...reservation, id: 'job_2.1', micros: toMicros(dollar - (row?.spentMicros ?? 0)) });
    });

    it('fifty jobs at once get three places, and the rest none', async () => {
      const entered = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          createConcurrencySlots({ state: oneOf(index), clock: systemClock }).acquire('heygen', `job_${index}`, {
            limit: 3,
          }),
        ),
      );
      expect(entered.filter(Boolean)).toHaveLength(3);
      expect(await createConcurrencySlots({ state: oneOf(0), clock: systemClock }).holders('heygen')).toHaveLength(3);
    });

    it('of fifty at a half-open breaker exactly one probes', async () => {
      const breakers = stores.map(
        (state) => new CircuitBreaker({ state, clock: systemClock, settings: { maxFaults: 1, coolDownMs: 1 } }),
      );
      await breakers[0]?.report('heygen', 'job_0', 'counts');
      await expect.poll(async () => (await breakers[1]?.inspect('heygen'))?.state).toBe('half_open');
      const admissions = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          (breakers[index % 2] ?? expect.unreachable()).admit('heygen', `job_${index}`),
        ),
      );
      expect(admissions.filter(({ admitted }) => admitted)).toEqual([{ admitted: true, probe: true }]);
    });
  });
}

export interface StateProcesses {
  readonly store: StateStore;
  /** The program that opens the same state and calls `serveStateTasks`, and its arguments. */
  readonly program: URL;
  readonly programArguments: readonly string[];
  dispose(): Promise<void>;
}

const childCount = 4;

/** The same over four processes of their own. `open` is called once and gives an empty state. */
export function stateProcessesSuite(name: string, open: () => Promise<StateProcesses>): void {
  describe(`processes over ${name}`, () => {
    let subject: StateProcesses;
    let store: StateStore;
    let children: readonly StateChild[];

    beforeAll(async () => {
      subject = await open();
      store = subject.store;
      children = Array.from({ length: childCount }, () => startStateChild(subject.program, subject.programArguments));
    });
    afterAll(async () => {
      await Promise.all(children.map((child) => child.stop()));
      await subject.dispose();
    });

    it('lose no change to a document', async () => {
      await Promise.all(children.map((child) => child.ask({ task: 'count', key: 'counter', times: 50 })));
      expect(await store.transact(['counter'], (documents) => ({ result: documents.get('counter') }))).toBe(
        childCount * 50,
      );
    });

    it('go on when one of them is killed between reading and writing, whose change is not stored', async () => {
      const victim = startStateChild(subject.program, subject.programArguments);
      await victim.ask({ task: 'count', key: 'survivor', times: 1 });
      const dying = victim.ask({ task: 'die', key: 'survivor' });
      await expect(dying).rejects.toThrow('gone');
      expect(await victim.died()).toBe('SIGKILL');
      expect(await children[0]?.ask({ task: 'count', key: 'survivor', times: 1 })).toBe(1);
      expect(await store.transact(['survivor'], (documents) => ({ result: documents.get('survivor') }))).toBe(2);
    });

    it('spend no more than the last dollar together', async () => {
      const reserved = await Promise.all(
        children.map((child, index) =>
          child.ask({
            task: 'reserve',
            jobIds: Array.from({ length: 25 }, (_, job) => `job_${index}_${job}`),
            micros: 90_000,
            dailyMicros: dollar,
            atMs: noonMs,
          }),
        ),
      );
      expect(reserved.reduce((sum, count) => sum + count, 0)).toBe(11);
      const ledger = new Ledger({
        state: store,
        clock: systemClock,
        caps: { dailyMicros: toMicros(dollar), monthlyMicros: null, userDailyMicros: null },
      });
      expect(await ledger.sum({ fromMs: noonMs, toMs: noonMs + 1, groupBy: 'method' })).toEqual([
        { key: 'heygen', jobs: 11, spentMicros: 0, reservedMicros: 990_000 },
      ]);
    });

    it('have no more places than there are, and all jobs get one in the end', async () => {
      const mostSeen = await Promise.all(
        children.map((child, index) =>
          child.ask({
            task: 'visit',
            provider: 'heygen',
            jobIds: Array.from({ length: 5 }, (_, job) => `job_${index}_${job}`),
            limit: 3,
          }),
        ),
      );
      expect(Math.max(...mostSeen)).toBeLessThanOrEqual(3);
      expect(await createConcurrencySlots({ state: store, clock: systemClock }).holders('heygen')).toEqual([]);
    });

    it('send one probe through a half-open breaker, open it again for all and close it for all', async () => {
      const breaker = new CircuitBreaker({
        state: store,
        clock: systemClock,
        settings: { refusedCoolDownMs: 1, maxRefusedCoolDownMs: 1 },
      });
      const admitted = async (): Promise<number[]> => {
        const answers = await Promise.all(
          children.map((child, index) => child.ask({ task: 'probe', provider: 'heygen', who: `job_${index}` })),
        );
        return answers.flatMap((answer, index) => (answer === 1 ? [index] : []));
      };
      expect(await admitted()).toHaveLength(childCount);
      await breaker.report('heygen', 'job_x', 'opens');
      await expect.poll(async () => (await breaker.inspect('heygen')).state).toBe('half_open');
      const [probe, ...others] = await admitted();
      expect(others).toEqual([]);
      await breaker.report('heygen', `job_${probe}`, 'opens');
      await expect.poll(async () => (await breaker.inspect('heygen')).state).toBe('half_open');
      const [secondProbe] = await admitted();
      await breaker.report('heygen', `job_${secondProbe}`, 'success');
      expect(await admitted()).toHaveLength(childCount);
    });
  });
}
