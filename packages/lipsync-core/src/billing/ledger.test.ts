import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { StateStore } from '../storage/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import type { BudgetCaps } from './budgets.ts';
import { listEntries, type CostGroup } from './cost-report.ts';
import { Ledger, type Reservation } from './ledger.ts';
import type { LedgerEntry, Total } from './ledger-entry.ts';
import { payerOf, totalKeys } from './ledger-entry.ts';
import { toMicros } from './micros.ts';

const noCaps: BudgetCaps = { dailyMicros: null, monthlyMicros: null, userDailyMicros: null };
const dayMs = 86_400_000;
const noonMs = Date.UTC(2026, 10, 21, 12);
const allTime = { fromMs: Date.UTC(2026, 0, 1), toMs: Date.UTC(2027, 0, 1) };
const clock = { nowMs: () => noonMs + 60_000 };

let state: StateStore;
let ledger: Ledger;
const open = (caps: Partial<Record<keyof BudgetCaps, number>> = {}): Ledger =>
  new Ledger({
    state,
    clock,
    caps: { ...noCaps, ...Object.fromEntries(Object.entries(caps).map(([name, micros]) => [name, toMicros(micros)])) },
  });
const reservation = (values: Partial<Reservation> = {}): Reservation => ({
  id: 'job_1.1',
  jobId: 'job_1',
  provider: 'heygen',
  user: null,
  micros: toMicros(1_000),
  atMs: noonMs,
  ...values,
});
const rows = (groupBy: CostGroup, range = allTime) => ledger.sum({ ...range, groupBy });
const entriesOf = async (range = allTime): Promise<LedgerEntry[]> => {
  const entries: LedgerEntry[] = [];
  for await (const entry of listEntries(state, range)) entries.push(entry);
  return entries;
};

beforeEach(() => {
  state = createMemoryState().open();
  ledger = open();
});

describe('ledger entry', () => {
  it('Money is reserved, then settled, and the rest is freed.', async () => {
    expect(await ledger.reserve(reservation())).toMatchObject({
      state: 'reserved',
      reservedMicros: 1_000,
      spentMicros: 0,
    });
    expect(await rows('day')).toEqual([{ key: '2026-11-21', jobs: 1, spentMicros: 0, reservedMicros: 1_000 }]);
    expect(
      await ledger.settle(reservation(), { micros: toMicros(700), atMs: noonMs + 5, note: 'as billed' }),
    ).toMatchObject({
      state: 'settled',
      spentMicros: 700,
      endedAtMs: noonMs + 5,
      note: 'as billed',
    });
    expect(await rows('day')).toEqual([{ key: '2026-11-21', jobs: 1, spentMicros: 700, reservedMicros: 0 }]);
  });

  it('A released reservation costs nothing.', async () => {
    await ledger.reserve(reservation());
    expect(await ledger.release(reservation(), 'refused before the start')).toMatchObject({
      state: 'released',
      spentMicros: 0,
      endedAtMs: noonMs + 60_000,
      note: 'refused before the start',
    });
    expect(await rows('day')).toEqual([]);
  });

  it('A released entry can be settled when its bill arrives late.', async () => {
    await ledger.reserve(reservation());
    await ledger.release(reservation());
    await ledger.settle(reservation(), { micros: toMicros(900), atMs: noonMs, note: 'billed late' });
    expect(await rows('day')).toEqual([{ key: '2026-11-21', jobs: 1, spentMicros: 900, reservedMicros: 0 }]);
  });

  it('A released entry is reserved again within the caps; a settled one is not.', async () => {
    ledger = open({ dailyMicros: toMicros(1_500) });
    expect(await ledger.reserveAgain(reservation())).toBeUndefined();
    await ledger.reserve(reservation());
    await ledger.release(reservation());
    expect(await ledger.reserveAgain(reservation())).toMatchObject({
      state: 'reserved',
      reservedMicros: 1_000,
      endedAtMs: null,
    });
    expect(await rows('day')).toMatchObject([{ reservedMicros: 1_000 }]);
    await ledger.release(reservation());
    await ledger.reserve(reservation({ id: 'job_2.1' }));
    await expect(ledger.reserveAgain(reservation())).rejects.toMatchObject({ code: 'budget_exceeded' });
    await ledger.settle(reservation(), { micros: toMicros(400), atMs: noonMs });
    expect(await ledger.reserveAgain(reservation())).toMatchObject({ state: 'settled', spentMicros: 400 });
  });

  it('The settled amount may exceed the reservation and the cap.', async () => {
    ledger = open({ dailyMicros: toMicros(1_000) });
    await ledger.reserve(reservation());
    await ledger.settle(reservation(), { micros: toMicros(5_000), atMs: noonMs });
    expect(await rows('day')).toMatchObject([{ spentMicros: 5_000 }]);
    await expect(ledger.reserve(reservation({ id: 'job_2.1', micros: toMicros(1) }))).rejects.toMatchObject({
      code: 'budget_exceeded',
    });
  });

  it('A settled entry is final.', async () => {
    await ledger.reserve(reservation());
    const settled = await ledger.settle(reservation(), { micros: toMicros(700), atMs: noonMs });
    expect(await ledger.settle(reservation(), { micros: toMicros(999), atMs: noonMs + 1 })).toEqual(settled);
    expect(await ledger.release(reservation())).toEqual(settled);
    expect(await ledger.reserve(reservation({ micros: toMicros(5) }))).toEqual(settled);
    expect(await entriesOf()).toEqual([settled]);
  });

  it('Settling without a reservation fails; releasing without one does nothing.', async () => {
    await expect(ledger.settle(reservation(), { micros: toMicros(1), atMs: noonMs })).rejects.toMatchObject({
      code: 'internal',
    });
    expect(await ledger.release(reservation())).toBeUndefined();
    expect(await state.list('', { limit: 10 })).toEqual([]);
  });
});

describe('caps', () => {
  it.each([
    ['daily', { dailyMicros: 1_000 }, { atMs: noonMs + dayMs }],
    ['monthly', { monthlyMicros: 1_000 }, { atMs: noonMs + 30 * dayMs }],
    ['user_daily', { userDailyMicros: 1_000 }, { user: 'bob' }],
    ['user_daily', { userDailyMicros: 1_000 }, { userId: 'customer' }],
  ] as const)(
    'The %s cap allows exactly its amount and does not affect other days, months or users.',
    async (cap, caps, elsewhere) => {
      ledger = open(caps);
      await ledger.reserve(reservation({ user: 'ann', micros: toMicros(400) }));
      const next = (values: Partial<Reservation>): Promise<LedgerEntry> =>
        ledger.reserve(reservation({ id: 'job_2.1', user: 'ann', ...values }));
      await expect(next({ micros: toMicros(601) })).rejects.toMatchObject({ code: 'budget_exceeded', cap });
      await ledger.settle(reservation(), { micros: toMicros(300), atMs: noonMs });
      await expect(next({ micros: toMicros(701) })).rejects.toMatchObject({ code: 'budget_exceeded', cap });
      expect(await rows('day')).toEqual([{ key: '2026-11-21', jobs: 1, spentMicros: 300, reservedMicros: 0 }]);
      await next({ micros: toMicros(700) });
      await ledger.reserve(reservation({ id: 'job_3.1', user: 'ann', micros: toMicros(1_000), ...elsewhere }));
    },
  );

  it('The cap of a batch holds for its attempts together, whatever their days, users and jobs.', async () => {
    const batch = { id: 'batch_1', capMicros: toMicros(1_000) };
    const first = reservation({ batch, user: 'ann', micros: toMicros(400) });
    await ledger.reserve(first);
    const next = (values: Partial<Reservation>): Promise<LedgerEntry> =>
      ledger.reserve(reservation({ id: 'job_2.1', jobId: 'job_2', atMs: noonMs + 2 * dayMs, batch, ...values }));
    await expect(next({ micros: toMicros(601) })).rejects.toMatchObject({ code: 'budget_exceeded', cap: 'batch' });
    await ledger.settle(first, { micros: toMicros(300), atMs: noonMs });
    await expect(next({ micros: toMicros(701) })).rejects.toMatchObject({ code: 'budget_exceeded', cap: 'batch' });
    await next({ micros: toMicros(700) });
    expect(await next({ id: 'job_3.1', micros: toMicros(0) })).toMatchObject({ state: 'reserved' });
    await next({ id: 'job_4.1', micros: toMicros(1_000), batch: { ...batch, id: 'batch_2' } });
    const other = reservation({ id: 'job_2.1', atMs: noonMs + 2 * dayMs });
    await ledger.release(other);
    await next({ id: 'job_5.1', micros: toMicros(1) });
    await expect(ledger.reserveAgain(other)).rejects.toMatchObject({ code: 'budget_exceeded', cap: 'batch' });
  });

  it('A user id counts within its API key, and a key without a user id for itself.', async () => {
    ledger = open({ userDailyMicros: 1_000 });
    const spenders = [
      payerOf('alice', 'ann'),
      payerOf('bob', 'ann'),
      payerOf('alice', undefined),
      payerOf(null, 'ann'),
    ];
    for (const [index, payer] of spenders.entries()) {
      const entry = reservation({ id: `job_${index}.1`, jobId: `job_${index}`, ...payer });
      await ledger.reserve(entry);
      await ledger.settle(entry, { micros: toMicros(900), atMs: noonMs });
      await expect(ledger.reserve(reservation({ id: 'more.1', ...payer }))).rejects.toMatchObject({
        cap: 'user_daily',
      });
    }
    const amounts = { jobs: 1, spentMicros: 900, reservedMicros: 0 };
    expect(await rows('user')).toEqual([
      { key: 'alice', ...amounts },
      { key: 'ann', ...amounts },
      { key: 'ann', owner: 'alice', ...amounts },
      { key: 'ann', owner: 'bob', ...amounts },
    ]);
    expect(await ledger.sum({ ...allTime, groupBy: 'key', owner: 'alice' })).toEqual([
      { key: 'alice', jobs: 2, spentMicros: 1_800, reservedMicros: 0 },
    ]);
  });

  it('A free attempt passes an exhausted budget.', async () => {
    ledger = open({ dailyMicros: toMicros(0), monthlyMicros: toMicros(0), userDailyMicros: toMicros(0) });
    expect(await ledger.reserve(reservation({ micros: toMicros(0), user: 'ann' }))).toMatchObject({
      state: 'reserved',
    });
    await expect(ledger.reserve(reservation({ id: 'job_2.1', micros: toMicros(1) }))).rejects.toMatchObject({
      code: 'budget_exceeded',
    });
  });

  it('The cap per user does not apply to entries without a user.', async () => {
    ledger = open({ userDailyMicros: toMicros(0) });
    expect(await ledger.reserve(reservation())).toMatchObject({ state: 'reserved' });
  });

  it('An attempt counts towards the UTC day on which it began.', async () => {
    ledger = open({ dailyMicros: toMicros(1_000) });
    const beforeMidnight = reservation({ atMs: Date.UTC(2026, 10, 30, 23, 59, 59, 999) });
    await ledger.reserve(beforeMidnight);
    await ledger.reserve(reservation({ id: 'job_2.1', jobId: 'job_2', atMs: Date.UTC(2026, 11, 1) }));
    await ledger.settle(beforeMidnight, { micros: toMicros(10), atMs: Date.UTC(2026, 11, 1, 0, 5) });
    expect(await rows('day')).toEqual([
      { key: '2026-11-30', jobs: 1, spentMicros: 10, reservedMicros: 0 },
      { key: '2026-12-01', jobs: 1, spentMicros: 0, reservedMicros: 1_000 },
    ]);
  });
});

describe('cost report', () => {
  beforeEach(async () => {
    const spend = async (values: Partial<Reservation>, micros: number): Promise<void> => {
      await ledger.reserve(reservation(values));
      await ledger.settle(reservation(values), { micros: toMicros(micros), atMs: noonMs });
    };
    await spend({ id: 'job_1.1', jobId: 'job_1', user: 'bob' }, 10);
    await spend({ id: 'job_1.2', jobId: 'job_1', user: 'bob', provider: 'wav2lip', atMs: noonMs + 1 }, 0);
    await spend({ id: 'job_2.1', jobId: 'job_2', user: 'ann', provider: 'preview', atMs: noonMs + dayMs }, 30);
    await ledger.reserve(
      reservation({ id: 'job_3.1', jobId: 'job_3', atMs: noonMs + 2 * dayMs, micros: toMicros(40) }),
    );
    await ledger.reserve(
      reservation({ id: 'job_4.1', jobId: 'job_4', atMs: noonMs + 2 * dayMs, micros: toMicros(50) }),
    );
    await ledger.release({ id: 'job_4.1', atMs: noonMs + 2 * dayMs });
  });

  it('Costs are grouped by day, and a job with two attempts counts once.', async () => {
    expect(await rows('day')).toEqual([
      { key: '2026-11-21', jobs: 1, spentMicros: 10, reservedMicros: 0 },
      { key: '2026-11-22', jobs: 1, spentMicros: 30, reservedMicros: 0 },
      { key: '2026-11-23', jobs: 1, spentMicros: 0, reservedMicros: 40 },
    ]);
  });

  it('Costs are grouped by provider.', async () => {
    expect((await rows('method')).map(({ key, jobs, spentMicros }) => [key, jobs, spentMicros])).toEqual([
      ['heygen', 2, 10],
      ['preview', 1, 30],
      ['wav2lip', 1, 0],
    ]);
  });

  it('Costs are grouped by user, entries without a user first.', async () => {
    expect(
      (await rows('user')).map(({ key, spentMicros, reservedMicros }) => [key, spentMicros, reservedMicros]),
    ).toEqual([
      [null, 0, 40],
      ['ann', 30, 0],
      ['bob', 10, 0],
    ]);
  });

  it('A range includes its start and excludes its end.', async () => {
    const jobsIn = async (fromMs: number, toMs: number): Promise<string[]> =>
      (await entriesOf({ fromMs, toMs })).map(({ id }) => id);
    expect(await jobsIn(noonMs, noonMs + 1)).toEqual(['job_1.1']);
    expect(await jobsIn(noonMs + 1, noonMs + dayMs)).toEqual(['job_1.2']);
    expect(await jobsIn(noonMs + 1, noonMs + dayMs + 1)).toEqual(['job_1.2', 'job_2.1']);
    expect(await jobsIn(noonMs, noonMs)).toEqual([]);
    expect(await jobsIn(noonMs - 9 * dayMs, noonMs)).toEqual([]);
  });

  it.each([-1, Date.UTC(10_000, 0, 2), Number.NaN])('The time %d is refused.', async (fromMs) => {
    await expect(entriesOf({ fromMs, toMs: Date.UTC(10_000, 0, 3) })).rejects.toMatchObject({
      code: 'request_invalid',
    });
  });

  it('A report covers more entries than one page holds.', async () => {
    const atMs = noonMs + 3 * dayMs;
    await Promise.all(
      Array.from({ length: 1_201 }, (_, index) =>
        ledger.reserve(reservation({ id: `many_${index}.1`, jobId: `many_${index}`, atMs, micros: toMicros(3) })),
      ),
    );
    expect(await rows('day', { fromMs: atMs, toMs: atMs + 1 })).toEqual([
      { key: '2026-11-24', jobs: 1_201, spentMicros: 0, reservedMicros: 3_603 },
    ]);
  });
});

describe('any sequence of calls', () => {
  // Below the sums of the attempts, so that every cap takes effect.
  const caps = { dailyMicros: 700, monthlyMicros: 900, userDailyMicros: 500 };
  const users = [null, 'ann', 'bob'] as const;
  const days = [0, 1, 20] as const;
  /** The reservation of attempt `number`; the same number gives the same id. */
  const attempt = (number: number): Reservation =>
    reservation({
      id: `job_${number >> 1}.${number & 1}`,
      jobId: `job_${number >> 1}`,
      user: users[number % 3] ?? null,
      micros: toMicros((number * 97) % 500),
      atMs: noonMs + (days[(number >> 1) % 3] ?? 0) * dayMs,
    });
  const call = fc.record({
    what: fc.constantFrom('reserve', 'reserveAgain', 'settle', 'release'),
    number: fc.nat(11),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    times: fc.integer({ min: 1, max: 3 }),
  });
  type Call = typeof call extends fc.Arbitrary<infer Value> ? Value : never;

  async function perform({ what, number, share }: Call): Promise<void> {
    const wanted = attempt(number);
    if (what === 'reserve') await ledger.reserve(wanted);
    else if (what === 'reserveAgain') await ledger.reserveAgain(wanted);
    else if (what === 'settle')
      await ledger.settle(wanted, { micros: toMicros(Math.round(wanted.micros * share)), atMs: noonMs });
    else await ledger.release(wanted);
  }

  /** Performs calls. Refused calls change nothing. */
  const performAll = (calls: readonly Call[]): Promise<unknown> =>
    Promise.allSettled(calls.flatMap((one) => Array.from({ length: one.times }, () => perform(one))));

  const expectedTotals = (entries: readonly LedgerEntry[]): Map<string, Total> => {
    const sums = new Map<string, Total>();
    for (const entry of entries) {
      const { day, month, userDay } = totalKeys(entry);
      for (const key of userDay === null ? [day, month] : [day, month, userDay]) {
        const sum = sums.get(key) ?? { reservedMicros: 0, spentMicros: 0 };
        sums.set(key, {
          reservedMicros: sum.reservedMicros + (entry.state === 'reserved' ? entry.reservedMicros : 0),
          spentMicros: sum.spentMicros + (entry.state === 'settled' ? entry.spentMicros : 0),
        });
      }
    }
    return sums;
  };

  it('Every entry counts once in each of its totals.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 60 }), async (calls) => {
        state = createMemoryState().open();
        ledger = open(caps);
        await performAll(calls);
        const totals = new Map(
          (await state.list('ledger/', { limit: 1_000 }))
            .filter(({ key }) => !key.startsWith('ledger/entry/'))
            .map(({ key, document }) => [key, document]),
        );
        expect(totals).toEqual(expectedTotals(await entriesOf()));
      }),
    );
  });

  it('Spent and reserved money stays within the caps, except for late bills.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 60 }), async (calls) => {
        state = createMemoryState().open();
        ledger = open(caps);
        let lateMicros = 0;
        for (const one of calls) {
          const before = (await entriesOf()).find(({ id }) => id === attempt(one.number).id);
          await performAll([one]);
          const after = (await entriesOf()).find(({ id }) => id === attempt(one.number).id);
          if (before?.state === 'released') lateMicros += after?.spentMicros ?? 0;
          for (const [key, { reservedMicros, spentMicros }] of expectedTotals(await entriesOf())) {
            const capMicros = key.includes('/user/')
              ? caps.userDailyMicros
              : key.includes('/day/')
                ? caps.dailyMicros
                : caps.monthlyMicros;
            expect(reservedMicros + spentMicros).toBeLessThanOrEqual(capMicros + lateMicros);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('Repeated calls change nothing.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 40 }), async (calls) => {
        const outcome = async (performed: readonly Call[]): Promise<LedgerEntry[]> => {
          state = createMemoryState().open();
          ledger = open();
          await performAll(performed);
          return entriesOf();
        };
        const once = await outcome(calls.map((one) => ({ ...one, times: 1 })));
        expect(await outcome(calls)).toEqual(once);
      }),
      { numRuns: 60 },
    );
  });
});
