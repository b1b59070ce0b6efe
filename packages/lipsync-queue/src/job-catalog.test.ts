import { testJobRecord } from '@lipsync/core/testing';
import { describe, expect, it } from 'vitest';
import { jobCatalog, laneOf, lanes, queueNames, queuePriority } from './job-catalog.ts';

describe('jobCatalog', () => {
  it.each([{}, { jobId: '' }, { jobId: 7 }, { jobId: 'x'.repeat(101) }, null])(
    'The payload %j is rejected: it has no job id.',
    (payload) => expect(jobCatalog.lipsync.payload.safeParse(payload).success).toBe(false),
  );

  it('Fields that a later version adds to a payload are ignored.', () => {
    expect(jobCatalog.lipsync.payload.parse({ jobId: 'job_a', path: '/tmp/clip.mp4' })).toEqual({ jobId: 'job_a' });
  });

  it('Each lane has its own queue with a name that is valid for BullMQ.', () => {
    const names = lanes.map((lane) => queueNames[lane]);
    expect(new Set(names).size).toBe(lanes.length);
    for (const name of names) expect(name).not.toContain(':');
  });

  it.each([
    ['remote', 'cloud'],
    ['inline', 'render'],
    [null, 'render'],
  ] as const)('A job whose next provider is %s is queued in lane %s.', (needs, lane) => {
    expect(laneOf({ ...testJobRecord('job_a'), needs })).toBe(lane);
  });

  it.each([['remote'], ['inline'], [null]] as const)(
    'A job with an input at a URL is queued in lane fetch, even if its next provider is %s.',
    (needs) => {
      const record = { ...testJobRecord('job_a'), needs };
      const audio = { kind: 'url', url: 'https://example.org/speech.wav' } as const;
      expect(laneOf({ ...record, spec: { ...record.spec, audio } })).toBe('fetch');
    },
  );

  it('No priority maps to 0, which BullMQ runs before all others.', () => {
    expect([0, 10].map((priority) => queuePriority(priority))).toEqual([1, 11]);
  });

  it('The job of a batch waits behind every single job.', () => {
    expect(queuePriority(0, 0)).toBeGreaterThan(queuePriority(10));
  });
});
