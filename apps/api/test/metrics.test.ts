import { listProviders, newWebhookRecord } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createMemoryState } from '@lipsync/core/testing';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BreakerView } from '@lipsync/core/host';
import { form, startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
const noneDeleted = ['inputs', 'outputs', 'records'].map((data) => `lipsync_retention_deleted{data="${data}"} 0`);
const noDeliveries = ['completed', 'failed', 'retried'].map(
  (result) => `lipsync_webhook_deliveries{result="${result}"} 0`,
);
const queues = [
  'lane="cloud",queue="fetch"',
  'lane="cloud",queue="cloud"',
  'lane="cloud",queue="webhook"',
  'lane="render",queue="render"',
];
const emptyQueues = [
  ...queues.map((labels) => `lipsync_queue_depth{${labels}} 0`),
  ...queues.map((labels) => `lipsync_queue_oldest_age_seconds{${labels}} 0`),
  ...['cloud', 'render'].map((lane) => `lipsync_waiting_work_seconds{lane="${lane}"} 0`),
];
let view: BreakerView = { state: 'closed', recentFaults: 0, reason: null, openUntilMs: null, openings: 0 };

beforeAll(async () => {
  api = await startApi({
    providers: listProviders(configFromEnvironment({ HEYGEN_API_KEY: 'key' }), { state: createMemoryState().open() }),
    breaker: { inspect: async () => view },
  });
});
afterAll(() => api.close());

async function samples(): Promise<string[]> {
  const response = await api.fetch('/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

it('GET /metrics reports the state of each circuit breaker and what was deleted because of its age.', async () => {
  expect(await samples()).toEqual([
    ...emptyQueues,
    'lipsync_breaker_state{provider="heygen",state="closed"} 1',
    'lipsync_breaker_state{provider="heygen",state="open"} 0',
    'lipsync_breaker_state{provider="heygen",state="half_open"} 0',
    'lipsync_breaker_openings{provider="heygen"} 0',
    ...noneDeleted,
    ...noDeliveries,
  ]);
  view = { state: 'half_open', recentFaults: 0, reason: 'refused', openUntilMs: 1, openings: 3 };
  expect(await samples()).toEqual([
    ...emptyQueues,
    'lipsync_breaker_state{provider="heygen",state="closed"} 0',
    'lipsync_breaker_state{provider="heygen",state="open"} 0',
    'lipsync_breaker_state{provider="heygen",state="half_open"} 1',
    'lipsync_breaker_openings{provider="heygen"} 3',
    ...noneDeleted,
    ...noDeliveries,
  ]);
});

it('docs/operations.md lists exactly the metrics of GET /metrics.', async () => {
  const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  const documented = [...page.matchAll(/^\| `(lipsync_[a-z_]+)/gm)].map(([, name = '']) => name);
  const reported = new Set((await samples()).map((line) => line.slice(0, line.indexOf('{'))));
  expect(documented.toSorted()).toEqual([...reported].toSorted());
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
  const counts = async () => (await samples()).filter((line) => line.startsWith('lipsync_webhook_deliveries'));
  const expected = (completed: number, failed: number, retried: number): string[] =>
    Object.entries({ completed, failed, retried }).map(
      ([result, count]) => `lipsync_webhook_deliveries{result="${result}"} ${count}`,
    );
  expect(await counts()).toEqual(expected(1, 1, 3));
  await api.store.append('msg_2', { type: 'replayed', atMs: 4_000 });
  expect(await counts()).toEqual(expected(1, 1, 3));
  await tries('msg_2', null);
  expect(await counts()).toEqual(expected(2, 1, 3));
});

it('GET /scaling answers with the seconds of work that wait for the workers of each lane.', async () => {
  const scaling = async () => (await api.fetch('/scaling')).json();
  expect(await scaling()).toEqual({ render: 0, cloud: 0 });
  const request = form({ method: 'preview', start_ms: '0', end_ms: '10000' });
  expect((await api.post('/lipsync', request)).status).toBe(202);
  // An answer is up to 2 s old.
  await expect.poll(scaling, { timeout: 20_000 }).toEqual({ render: 7.5, cloud: 0 });
  expect(await samples()).toContain('lipsync_waiting_work_seconds{lane="render"} 7.5');
});
