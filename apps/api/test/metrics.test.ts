import { listProviders } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createMemoryState } from '@lipsync/core/testing';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BreakerView } from '@lipsync/core/host';
import { startApi, type RunningApi } from './running-api.ts';

let api: RunningApi;
const noneDeleted = ['inputs', 'outputs', 'records'].map((data) => `lipsync_retention_deleted{data="${data}"} 0`);
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
    'lipsync_breaker_state{provider="heygen",state="closed"} 1',
    'lipsync_breaker_state{provider="heygen",state="open"} 0',
    'lipsync_breaker_state{provider="heygen",state="half_open"} 0',
    'lipsync_breaker_openings{provider="heygen"} 0',
    ...noneDeleted,
  ]);
  view = { state: 'half_open', recentFaults: 0, reason: 'refused', openUntilMs: 1, openings: 3 };
  expect(await samples()).toEqual([
    'lipsync_breaker_state{provider="heygen",state="closed"} 0',
    'lipsync_breaker_state{provider="heygen",state="open"} 0',
    'lipsync_breaker_state{provider="heygen",state="half_open"} 1',
    'lipsync_breaker_openings{provider="heygen"} 3',
    ...noneDeleted,
  ]);
});

it('docs/operations.md lists exactly the metrics of GET /metrics.', async () => {
  const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  const documented = [...page.matchAll(/^\| `(lipsync_[a-z_]+)/gm)].map(([, name]) => name);
  const reported = new Set((await samples()).map((line) => line.slice(0, line.indexOf('{'))));
  expect(documented).toEqual([...reported]);
});
