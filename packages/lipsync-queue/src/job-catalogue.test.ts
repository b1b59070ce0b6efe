import { testJobRecord } from '@lipsync/core/testing';
import { describe, expect, it } from 'vitest';
import { jobCatalogue, laneOf, lanes, queueNames, queuePriority } from './job-catalogue.ts';

describe('the job catalogue', () => {
  it.each([
    {},
    { jobId: '' },
    { jobId: 7 },
    { jobId: 'x'.repeat(101) },
    { jobId: 'job_a', path: '/tmp/clip.mp4' },
    null,
  ])('takes no payload but an id: %j', (payload) =>
    expect(jobCatalogue.lipsync.payload.safeParse(payload).success).toBe(false),
  );

  it('gives each lane a queue of its own, under a name that BullMQ takes', () => {
    const names = lanes.map((lane) => queueNames[lane]);
    expect(new Set(names).size).toBe(lanes.length);
    for (const name of names) expect(name).not.toContain(':');
  });

  it.each([
    ['remote', 'cloud'],
    ['inline', 'render'],
    [null, 'render'],
  ] as const)('sends what goes on with a provider of the kind %s to lane %s', (needs, lane) => {
    expect(laneOf({ ...testJobRecord('job_a'), needs })).toBe(lane);
  });

  it('lets no priority jump the order by meaning "before all" to BullMQ', () => {
    expect([0, 10].map(queuePriority)).toEqual([1, 11]);
  });
});
