import { describe, expect, it } from 'vitest';
import { absentFramesWarning, hiddenMouthWarnings, severalFacesWarning } from './face-warnings.ts';

const times = { firstFrame: 50, frameRate: { numerator: 25, denominator: 1 }, isStill: false };
const left = { x: 200, y: 300, height: 400 };
const right = { x: 900, y: 320, height: 280 };

describe('Warnings about faces', () => {
  it('Each reason for a hidden mouth has a code of its own and lists its times of the clip.', () => {
    const ranges = [
      { start: 0, end: 25, reason: 'covered' },
      { start: 30, end: 40, reason: 'blurred' },
      { start: 50, end: 100, reason: 'covered' },
    ] as const;
    expect(hiddenMouthWarnings(ranges, times)).toEqual([
      {
        code: 'mouth_covered',
        message:
          'Something covers the mouth. The picture fades to the original there: 2.00–3.00 s, 4.00–6.00 s of the clip.',
      },
      {
        code: 'mouth_blurred',
        message: 'The mouth is blurred. The picture fades to the original there: 3.20–3.60 s of the clip.',
      },
    ]);
  });

  it('Several faces are reported with the chosen one, its place and size, and why another one was passed over.', () => {
    const choice = { start: 0, end: 100, chosen: right, others: [{ ...left, isStill: true }] };
    expect(severalFacesWarning([choice], times)[0]?.message).toContain(
      '2.00–6.00 s of the clip: the face on the right (280 pixels high) was chosen, not the one on the left (400 pixels high), which never moves.',
    );
    const above = { start: 0, end: 1, chosen: { ...left, y: 0 }, others: [{ ...left, y: 500, isStill: false }] };
    expect(severalFacesWarning([above], { ...times, isStill: true })[0]?.message).toContain(
      'The face at the top (400 pixels high) was chosen, not the one at the bottom (400 pixels high).',
    );
    expect(severalFacesWarning([], times)).toEqual([]);
  });

  it('One frame without a face, and one more choice than are listed, are in the singular.', () => {
    const messageOf = (...shownFrames: number[]): string | undefined =>
      absentFramesWarning(
        shownFrames.map((count, index) => ({ start: index * 50, end: index * 50 + count, shownFrames: count })),
        times,
      )[0]?.message;
    expect(messageOf(1)).toBe('1 frame without a face was left unchanged: 2.00–2.04 s of the clip.');
    expect(messageOf(1, 2)).toBe('3 frames without a face were left unchanged: 2.00–2.04 s, 4.00–4.08 s of the clip.');
    const choice = { start: 0, end: 100, chosen: right, others: [{ ...left, isStill: false }] };
    const choices = (count: number): string | undefined =>
      severalFacesWarning(
        Array.from({ length: count }, () => choice),
        times,
      )[0]?.message;
    expect(choices(6)).toContain(' 1 more time. Crop');
    expect(choices(7)).toContain(' 2 more times. Crop');
  });
});
