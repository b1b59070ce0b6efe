import { describe, expect, it } from 'vitest';
import { lipsyncSchema } from './heygen-wire.ts';

describe('lipsyncSchema', () => {
  it.each([
    ['completed', ['completed', 'complete', ' Succeeded ', 'success', 'done', 'finished']],
    ['failed', ['failed', 'failure', 'error', 'canceled', 'cancelled', 'rejected']],
    ['pending', ['pending', 'running', 'queued', 'polishing', '']],
  ] as const)('The phase is %s for the status words %j.', (phase, words) => {
    for (const status of words) expect(lipsyncSchema.parse({ status }).phase).toBe(phase);
  });

  it.each([
    [0, 0],
    [12.48, 12.48],
    [86_400, 86_400],
  ])('A plausible duration is returned: %d', (duration, durationS) => {
    expect(lipsyncSchema.parse({ status: 'completed', duration })).toMatchObject({ phase: 'completed', durationS });
  });

  it.each([undefined, null, -1, 86_401, 1e308, '12', {}])(
    'An implausible duration is null and does not affect the other fields: %j',
    (duration) => {
      expect(lipsyncSchema.parse({ status: 'completed', duration, video_url: 'https://a.example/v.mp4' })).toEqual({
        phase: 'completed',
        durationS: null,
        videoUrl: 'https://a.example/v.mp4',
        failureMessage: null,
      });
    },
  );
});
