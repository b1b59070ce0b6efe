import { expect, it } from 'vitest';
import { webhookMessageSchemas } from '../../src/contract/index.ts';
import type { JobRecord } from '../../src/jobs/job-record.ts';
import { newWebhookRecord } from '../../src/jobs/webhook-record.ts';
import { outboxEventFor } from '../../src/jobs/job-store.ts';
import { createProgressEvents, createWebhookEvents, webhookIdOf } from '../../src/jobs/webhook-events.ts';
import { testJobRecord } from '../../src/testing/index.ts';
import { createMemoryJobStore } from '../../src/testing/memory-job-store.ts';

const entry = { id: '1-0', jobId: 'job_1', kind: 'lipsync', status: 'failed', atMs: 3_000, retries: 0 } as const;
const clock = { nowMs: () => 5_000 };
const webhookUrl = 'https://example.org/hook';

async function endedJob(options: Parameters<typeof testJobRecord>[2], message = 'No face.') {
  const store = createMemoryJobStore();
  await store.create(testJobRecord('job_1', 1_000, options));
  await store.append('job_1', { type: 'run_started', atMs: 2_000 });
  await store.append('job_1', { type: 'failed', run: 1, atMs: 3_000, code: 'clip_unusable', message, warnings: [] });
  const submitted: JobRecord<'webhook'>[] = [];
  const erased: string[] = [];
  const consume = createWebhookEvents({
    store,
    clock,
    publicBaseUrl: '',
    erase: async (id) => void erased.push(id),
    async submit(record) {
      await store.create(record);
      submitted.push(record);
    },
  });
  return { store, submitted, erased, deliver: () => consume(entry, new AbortController().signal) };
}

it('An entry that is delivered twice creates one delivery, whose id names the job and its end.', async () => {
  const { submitted, deliver } = await endedJob({ webhookUrl });
  await deliver();
  await deliver();
  expect(submitted).toMatchObject([
    {
      id: webhookIdOf(entry),
      status: 'queued',
      spec: { url: webhookUrl, event: 'lipsync.failed', subjectId: 'job_1' },
    },
  ]);
  expect(webhookIdOf({ ...entry, retries: 1 })).not.toBe(webhookIdOf(entry));
});

it('A job without a receiver creates no delivery.', async () => {
  const { submitted, deliver } = await endedJob({});
  await deliver();
  expect(submitted).toEqual([]);
});

it('A message stays below 20 kB with the largest metadata, user and error.', async () => {
  const metadata = { text: '\u{1F600}'.repeat(4_000) };
  const { submitted, deliver } = await endedJob(
    { webhookUrl, metadata, userId: '\u{1F600}'.repeat(100) },
    'é'.repeat(9_000),
  );
  await deliver();
  const [{ spec } = { spec: { body: '' } }] = submitted;
  expect(Buffer.byteLength(spec.body)).toBeGreaterThan(16_000);
  const message = webhookMessageSchemas['lipsync.failed'].parse(JSON.parse(spec.body));
  expect(message.data.metadata).toEqual(metadata);
});

it('The progress of a running job with webhook_progress creates one delivery in 30 s, and none without it.', async () => {
  const store = createMemoryJobStore();
  let nowMs = 65_000;
  const submitted: JobRecord<'webhook'>[] = [];
  const failures: unknown[] = [];
  const report = createProgressEvents({
    clock: { nowMs: () => nowMs },
    onError: (error) => void failures.push(error),
    async submit(record) {
      await store.create(record);
      submitted.push(record);
    },
  });
  const run = async (id: string, options: Parameters<typeof testJobRecord>[2]) => {
    await store.create(testJobRecord(id, 1_000, options));
    await store.append(id, { type: 'run_started', atMs: 2_000 });
    return (progress: number) =>
      store.append(id, { type: 'progressed', run: 1, stage: 'rendering', progress, message: 'Rendering.' });
  };
  const progressOf = await run('job_1', { webhookUrl, webhookProgress: true, metadata: { order: 7 } });
  const other = await run('job_2', { webhookUrl });
  report(await store.get('job_1').then((record) => record ?? Promise.reject(new Error('no job'))));
  for (const progress of [45, 50, 55]) {
    report(await progressOf(progress));
    report(await other(progress));
    nowMs += 15_000;
  }
  await expect.poll(() => submitted.length).toBe(2);
  expect(submitted).toMatchObject([
    { status: 'queued', spec: { url: webhookUrl, event: 'lipsync.progress', subjectId: 'job_1' } },
    { spec: { subjectId: 'job_1' } },
  ]);
  expect(new Set(submitted.map(({ id }) => id)).size).toBe(2);
  const { data } = webhookMessageSchemas['lipsync.progress'].parse(JSON.parse(submitted[1]?.spec.body ?? ''));
  expect(data).toMatchObject({ status: 'processing', stage: 'rendering', progress: 55, metadata: { order: 7 } });
  report(
    await store.append('job_1', {
      type: 'failed',
      run: 1,
      atMs: 3_000,
      code: 'clip_unusable',
      message: 'No face.',
      warnings: [],
    }),
  );
  expect([submitted.length, failures]).toEqual([2, []]);
});

it('The end of a delivery is no event.', () => {
  const before = newWebhookRecord({
    id: 'msg_1',
    owner: null,
    nowMs: 1,
    url: webhookUrl,
    event: 'lipsync.failed',
    subjectId: 'job_1',
    body: '{}',
  });
  expect(outboxEventFor(before, { ...before, status: 'failed' })).toBeNull();
});
