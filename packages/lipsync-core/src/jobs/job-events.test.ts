import { testPlan } from '../testing/test-plan.ts';
import { testQualityRecord } from '../testing/test-records.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema } from '../contract/index.ts';
import { applyJobEvent, type JobEvent } from './job-events.ts';
import type { Attempt } from '../providers/attempt.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { newJobRecord } from './job-record.ts';

const result = {
  methodUsed: 'preview',
  degraded: true,
  cached: false,
  durationMs: 1000,
  outputKey: 'outputs/x/output.mp4',
} as const;

function newRecord(): JobRecord<'lipsync'> {
  const reference = { kind: 'artifact', key: 'inputs/0', name: 'clip.mp4' } as const;
  return newJobRecord({
    id: 'job_1',
    options: lipsyncOptionsSchema.parse({}),
    video: reference,
    audio: reference,
    owner: null,
    nowMs: 5,
  });
}

const anyEvent: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.constant<JobEvent>({ type: 'run_started', atMs: 10 }),
  fc.record({
    type: fc.constant('progressed' as const),
    run: fc.integer({ min: 0, max: 3 }),
    stage: fc.constantFrom('tracking', 'rendering'),
    progress: fc.double({ min: -10, max: 200, noNaN: true }),
    message: fc.constant('m'),
  }),
  fc.record({ type: fc.constant('released' as const), run: fc.integer({ min: 0, max: 3 }) }),
  fc.constant<JobEvent>({ type: 'cancel_requested' }),
  fc.record({
    type: fc.constant('completed' as const),
    run: fc.integer({ min: 0, max: 3 }),
    atMs: fc.constant(20),
    result: fc.constant(result),
    warnings: fc.constant([]),
  }),
  fc.constant<JobEvent>({ type: 'canceled', atMs: 30 }),
);

describe('applyJobEvent', () => {
  it('Any sequence of events keeps progress and the end of the job, and counts every change.', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
        let record = newRecord();
        for (const event of events) {
          const next = applyJobEvent(record, event);
          expect(next.progress).toBeGreaterThanOrEqual(record.progress);
          expect(next.revision).toBe(next === record ? record.revision : record.revision + 1);
          if (isTerminal(record.status)) expect(next).toBe(record);
          record = next;
        }
      }),
    );
  });

  it('Only a completed job reaches 100 percent.', () => {
    const running = applyJobEvent(newRecord(), { type: 'run_started', atMs: 1 });
    const far = applyJobEvent(running, { type: 'progressed', run: 1, stage: 'publishing', progress: 100, message: '' });
    expect(far.progress).toBe(99);
    expect(applyJobEvent(far, { type: 'completed', run: 1, atMs: 2, result, warnings: [] }).progress).toBe(100);
  });

  it('Events of a superseded run are ignored.', () => {
    const second = [1, 2].reduce((record) => applyJobEvent(record, { type: 'run_started', atMs: 1 }), newRecord());
    expect(
      applyJobEvent(second, { type: 'failed', run: 1, atMs: 2, code: 'media_failed', message: 'late', warnings: [] }),
    ).toBe(second);
  });

  it('A run without a recorded outcome counts as a crash, a released run does not.', () => {
    const first = applyJobEvent(newRecord(), { type: 'run_started', atMs: 1 });
    expect(applyJobEvent(first, { type: 'run_started', atMs: 2 }).crashes).toBe(1);
    const handedBack = applyJobEvent(first, { type: 'released', run: 1 });
    expect(handedBack.status).toBe('queued');
    expect(applyJobEvent(handedBack, { type: 'run_started', atMs: 2 }).crashes).toBe(0);
  });

  it('A job of an earlier version, whose record has crashes only, counts as interrupted.', () => {
    const parked: JobRecord = { ...newRecord(), status: 'processing', parkedUntilMs: 5, runs: 2, crashes: 1 };
    expect(applyJobEvent(parked, { type: 'run_started', atMs: 5 })).toMatchObject({ crashes: 1, wasInterrupted: true });
  });

  it.each<JobEvent>([
    { type: 'failed', run: 0, atMs: 9, code: 'fetch_failed', message: 'm', warnings: [] },
    { type: 'canceled', atMs: 9 },
  ])('A job that ends as $type drops the query of a URL, which may be a secret.', (event) => {
    const record = newRecord();
    const audio = { kind: 'url', url: 'https://a.example/s.wav?X-Amz-Signature=hush#x' } as const;
    const ended = applyJobEvent({ ...record, spec: { ...record.spec, audio } }, event);
    expect(ended.spec).toEqual({ ...record.spec, audio: { kind: 'url', url: 'https://a.example/s.wav', isCut: true } });
  });

  it('The expected completion of a job is that of its latest attempt, and unknown while the job waits for storage.', () => {
    const started = applyJobEvent(newRecord(), { type: 'run_started', atMs: 1 });
    const expected = applyJobEvent(started, { type: 'expected', run: 1, atMs: 7_000 });
    const wait = { type: 'parked', run: 1, untilMs: 10, message: '' } as const;
    expect(applyJobEvent(expected, wait).expectedCompletionAtMs).toBe(7_000);
    expect(applyJobEvent(expected, { ...wait, waitsForStorage: true })).not.toHaveProperty('expectedCompletionAtMs');
  });

  it('A wait for storage does not use up the time limit of the operation of its job.', () => {
    const attempt = { outcome: 'running', operation: { id: 'op', state: {} }, operationAtMs: 1 } as Attempt;
    const started = { ...applyJobEvent(newRecord(), { type: 'run_started', atMs: 1 }), attempts: [attempt] };
    const wait = { type: 'parked', run: 1, untilMs: 10, message: '' } as const;
    const operationAfter = (event: JobEvent): number | null | undefined =>
      applyJobEvent(applyJobEvent(started, event), { type: 'run_started', atMs: 9_000 }).attempts[0]?.operationAtMs;
    expect(operationAfter({ ...wait, waitsForStorage: true })).toBe(9_000);
    expect(operationAfter(wait)).toBe(1);
  });

  it('A resumed job is queued as new, keeps plan and attempts, and marks its attempt as interrupted.', () => {
    const attempt = { outcome: 'succeeded', costMicros: 70 } as Attempt;
    const started = applyJobEvent(newRecord(), { type: 'run_started', atMs: 1 });
    const failed = applyJobEvent(
      { ...started, attempts: [attempt], plan: testPlan('heygen'), progress: 97 },
      { type: 'failed', run: 1, atMs: 2, code: 'output_exists', message: '', warnings: [] },
    );
    const resumed = applyJobEvent(failed, { type: 'resumed', spec: failed.spec, deadlineAtMs: 50 });
    expect(resumed).toMatchObject({
      status: 'queued',
      progress: 0,
      error: null,
      completedAtMs: null,
      deadlineAtMs: 50,
      crashes: 0,
      wasInterrupted: true,
      plan: testPlan('heygen'),
      attempts: [attempt],
    });
    expect(applyJobEvent(failed, { type: 'run_started', atMs: 3 })).toBe(failed);
  });

  it('A quality job ignores the events of attempts, and drops the queries of its URLs when it ends.', () => {
    const record = testQualityRecord('job_1');
    expect(applyJobEvent(record, { type: 'attempt_settled', index: 0, costMicros: 1 })).toBe(record);
    const running = applyJobEvent(record, { type: 'run_started', atMs: 1 });
    expect(applyJobEvent(running, { type: 'attempts_changed', run: 1, attempts: [] })).toBe(running);
    const failed = applyJobEvent(running, {
      type: 'failed',
      run: 1,
      atMs: 2,
      code: 'fetch_failed',
      message: '',
      warnings: [],
    });
    expect(failed).toMatchObject({ status: 'failed', spec: { video: { url: 'https://example.org/video.mp4' } } });
  });
});
