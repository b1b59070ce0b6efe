import { expect, it, onTestFinished } from 'vitest';
import { listen } from './http-server.ts';
import { createProbeListener } from './probe-listener.ts';
import type { PartState } from './readiness.ts';

const metrics = { contentType: 'text/plain; version=0.0.4', metrics: async () => 'lipsync_test 1\n' };

async function startProbes(read: () => Promise<readonly PartState[]>): Promise<string> {
  const options = { host: '127.0.0.1', port: 0, settings: 'PORT' };
  const server = await listen(createProbeListener({ readiness: { read }, metrics }), options);
  onTestFinished(() => server.stop(0));
  return server.url;
}

async function statusAndBody(url: string, method = 'GET'): Promise<unknown[]> {
  const response = await fetch(url, { method });
  return [response.status, method === 'HEAD' ? await response.text() : await response.json()];
}

it('The probes answer 200 while every part works, and 503 without a reason when one does not.', async () => {
  let reason: string | null = null;
  const url = await startProbes(async () => [{ name: 'redis', reason }]);
  expect(await statusAndBody(`${url}/health`)).toEqual([200, { status: 'ok' }]);
  expect(await statusAndBody(`${url}/ready`)).toEqual([200, { status: 'ready' }]);
  expect(await statusAndBody(`${url}/ready?from=probe`, 'HEAD')).toEqual([200, '']);
  reason = 'Redis at redis.internal cannot be reached.';
  expect(await statusAndBody(`${url}/ready`)).toEqual([503, { status: 'not_ready' }]);
  expect(await statusAndBody(`${url}/health`)).toEqual([200, { status: 'ok' }]);
});

it('The probes answer other paths with 404, other methods with 405, and a failure of their own with 500.', async () => {
  const url = await startProbes(() => Promise.reject(new Error('broken')));
  expect(await statusAndBody(`${url}/jobs`)).toEqual([404, { status: 'not_found' }]);
  expect(await statusAndBody(`${url}/health`, 'POST')).toEqual([405, { status: 'method_not_allowed' }]);
  expect((await fetch(`${url}/ready`)).status).toBe(500);
});

it('The metrics of the process are served as text.', async () => {
  const response = await fetch(`${await startProbes(async () => [])}/metrics`);
  expect(response.headers.get('content-type')).toBe(metrics.contentType);
  expect(await response.text()).toBe('lipsync_test 1\n');
});
