import { listProviders, newWebhookRecord } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createMemoryState, testAttempt } from '@lipsync/core/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Attempt, BreakerView } from '@lipsync/core/host';
import { listDocumentedMetrics } from '../../../test/support/documented-metrics.ts';
import { form, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
let view: BreakerView = { state: 'closed', recentFaults: 0, reason: null, openUntilMs: null, openings: 0 };

beforeAll(async () => {
  api = await startApi({
    providers: listProviders(configFromEnvironment({ HEYGEN_API_KEY: 'key' }), { state: createMemoryState().open() }),
    breaker: { inspect: async () => view },
  });
});
afterAll(() => api.close());

async function scrape(): Promise<readonly string[]> {
  const response = await api.fetch('/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return (await response.text()).split('\n');
}

/** Samples of the metric. */
async function samplesOf(name: string): Promise<string[]> {
  return (await scrape()).filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

function counts(name: string, label: string, values: Readonly<Record<string, number>>): string[] {
  return Object.entries(values).map(([value, count]) => `${name}{${label}="${value}"} ${count}`);
}

it('GET /metrics reports the state of each circuit breaker.', async () => {
  const states = (values: Readonly<Record<string, number>>) =>
    counts('lipsync_breaker_state', 'provider="heygen",state', values);
  expect(await samplesOf('lipsync_breaker_state')).toEqual(states({ closed: 1, open: 0, half_open: 0 }));
  view = { state: 'half_open', recentFaults: 0, reason: 'refused', openUntilMs: 1, openings: 3 };
  expect(await samplesOf('lipsync_breaker_state')).toEqual(states({ closed: 0, open: 0, half_open: 1 }));
  expect(await samplesOf('lipsync_breaker_openings')).toEqual(['lipsync_breaker_openings{provider="heygen"} 3']);
});

it('GET /metrics reports what was deleted because of its age.', async () => {
  const name = 'lipsync_retention_deleted';
  expect(await samplesOf(name)).toEqual(counts(name, 'data', { inputs: 0, outputs: 0, records: 0 }));
});

it('GET /metrics counts ended jobs by status, method and error code, and attempts by outcome.', async () => {
  const failed = await api.recordJob();
  const completed = await api.recordJob();
  await api.fail(failed);
  const { runs: run } = await api.store.append(completed, { type: 'run_started', atMs: 2_000 });
  const attempt = testAttempt({ startedAtMs: 2_000 });
  const save = (attempts: readonly Attempt[]) =>
    api.store.append(completed, { type: 'attempts_changed', run, attempts });
  await save([attempt]);
  const rejected: Attempt = { ...attempt, outcome: 'failed', code: 'provider_failed', endedAtMs: 3_000 };
  await save([rejected, attempt]);
  await save([rejected, { ...attempt, outcome: 'succeeded', endedAtMs: 4_000 }]);
  await api.complete(completed, 'output');
  // Counts are up to 1 s old.
  await expect
    .poll(() => samplesOf('lipsync_jobs_ended_total'), { timeout: 20_000 })
    .toEqual([
      'lipsync_jobs_ended_total{kind="lipsync",status="failed",method="auto",code="media_failed"} 1',
      'lipsync_jobs_ended_total{kind="lipsync",status="completed",method="auto",code="none"} 1',
    ]);
  expect(await samplesOf('lipsync_attempts_total')).toEqual([
    'lipsync_attempts_total{provider="heygen",outcome="failed",code="provider_failed"} 1',
    'lipsync_attempts_total{provider="heygen",outcome="succeeded",code="none"} 1',
  ]);
  expect(await samplesOf('lipsync_cache_hits_total')).toEqual(['lipsync_cache_hits_total 0']);
  expect(await samplesOf('lipsync_jobs')).toEqual(
    expect.arrayContaining([
      'lipsync_jobs{kind="lipsync",status="completed"} 1',
      'lipsync_jobs{kind="lipsync",status="failed"} 1',
      'lipsync_jobs{kind="lipsync",status="queued"} 0',
    ]),
  );
});

it('GET /metrics reports the empty queues of each lane, and the memory of the process.', async () => {
  const queues = ['lane="cloud",queue="fetch"', 'lane="cloud",queue="cloud"', 'lane="cloud",queue="webhook"'];
  expect(await samplesOf('lipsync_queue_depth')).toEqual(
    [...queues, 'lane="render",queue="render"'].map((labels) => `lipsync_queue_depth{${labels}} 0`),
  );
  expect(await samplesOf('lipsync_shared_state_up')).toEqual(['lipsync_shared_state_up 1']);
  expect(await samplesOf('lipsync_process_memory_bytes')).toContainEqual(
    expect.stringMatching(/^lipsync_process_memory_bytes\{role="api"\} \d{7,}$/),
  );
});

it('docs/monitoring.md lists exactly the metrics of the API.', async () => {
  const documented = await listDocumentedMetrics('API');
  const reported = (await scrape()).flatMap((line) => /^# TYPE (lipsync_\w+)/.exec(line)?.[1] ?? []);
  expect(documented.toSorted()).toEqual(reported.toSorted());
});

it('GET /metrics counts the results of webhook deliveries, those of a replay again.', async () => {
  const tries = async (id: string, ...reasons: readonly (string | null)[]) => {
    for (const [index, reason] of reasons.entries()) {
      const { runs: run } = await api.store.append(id, { type: 'run_started', atMs: 2_000 });
      const isLast = index === reasons.length - 1;
      const attempt = { atMs: 2_000, status: reason === null ? 204 : 500, reason };
      await api.store.append(id, {
        type: 'webhook_tried',
        run,
        attempt,
        replays: 0,
        nextTryAtMs: isLast ? null : 3_000,
      });
      const end = { run, atMs: 2_000, warnings: [] } as const;
      if (!isLast) await api.store.append(id, { type: 'parked', run, untilMs: 3_000, message: 'Waiting.' });
      else if (reason === null) await api.store.append(id, { ...end, type: 'completed', result: { status: 204 } });
      else await api.store.append(id, { ...end, type: 'failed', code: 'webhook_failed', message: reason });
    }
  };
  const message = {
    url: 'https://example.org/hook',
    event: 'lipsync.completed',
    body: '{}',
    owner: null,
    nowMs: 1_000,
  };
  for (const id of ['msg_1', 'msg_2'])
    await api.store.create(newWebhookRecord({ ...message, id, subjectId: `job_of_${id}` }));
  await tries('msg_1', 'The receiver answered 500.', 'The receiver answered 500.', null);
  await tries('msg_2', 'The receiver answered 500.', 'The receiver answered 500.');
  const results = () => samplesOf('lipsync_webhook_deliveries');
  const expected = (completed: number, failed: number, retried: number): string[] =>
    counts('lipsync_webhook_deliveries', 'result', { completed, failed, retried });
  expect(await results()).toEqual(expected(1, 1, 3));
  await api.store.append('msg_2', { type: 'replayed', atMs: 4_000 });
  expect(await results()).toEqual(expected(1, 1, 3));
  await tries('msg_2', null);
  expect(await results()).toEqual(expected(2, 1, 3));
});

it('GET /scaling answers with the seconds of work that wait for the workers of each lane.', async () => {
  const scaling = async () => (await api.fetch('/scaling')).json();
  expect(await scaling()).toEqual({ render: 0, cloud: 0 });
  const request = form({ method: 'preview', start_ms: '0', end_ms: '10000' });
  expect((await api.post('/lipsync', request)).status).toBe(202);
  // An answer is up to 2 s old.
  await expect.poll(scaling, { timeout: 20_000 }).toEqual({ render: 7.5, cloud: 0 });
  expect(await samplesOf('lipsync_waiting_work_seconds')).toContain('lipsync_waiting_work_seconds{lane="render"} 7.5');
});
