import { expect, it } from 'vitest';
import { listMixWarnings } from './mix-warnings.ts';

const codesOf = (weights: readonly number[], isMixed: boolean, gain = 1, codec = 'aac'): readonly string[] =>
  listMixWarnings({ mix: { weights, isMixed, gain }, codec }).map(({ code }) => code);

it('Speech whose channels are kept at their level needs no warning.', () => {
  expect(codesOf([1], false)).toEqual([]);
  expect(codesOf([0.5, 0.5], false)).toEqual([]);
  expect(codesOf([1, 0], false)).toEqual([]);
});

it('A warning names the channels that were mixed, those that were inverted, and that others were left out.', () => {
  const [warning] = listMixWarnings({ mix: { weights: [0.5, 0, -0.5], isMixed: true, gain: 1 }, codec: 'flac' });
  expect(warning).toEqual({
    code: 'speech_channels_mixed',
    message:
      'In the speech audio, 2 of 3 channels carry voice and were mixed to mono: channels 1, 3. ' +
      'The opposite phase of channel 3 was inverted. The others were left out.',
  });
});

it('A warning names how far peaks exceeded full scale, but not the overshoot of an encoder.', () => {
  const [warning] = listMixWarnings({ mix: { weights: [1], isMixed: false, gain: 0.5 }, codec: 'pcm_f32le' });
  expect(warning?.message).toContain('peaks 6.0 dB above full scale');
  expect(codesOf([1], false, 0.95, 'pcm_f32le')).toEqual(['speech_level_lowered']);
  expect(codesOf([1], false, 0.95, 'mp3')).toEqual([]);
  expect(codesOf([1], false, 0.8, 'mp3')).toEqual(['speech_level_lowered']);
});
