import { describe, expect, it } from 'vitest';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '../contract/index.ts';
import type { Attempt } from '../providers/attempt.ts';
import { testJobRecord, testAttempt } from '../testing/test-records.ts';
import type { JobRecord, LipsyncResult } from './job-record.ts';
import { isReusable, resultKeyOf } from './result-cache.ts';

const job = (options: LipsyncOptionsInput = {}): JobRecord<'lipsync'> => testJobRecord('job_1', 1_000, options);
const input = (letter: string) => ({ kind: 'artifact', key: `inputs/${letter.repeat(64)}`, name: 'any.mp4' }) as const;

/** A value other than the default of every option that changes the output. */
const changes: readonly LipsyncOptionsInput[] = [
  { method: 'preview' },
  { optimize: 'cost' },
  { providerOptions: { heygen: { mode: 'precision' } } },
  { syncMode: 'bounce' },
  { silenceMode: 'keep' },
  { startMs: 40 },
  { endMs: 40 },
  { maxCostUsd: 1 },
  { allowPreview: true },
  { minSyncScore: 0.5 },
  { qualityWindows: 'all' },
  { audioTrack: 2 },
  { visibleLabel: 'en' },
  { labelCorner: 'top_right' },
  { aigcProducer: '001191110000000000000000000' },
];
const withoutEffect: readonly LipsyncOptionsInput[] = [
  { deadlineMs: 5_000 },
  { priority: 1 },
  { userId: 'user' },
  { metadata: { title: 'x' } },
  { consent: { subject: 'x', scope: 'y' } },
  { webhookProgress: true },
  { webhookUrl: 'https://example.org/hook' },
  { cache: false },
];

describe('The key of a result', () => {
  it.each(changes)('changes with the option %j.', (options) => {
    expect(resultKeyOf(job(options))).not.toBe(resultKeyOf(job()));
  });

  it.each(withoutEffect)('does not change with %j.', (options) => {
    expect(resultKeyOf(job(options))).toBe(resultKeyOf(job()));
  });

  it('depends on every option, or is known not to.', () => {
    const covered = [...changes, ...withoutEffect].flatMap((options) => Object.keys(options));
    expect(covered.toSorted()).toEqual(Object.keys(lipsyncOptionsSchema.shape).toSorted());
  });

  it('depends on the API key and on the content of clip and speech, but not on file names.', () => {
    const { spec, ...record } = job();
    const keys = [
      { ...record, spec },
      { ...record, spec, owner: 'alice' },
      { ...record, spec: { ...spec, video: input('c') } },
      { ...record, spec: { ...spec, audio: input('c') } },
      { ...record, spec: { ...spec, video: spec.audio, audio: spec.video } },
    ].map(resultKeyOf);
    expect(new Set(keys).size).toBe(5);
    expect(resultKeyOf({ ...record, spec: { ...spec, video: input('b') } })).toBe(keys[0]);
  });

  it('does not exist while an input is only known by its URL.', () => {
    const { spec, ...record } = job();
    const video = { kind: 'url', url: 'https://example.org/clip.mp4' } as const;
    expect(resultKeyOf({ ...record, spec: { ...spec, video } })).toBeUndefined();
  });
});

describe('A result', () => {
  const result: LipsyncResult = {
    methodUsed: 'wav2lip',
    degraded: false,
    cached: false,
    durationMs: 1_000,
    outputKey: 'outputs/job_1/output.mp4',
  };
  const completed = (change: Partial<JobRecord<'lipsync'>> = {}): JobRecord<'lipsync'> => ({
    ...job(),
    status: 'completed',
    result,
    ...change,
  });
  const attempt = (change: Partial<Attempt>): Attempt =>
    testAttempt({
      provider: 'wav2lip',
      outcome: 'succeeded',
      endedAtMs: 2,
      costMicros: 0,
      ...change,
    });

  it('is reused when its provider made it, also after a crash or a take that was rejected for its quality.', () => {
    const crashed = attempt({ outcome: 'failed', code: 'worker_crashed' });
    const rejected = attempt({ provider: 'heygen', outcome: 'failed', code: 'quality_rejected' });
    expect(isReusable(completed({ attempts: [attempt({})] }))).toBe(true);
    expect(isReusable(completed({ attempts: [crashed, attempt({})] }))).toBe(true);
    expect(isReusable(completed({ attempts: [rejected, attempt({})] }))).toBe(true);
    expect(isReusable(completed({ result: { ...result, methodUsed: null } }))).toBe(true);
  });

  it('is not reused when it substitutes for that of a provider that failed.', () => {
    const failed = attempt({ provider: 'heygen', outcome: 'failed', code: 'provider_unavailable' });
    expect(isReusable(completed({ attempts: [failed, attempt({})] }))).toBe(false);
  });

  it.each(['quality_below_request', 'quality_not_measured'])('is not reused with the warning %s.', (code) => {
    expect(isReusable(completed({ warnings: [{ code, message: '' }] }))).toBe(false);
  });

  it('does not exist for a job that failed.', () => {
    expect(isReusable({ ...job(), status: 'failed' })).toBe(false);
  });
});
