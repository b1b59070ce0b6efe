import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { BreakerReport } from './circuit-breaker-state.ts';

const startMs = 1_000_000;
const second = 1_000;
const minute = 60 * second;

let nowMs: number;
let breaker: CircuitBreaker;
const report = (reported: BreakerReport, who = 'job_1'): Promise<void> => breaker.report('heygen', who, reported);
const admit = (who = 'job_1') => breaker.admit('heygen', who);
const look = () => breaker.inspect('heygen');
const fail = async (times: number): Promise<void> => {
  for (let time = 0; time < times; time += 1) await report('counts', `job_${time}`);
};
/** Advances the clock past the cool-down and returns its length. */
const coolDown = async (): Promise<number> => {
  const before = nowMs;
  nowMs = (await look()).openUntilMs ?? expect.unreachable();
  return nowMs - before;
};

beforeEach(() => {
  nowMs = startMs;
  breaker = new CircuitBreaker({ state: createMemoryState().open(), clock: { nowMs: () => nowMs } });
});

describe('closed circuit breaker', () => {
  it('A closed breaker admits every job.', async () => {
    expect([await admit('job_1'), await admit('job_2')]).toEqual([
      { admitted: true, probe: false },
      { admitted: true, probe: false },
    ]);
    expect(await look()).toEqual({ state: 'closed', recentFaults: 0, reason: null, openUntilMs: null, openings: 0 });
  });

  it('The fifth consecutive vendor fault opens the breaker for thirty seconds.', async () => {
    await fail(4);
    expect(await look()).toMatchObject({ state: 'closed', recentFaults: 4 });
    await fail(1);
    expect(await look()).toEqual({
      state: 'open',
      recentFaults: 0,
      reason: 'faults',
      openUntilMs: startMs + 30 * second,
      openings: 1,
    });
    expect(await admit()).toEqual({ admitted: false, openUntilMs: startMs + 30 * second });
  });

  it('A stuck vendor with a single slot opens the breaker, although its faults are twenty minutes apart.', async () => {
    for (let time = 0; time < 5; time += 1) {
      expect(await look()).toMatchObject({ state: 'closed', recentFaults: time });
      nowMs += 20 * minute;
      await report('counts', `job_${time}`);
    }
    expect(await look()).toMatchObject({ state: 'open', reason: 'faults' });
  });

  it('Faults older than two hours do not count.', async () => {
    await fail(4);
    nowMs += 120 * minute;
    expect(await look()).toMatchObject({ recentFaults: 0 });
    await fail(4);
    expect(await look()).toMatchObject({ state: 'closed', recentFaults: 4 });
  });

  it('A successful attempt resets the fault count.', async () => {
    for (let time = 0; time < 10; time += 1) {
      await fail(4);
      await report('success');
    }
    expect(await look()).toMatchObject({ state: 'closed', recentFaults: 0 });
  });

  it('Attempts that end without a verdict on the vendor do not count.', async () => {
    await fail(4);
    for (let time = 0; time < 10; time += 1) await report('none');
    expect(await look()).toMatchObject({ state: 'closed', recentFaults: 4 });
  });

  it('Rejected credentials and an exhausted balance open the breaker at once, for five minutes.', async () => {
    await report('opens');
    expect(await look()).toMatchObject({ state: 'open', reason: 'refused', openUntilMs: startMs + 5 * minute });
  });

  it('Every provider has its own breaker.', async () => {
    await report('opens');
    expect(await breaker.admit('other', 'job_1')).toEqual({ admitted: true, probe: false });
  });
});

describe('untried provider', () => {
  it('A provider counts as tried after its first accepted work or its first success; acceptance is reported once.', async () => {
    expect(await breaker.isUntried('heygen')).toBe(true);
    expect([
      await breaker.recordAcceptance('heygen'),
      await breaker.recordAcceptance('heygen'),
      await breaker.isUntried('heygen'),
    ]).toEqual([true, false, false]);
    await breaker.report('other', 'job_1', 'success');
    expect(await breaker.isUntried('other')).toBe(false);
  });

  it('A fault leaves a provider untried; an open or recovered breaker does not.', async () => {
    await fail(4);
    expect(await breaker.isUntried('heygen')).toBe(true);
    await report('opens');
    expect([await breaker.isUntried('heygen'), await breaker.recordAcceptance('heygen')]).toEqual([false, false]);
    await coolDown();
    await admit();
    await report('success');
    expect(await breaker.isUntried('heygen')).toBe(false);
  });
});

describe('open circuit breaker', () => {
  it('Reports of jobs that were admitted before the opening do not count.', async () => {
    await fail(5);
    const before = await look();
    await fail(3);
    await report('success');
    await report('none');
    expect(await look()).toEqual(before);
  });

  it('A rejected key extends the opening once, not once per job.', async () => {
    await fail(5);
    await report('opens', 'job_7');
    const refused = await look();
    expect(refused).toMatchObject({ reason: 'refused', openUntilMs: startMs + 5 * minute });
    nowMs += second;
    await report('opens', 'job_8');
    expect(await look()).toEqual(refused);
  });
});

describe('half-open circuit breaker', () => {
  beforeEach(async () => {
    await fail(5);
    await coolDown();
  });

  it('A half-open breaker admits exactly one probe.', async () => {
    expect((await look()).state).toBe('half_open');
    expect(await admit('job_a')).toEqual({ admitted: true, probe: true });
    expect(await admit('job_b')).toEqual({ admitted: false, openUntilMs: nowMs + 2 * minute });
    expect((await look()).state).toBe('half_open');
  });

  it('The probe is admitted again after a crash.', async () => {
    await admit('job_a');
    nowMs += minute;
    expect(await admit('job_a')).toEqual({ admitted: true, probe: true });
    nowMs += minute;
    expect(await admit('job_b')).toMatchObject({ admitted: false });
  });

  it('A successful probe closes the breaker.', async () => {
    await admit('job_a');
    await report('success', 'job_a');
    expect(await look()).toEqual({ state: 'closed', recentFaults: 0, reason: null, openUntilMs: null, openings: 0 });
    await fail(4);
    expect((await look()).state).toBe('closed');
  });

  it('A success of a job that was admitted earlier does not close the breaker.', async () => {
    await admit('job_a');
    await report('success', 'job_b');
    expect(await admit('job_c')).toMatchObject({ admitted: false });
  });

  it('The cool-down doubles with each failed probe up to ten minutes, and starts at thirty seconds after closing.', async () => {
    const waits: number[] = [];
    for (let time = 0; time < 7; time += 1) {
      await admit('job_a');
      await report('counts', 'job_a');
      waits.push((await coolDown()) / second);
    }
    expect(waits).toEqual([60, 120, 240, 480, 600, 600, 600]);
    await admit('job_a');
    await report('success', 'job_a');
    await fail(5);
    expect(await coolDown()).toBe(30 * second);
  });

  it('The cool-down of a rejected key doubles up to an hour.', async () => {
    const waits: number[] = [];
    for (let time = 0; time < 6; time += 1) {
      await admit('job_a');
      await report('opens', 'job_a');
      waits.push((await coolDown()) / minute);
    }
    expect(waits).toEqual([5, 10, 20, 40, 60, 60]);
  });

  it('Another job probes when the probe ends without a verdict.', async () => {
    await admit('job_a');
    await report('none', 'job_a');
    expect(await admit('job_b')).toEqual({ admitted: true, probe: true });
  });

  it('After two minutes another job may probe, and a late success of the first probe still closes the breaker.', async () => {
    await admit('job_a');
    nowMs += 2 * minute - 1;
    expect(await admit('job_b')).toMatchObject({ admitted: false });
    nowMs += 1;
    expect(await admit('job_b')).toEqual({ admitted: true, probe: true });
    await report('counts', 'job_a');
    expect((await look()).state).toBe('half_open');
    await report('success', 'job_a');
    expect((await look()).state).toBe('closed');
  });

  it('The stored state stays small when probes crash for hours.', async () => {
    const state = createMemoryState().open();
    breaker = new CircuitBreaker({ state, clock: { nowMs: () => nowMs } });
    await report('opens');
    nowMs += 5 * minute;
    for (let time = 0; time < 500; time += 1) {
      expect(await admit(`job_${time}`)).toMatchObject({ probe: true });
      nowMs += 2 * minute;
    }
    const [stored] = await state.list('', { limit: 1 });
    expect(JSON.stringify(stored).length).toBeLessThan(1_000);
  });
});

describe('any sequence of events', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('admit' as const), who: fc.constantFrom('a', 'b', 'c') }),
    fc.record({
      kind: fc.constant('report' as const),
      who: fc.constantFrom('a', 'b', 'c'),
      reported: fc.constantFrom('success', 'counts', 'counts', 'opens', 'none'),
    }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 5 * minute }) }),
  );

  it('There is never more than one probe, rejections name a later time, and a success of a probe closes the breaker.', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        nowMs = startMs;
        breaker = new CircuitBreaker({ state: createMemoryState().open(), clock: { nowMs: () => nowMs } });
        let probing: { readonly who: string; readonly sinceMs: number } | undefined;
        for (const one of steps) {
          if (one.kind === 'wait') nowMs += one.ms;
          else if (one.kind === 'report') {
            await report(one.reported, one.who);
            if (one.who === probing?.who || (await look()).state !== 'half_open') probing = undefined;
          } else {
            const admission = await admit(one.who);
            if (!admission.admitted) expect(admission.openUntilMs).toBeGreaterThan(nowMs);
            else if (admission.probe) {
              expect(probing === undefined || probing.who === one.who || nowMs - probing.sinceMs >= 2 * minute).toBe(
                true,
              );
              probing = { who: one.who, sinceMs: nowMs };
            }
          }
        }
        nowMs += 2 * 60 * minute;
        await admit('last');
        await report('success', 'last');
        expect((await look()).state).toBe('closed');
      }),
    );
  });
});

describe('state changes', () => {
  it('Each state change is reported once, by the instance that stored it.', async () => {
    const changes: string[] = [];
    const state = createMemoryState().open();
    const open = (name: string): CircuitBreaker =>
      new CircuitBreaker({
        state,
        clock: { nowMs: () => nowMs },
        onStateChange: ({ event, reason, openUntilMs }) =>
          changes.push(`${name} ${event} ${reason} ${openUntilMs !== null && openUntilMs > nowMs}`),
      });
    const [one, other] = [open('one'), open('other')];
    for (let time = 0; time < 4; time += 1) await one.report('heygen', `job_${time}`, 'counts');
    await one.admit('heygen', 'job_4');
    expect(changes).toEqual([]);
    await other.report('heygen', 'job_4', 'counts');
    await one.report('heygen', 'job_5', 'counts');
    expect(changes.splice(0)).toEqual(['other opened faults true']);
    nowMs += 31 * second;
    await one.admit('heygen', 'job_6');
    await other.admit('heygen', 'job_7');
    await other.inspect('heygen');
    expect(changes.splice(0)).toEqual(['one probed faults false']);
    await one.report('heygen', 'job_6', 'opens');
    expect(changes.splice(0)).toEqual(['one opened refused true']);
    nowMs += 6 * minute;
    await other.admit('heygen', 'job_8');
    await other.report('heygen', 'job_8', 'success');
    await one.report('heygen', 'job_9', 'success');
    expect(changes).toEqual(['other probed refused false', 'other closed null false']);
  });
});
