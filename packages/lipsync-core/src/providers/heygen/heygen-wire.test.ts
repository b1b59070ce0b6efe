import { describe, expect, it } from 'vitest';
import { lipsyncSchema } from './heygen-wire.ts';

describe('the length of an operation as HeyGen says it', () => {
  it.each([
    [0, 0],
    [12.48, 12.48],
    [86_400, 86_400],
  ])('is believed where it can be: %d', (duration, durationS) => {
    expect(lipsyncSchema.parse({ status: 'completed', duration })).toMatchObject({ phase: 'completed', durationS });
  });

  it.each([undefined, null, -1, 86_401, 1e308, '12', {}])(
    'is not known where it is none, and nothing else is lost by that: %j',
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
