import { createProcessMetrics, LocalArtifactStore, type Attempt, type JobRecord } from '@lipsync/core/host';
import { testAttempt, testJobRecord } from '@lipsync/core/testing';
import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { listDocumentedMetrics } from '../../../test/support/documented-metrics.ts';
import { JobMetrics } from '../src/metrics.ts';

const made: Attempt = testAttempt({
  provider: 'wav2lip',
  outcome: 'succeeded',
  startedAtMs: 13_000,
  endedAtMs: 33_000,
});

const processing: JobRecord<'lipsync'> = {
  ...testJobRecord('job_a', 1_000),
  status: 'processing',
  startedAtMs: 9_000,
  attempts: [made],
};

const completed: JobRecord<'lipsync'> = {
  ...processing,
  status: 'completed',
  result: { methodUsed: 'wav2lip', degraded: false, cached: false, durationMs: 10_000, outputKey: 'outputs/a' },
};

async function valueOf(registry: Registry, line: string): Promise<string | undefined> {
  const found = (await registry.metrics()).split('\n').find((candidate) => candidate.startsWith(`${line} `));
  return found?.slice(line.length + 1);
}

it('A completed job adds its wait, the time of its attempt and the real-time factor to the histograms of its device.', async () => {
  const registry = new Registry();
  const metrics = new JobMetrics(registry);
  metrics.noteDevice('wav2lip', 'cuda');
  metrics.observe(processing, completed);
  metrics.observe(completed, completed);
  const labels = '{provider="wav2lip",device="cuda"}';
  expect(await valueOf(registry, `lipsync_job_wait_seconds_sum${labels}`)).toBe('8');
  expect(await valueOf(registry, `lipsync_attempt_run_seconds_sum${labels}`)).toBe('20');
  expect(await valueOf(registry, `lipsync_real_time_factor_sum${labels}`)).toBe('2');
  expect(await valueOf(registry, `lipsync_real_time_factor_count${labels}`)).toBe('1');
});

it('A failed job adds only its wait.', async () => {
  const registry = new Registry();
  const attempts = [{ ...made, outcome: 'failed', code: 'media_failed' } as const];
  new JobMetrics(registry).observe(processing, { ...processing, status: 'failed', attempts });
  const labels = '{provider="wav2lip",device="cpu"}';
  expect(await valueOf(registry, `lipsync_job_wait_seconds_count${labels}`)).toBe('1');
  expect(await valueOf(registry, `lipsync_attempt_run_seconds_count${labels}`)).toBeUndefined();
});

it('docs/monitoring.md lists exactly the metrics of the worker.', async () => {
  const documented = await listDocumentedMetrics('worker');
  const artifacts = new LocalArtifactStore({ inputsDir: '/nowhere/inputs', outputsDir: '/nowhere/outputs' });
  const { registry } = createProcessMetrics({ role: 'worker', artifacts });
  new JobMetrics(registry).observe(processing, completed);
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  const reported = names.filter((name) => name.startsWith('lipsync_'));
  expect(documented.toSorted()).toEqual(reported.toSorted());
});
