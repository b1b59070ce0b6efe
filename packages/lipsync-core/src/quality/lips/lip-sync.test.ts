import { describe, expect, it } from 'vitest';
import { estimateSync, findLipObstacle } from './lip-sync.ts';
import { soundOfNone, type VideoSpeech } from './video-speech.ts';

const speech: VideoSpeech = {
  ...soundOfNone,
  hasSound: true,
  voiceFound: true,
  active: new Uint8Array(600).fill(1),
  levelDb: new Float32Array(600),
};

describe('The offset of lips and sound', () => {
  it('It is unknown at one frame per second, which shows no syllable.', () => {
    const lips = { framesPerSecond: 1, every: 1, opening: Float32Array.of(0.1, 0.3, 0.1, 0.4, 0.2, 0.1) };
    const { sync } = estimateSync(lips, speech, undefined);
    expect(sync).toMatchObject({ offsetMs: null, reason: 'The video has fewer than 10 frames per second.' });
  });

  it('The reason names the face before the frame rate, and a short sound before a missing voice.', () => {
    const lips = { framesPerSecond: 1, every: 1, opening: new Float32Array(6).fill(NaN) };
    expect(findLipObstacle(lips, undefined)).toBe('The video shows no face.');
    const hiddenRanges = [
      { start: 0, end: 2, reason: 'covered' },
      { start: 2, end: 6, reason: 'turned_away' },
    ] as const;
    expect(findLipObstacle(lips, { hiddenRanges })).toBe('The face is turned away.');
    const short = { ...speech, voiceFound: false, active: new Uint8Array(20) };
    expect(estimateSync(lips, short, undefined).sync.reason).toBe('The sound is shorter than 0.4 s.');
  });
});
