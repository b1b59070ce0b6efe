import { afterEach, beforeEach, expect, it } from 'vitest';
import { toJobView } from '../../src/jobs/job-view.ts';
import { requireKind } from '../../src/jobs/job-record.ts';
import { resultKeyOf } from '../../src/jobs/result-cache.ts';
import { createProgressEvents, createWebhookEvents } from '../../src/jobs/webhook-events.ts';
import type { LipsyncHandlerOptions } from '../../src/jobs/lipsync-handler.ts';
import { makeTake, neverCalled } from './pipeline-scripts.ts';
import { openRunnerBench, type RunnerBench } from './runner-bench.ts';

const consent = { subject: 'Ada Zebra', scope: 'one film', reference: 'zebra-17' };
/** The clock of the bench starts at 10 s. */
const expiring = { ...consent, expiresAt: '1970-01-01T00:00:30+00:00' };
const context = { signal: new AbortController().signal, canRun: () => true };
const reusing: LipsyncHandlerOptions['results'] = {
  engineVersion: 'v1',
  async claim() {
    const result = { methodUsed: 'preview', degraded: true, cached: true, durationMs: 1, outputKey: 'outputs/x/a.mp4' };
    return { type: 'reused', result, warnings: [] };
  },
};

let bench: RunnerBench;
beforeEach(async () => {
  bench = await openRunnerBench();
});
afterEach(() => bench.remove());

it('A job without a consent fails where one is required, also if an equal result exists.', async () => {
  await bench.accept();
  const runner = bench.runner(neverCalled, { consentRequired: true, results: reusing });
  expect(await runner.run('job_1', context)).toMatchObject({ status: 'failed', error: { code: 'consent_required' } });
});

it('A job with a consent runs where one is required, and may reuse the result of an equal job.', async () => {
  await bench.accept({ consent });
  const runner = bench.runner(neverCalled, { consentRequired: true, results: reusing });
  expect(await runner.run('job_1', context)).toMatchObject({ status: 'completed', result: { cached: true } });
});

it('A job whose consent expires in the queue fails, also where none is required, and its error contains nothing of it.', async () => {
  await bench.accept({ consent: expiring });
  bench.time.nowMs = 30_000;
  const ended = await bench.runner(neverCalled, { results: reusing }).run('job_1', context);
  expect(ended).toMatchObject({ status: 'failed', error: { code: 'consent_expired' } });
  expect(JSON.stringify(ended.error)).not.toMatch(/zebra|1970/i);
});

it('A job whose consent expires while its first attempt runs is finished.', async () => {
  const attempt = { provider: 'preview', outcome: 'running', startedAtMs: 1, endedAtMs: null } as const;
  const rest = { code: null, message: null, costMicros: null, operation: null, spanId: null } as const;
  await bench.accept({ consent: expiring }, { attempts: [{ ...attempt, ...rest }] as never });
  bench.time.nowMs = 40_000;
  expect(await bench.runner(makeTake).run('job_1', context)).toMatchObject({ status: 'completed' });
});

it('A consent is shown with its job, is in no webhook, and does not make jobs unequal.', async () => {
  const webhook = { webhookUrl: 'https://hooks.example/', webhookProgress: true };
  const plain = await bench.accept(webhook);
  const record = { ...plain, spec: { ...plain.spec, options: { ...plain.spec.options, consent: expiring } } };
  expect(resultKeyOf(record)).toBe(resultKeyOf(plain));
  const { expiresAt, ...rest } = expiring;
  expect(toJobView(record, null).request.consent).toEqual({ ...rest, expires_at: expiresAt });
  const sent: string[] = [];
  const submit = async (delivery: object): Promise<void> => void sent.push(JSON.stringify(delivery));
  const clock = { nowMs: () => bench.time.nowMs };
  const report = createProgressEvents({ submit, clock, onError: (error) => expect(error).toBeUndefined() });
  report({ ...record, status: 'processing' });
  const store = {
    get: async (id: string) => (id === record.id ? requireKind(record, 'lipsync') : undefined),
    listOutcomes: async () => new Map(),
  };
  const end = createWebhookEvents({ store, submit, erase: async () => undefined, clock, publicBaseUrl: '' });
  await end(
    { id: '1', jobId: record.id, kind: 'lipsync', status: 'completed', atMs: 1, retries: 0 } as never,
    context.signal,
  );
  expect(sent).toHaveLength(2);
  for (const message of sent) expect(message).not.toMatch(/zebra|consent/i);
});
