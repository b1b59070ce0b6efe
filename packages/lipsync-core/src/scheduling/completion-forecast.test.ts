import { describe, expect, it } from 'vitest';
import { CircuitBreaker } from './circuit-breaker.ts';
import { createConcurrencySlots } from './concurrency-slots.ts';
import { lipsyncOptionsSchema, type LipsyncOptions } from '../contract/index.ts';
import { heygenDefinition } from '../providers/heygen/definition.ts';
import { readProviderOptions } from '../providers/definition.ts';
import { wav2lipDefinition } from '../providers/wav2lip/definition.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { createForecast, expectedMs, expectedWaitMs, type Load } from './completion-forecast.ts';
import { ThroughputEstimates } from './throughput-estimates.ts';

const optionsWith = (mode: string) => lipsyncOptionsSchema.parse({ providerOptions: { heygen: { mode } } });
const output = { durationMs: 10_000, options: optionsWith('speed') };

function openForecast(load?: Load) {
  let nowMs = 1_000;
  const clock = { nowMs: () => nowMs };
  const state = createMemoryState().open();
  const slots = createConcurrencySlots({ state, clock });
  const breaker = new CircuitBreaker({ state, clock });
  const estimates = new ThroughputEstimates({ state, clock });
  const providers = [
    { definition: heygenDefinition, maxConcurrent: 2 },
    { definition: wav2lipDefinition, maxConcurrent: null },
  ].map(({ definition, maxConcurrent }) => ({
    id: definition.id,
    kind: definition.kind,
    maxConcurrent,
    throughput: ({ providerOptions }: LipsyncOptions) =>
      definition.throughput(readProviderOptions(definition, providerOptions)),
  }));
  const passTime = (untilMs: number): void => {
    nowMs = untilMs;
  };
  return {
    slots,
    breaker,
    passTime,
    forecast: createForecast({
      providers,
      estimates,
      slots,
      breaker,
      ...(load ? { load: async () => load } : {}),
    }),
  };
}

describe('expectedWaitMs', () => {
  it.each([
    [{ busy: 0, capacity: 1, typicalMs: 100 }, 0],
    [{ busy: 1, capacity: 2, typicalMs: 100 }, 0],
    [{ busy: 1, capacity: 1, typicalMs: 100 }, 100],
    [{ busy: 5, capacity: 5, typicalMs: 100 }, 20],
    [{ busy: 14, capacity: 5, typicalMs: 100 }, 200],
  ])('The expected wait in %j is %i ms.', (load, waitMs) => {
    expect(expectedWaitMs(load)).toBe(waitMs);
  });
});

describe('Forecast', () => {
  it('The forecast uses the default until takes were measured, and reports that it is not measured.', async () => {
    expect(await openForecast().forecast.expect(output)).toEqual([
      { provider: 'heygen', waitMs: 0, workMs: 70_000, typicalMs: 70_000, isMeasured: false },
      { provider: 'wav2lip', waitMs: 0, workMs: 26_000, typicalMs: 26_000, isMeasured: false },
    ]);
  });

  it('The forecast learns from every take and weighs recent ones more.', async () => {
    const { forecast } = openForecast();
    const work = { ...output, provider: 'wav2lip' };
    await forecast.record(work, 13_000);
    expect((await forecast.expect(output))[1]).toEqual({
      provider: 'wav2lip',
      waitMs: 0,
      workMs: 13_000,
      typicalMs: 13_000,
      isMeasured: true,
    });
    for (let take = 0; take < 30; take += 1) await forecast.record(work, 52_000);
    expect((await forecast.expect(output))[1]?.workMs).toBeCloseTo(52_000, -2);
  });

  it("The throughput estimates of HeyGen's modes are separate.", async () => {
    const { forecast } = openForecast();
    await forecast.record({ ...output, options: optionsWith('precision'), provider: 'heygen' }, 300_000);
    expect((await forecast.expect(output))[0]).toMatchObject({ workMs: 70_000, isMeasured: false });
    expect((await forecast.expect({ ...output, options: optionsWith('precision') }))[0]).toMatchObject({
      workMs: 300_000,
      isMeasured: true,
    });
  });

  it('A take that lasted twelve hours raises the estimate to 20 times the default at most.', async () => {
    const { forecast } = openForecast();
    await forecast.record({ ...output, provider: 'wav2lip' }, 12 * 3_600_000);
    expect((await forecast.expect(output))[1]?.workMs).toBe(20 * 26_000);
  });

  it('A measured estimate decays toward its default and is dropped after a day, so that a slow provider is tried again.', async () => {
    const hourMs = 3_600_000;
    const { forecast, passTime } = openForecast();
    await forecast.record({ ...output, provider: 'heygen' }, 16 * 70_000);
    const expectedAfter = async (hours: number) => {
      passTime(1_000 + hours * hourMs);
      return (await forecast.expect(output))[0];
    };
    expect(await expectedAfter(0)).toMatchObject({ workMs: 16 * 70_000, isMeasured: true });
    expect(await expectedAfter(6)).toMatchObject({ workMs: 4 * 70_000, isMeasured: true });
    expect(await expectedAfter(12)).toMatchObject({ workMs: 2 * 70_000, isMeasured: true });
    expect(await expectedAfter(24)).toMatchObject({ workMs: 70_000, isMeasured: false });
  });

  it('A new measurement is combined with what remains of an old estimate.', async () => {
    const { forecast, passTime } = openForecast();
    const work = { ...output, provider: 'wav2lip' };
    await forecast.record(work, 4 * 26_000);
    passTime(1_000 + 6 * 3_600_000);
    await forecast.record(work, 26_000);
    expect((await forecast.expect(output))[1]).toMatchObject({ workMs: 1.8 * 26_000, isMeasured: true });
  });

  it('The wait for a remote provider counts the slots that are held and the jobs that wait for one.', async () => {
    const { forecast, slots } = openForecast({ inlineJobs: 3, inlineSeats: 2 });
    for (const jobId of ['job_1', 'job_2']) await slots.acquire('heygen', jobId, { limit: 2 });
    expect((await forecast.expect(output))[0]).toMatchObject({ waitMs: 35_000 });
    for (const jobId of ['job_3', 'job_4', 'job_5']) await slots.acquire('heygen', jobId, { limit: 2 });
    expect(await forecast.expect(output)).toMatchObject([{ waitMs: 4 * 35_000 }, { waitMs: 2 * 13_000 }]);
  });

  it('A job that already waits for a slot counts only the jobs ahead of it; a new job counts all of them.', async () => {
    const { forecast, slots } = openForecast();
    for (const jobId of ['job_1', 'job_2', 'job_3', 'job_4', 'job_5'])
      await slots.acquire('heygen', jobId, { limit: 2 });
    expect((await forecast.expect({ ...output, waitingJobId: 'job_4' }))[0]).toMatchObject({ waitMs: 2 * 35_000 });
    expect((await forecast.expect(output))[0]).toMatchObject({ waitMs: 4 * 35_000 });
  });

  it('A provider whose breaker is open has no expected completion time.', async () => {
    const { breaker, forecast } = openForecast();
    await breaker.report('heygen', 'job_1', 'opens');
    const [heygen] = await forecast.expect(output);
    expect(heygen).toMatchObject({ waitMs: null });
    expect(heygen && expectedMs(heygen)).toBe(Infinity);
  });

  it('A provider whose breaker is half-open is available, because its probe would never run otherwise.', async () => {
    const { breaker, forecast, passTime } = openForecast();
    await breaker.report('heygen', 'job_1', 'opens');
    passTime((await breaker.inspect('heygen')).openUntilMs ?? 0);
    expect(await breaker.inspect('heygen')).toMatchObject({ state: 'half_open' });
    expect((await forecast.expect(output))[0]).toMatchObject({ waitMs: 0 });
  });
});
