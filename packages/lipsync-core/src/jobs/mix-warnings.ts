import type { Warning } from '../contract/provider-types.ts';
import type { SpeechFacts } from '../media/index.ts';

/** Encoders overshoot full scale by less; samples stored as numbers do not. */
const overshootDb = 1;
const measurableDb = 0.1;

/** Warnings on what was done with the channels and the level of a speech recording. Pure. */
export function listMixWarnings({
  codec,
  mix: laterMix,
  appliedMix: mix = laterMix,
}: Pick<SpeechFacts, 'mix' | 'appliedMix' | 'codec'>): readonly Warning[] {
  if (!mix) return [];
  const loweredDb = -20 * Math.log10(mix.gain);
  return [
    ...(mix.isMixed ? [{ code: 'speech_channels_mixed', message: describeChannels(mix.weights) }] : []),
    ...(loweredDb >= (codec.startsWith('pcm_f') ? measurableDb : overshootDb)
      ? [
          {
            code: 'speech_level_lowered',
            message: `The speech audio has peaks ${loweredDb.toFixed(1)} dB above full scale. The whole recording was attenuated by that amount.`,
          },
        ]
      : []),
  ];
}

function describeChannels(weights: readonly number[]): string {
  const numbered = weights.map((weight, index) => ({ weight, number: index + 1 }));
  const used = numbered.filter(({ weight }) => weight !== 0).map(({ number }) => number);
  const inverse = numbered.filter(({ weight }) => weight < 0).map(({ number }) => number);
  const unused = weights.length - used.length;
  const source =
    used.length === 1
      ? `${nameChannels(used)} of ${weights.length} carries the voice and was used as mono.`
      : `${used.length} of ${weights.length} channels carry voice and were mixed to mono: ${nameChannels(used)}.`;
  return [
    `In the speech audio, ${source}`,
    ...(inverse.length > 0 ? [`The opposite phase of ${nameChannels(inverse)} was inverted.`] : []),
    ...(unused > 0 ? ['The others were left out.'] : []),
  ].join(' ');
}

function nameChannels(numbers: readonly number[]): string {
  return `${numbers.length === 1 ? 'channel' : 'channels'} ${numbers.join(', ')}`;
}
