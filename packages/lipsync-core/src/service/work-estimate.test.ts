import { beforeEach, expect, it } from 'vitest';
import { configFromEnvironment } from '../config/core-config.ts';
import type { JobRecord } from '../jobs/job-record.ts';
import { toPlanStep } from '../scheduling/execution-plan.ts';
import { ThroughputEstimates } from '../scheduling/throughput-estimates.ts';
import type { StateStore } from '../storage/state-store.ts';
import { createMemoryState } from '../testing/memory-state-store.ts';
import { testAttempt, testJobRecord, testQualityRecord } from '../testing/test-records.ts';
import { createWorkEstimate } from './work-estimate.ts';

const clock = { nowMs: () => 1_000_000 };
const config = configFromEnvironment({ HEYGEN_API_KEY: 'key' });
const heygen = [toPlanStep({ id: 'heygen', kind: 'remote' }, {})];
let state: StateStore;

beforeEach(() => {
  state = createMemoryState().open();
});

function job(change: Partial<JobRecord<'lipsync'>> = {}): JobRecord<'lipsync'> {
  return { ...testJobRecord('job_a'), ...change };
}

async function secondsOf(...records: readonly JobRecord[]): Promise<readonly number[]> {
  return (await createWorkEstimate(config, { state, clock })(records)).map((timeMs) => timeMs / 1_000);
}

it('Work is estimated from the provider of the lane and the length of the output.', async () => {
  const inline = job({ needs: 'inline', outputMs: 10_000 });
  const remote = job({ needs: 'remote', plan: heygen, outputMs: 10_000 });
  expect(await secondsOf(inline, remote)).toEqual([7.5, 70]);
});

it('A window of the clip is the length of the output until it is planned.', async () => {
  const { spec } = testJobRecord('job_a', 1_000, { startMs: 2_000, endMs: 6_000 });
  expect(await secondsOf(job({ needs: 'inline', spec }))).toEqual([3.6]);
});

it('Before the length is known, 30 s are assumed, then the time of recent outputs.', async () => {
  expect(await secondsOf(job({ needs: 'inline' }))).toEqual([20.5]);
  const estimates = new ThroughputEstimates({ state, clock });
  const profile = { key: 'preview', fixedMs: 1_000, perSecondMs: 650 };
  await estimates.record({ profile, durationMs: 100_000 }, 33_000);
  expect(await secondsOf(job({ needs: 'inline' }), job({ needs: 'inline', outputMs: 10_000 }))).toEqual([33, 3.75]);
});

it('A step that only reads or plans counts as 2 s.', async () => {
  const url = { kind: 'url', url: 'https://example.org/clip.mp4' } as const;
  const download = job({ needs: 'inline', spec: { ...job().spec, video: url } });
  const unplanned = job({ needs: 'remote' });
  const underWay = job({ needs: 'remote', plan: heygen, attempts: [testAttempt()] });
  const canceled = job({ needs: 'inline', cancelRequested: true });
  expect(await secondsOf(download, unplanned, underWay, canceled)).toEqual([2, 2, 2, 2]);
});

it('A quality job with a stored video counts as an assessment of 30 s.', async () => {
  const { spec, ...rest } = testQualityRecord('job_a');
  expect(await secondsOf({ ...rest, spec: { ...spec, video: job().spec.video } })).toEqual([17]);
});
