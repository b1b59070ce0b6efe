import { isFloatingPoint } from '../ffmpeg-arguments.ts';
import type { SpeechFacts } from '../media-types.ts';
import { trackFilters } from '../sound/sound-mix.ts';

const audioSampleRateHz = 48_000;
export const defaultAudioBitrateKbps = 192;

/** Encodes the speech as AAC from time 0, padded with silence or cut to exactly `durationS`. */
export function aacArguments(
  speech: SpeechFacts,
  durationS: number,
  bitrateKbps = defaultAudioBitrateKbps,
): readonly string[] {
  return [...durationArguments(speech, durationS), '-c:a', 'aac', '-b:a', `${bitrateKbps}k`];
}

/** Like `aacArguments`, but uncompressed. */
export function wavArguments(speech: SpeechFacts, durationS: number): readonly string[] {
  return [...durationArguments(speech, durationS), '-c:a', 'pcm_s16le'];
}

/** Sample-exact: mixes and resamples first, then pads without limit, then cuts at the end of the video. */
function durationArguments({ codec, channels, mix }: SpeechFacts, durationS: number): readonly string[] {
  // Samples beyond what is lowered to full scale are damage.
  const limit = 1 / (mix?.gain ?? 1);
  const filter = [
    ...(isFloatingPoint(codec)
      ? [`aeval=exprs='if(isnan(val(ch))+isinf(val(ch)),0,clip(val(ch),-${limit},${limit}))':channel_layout=same`]
      : []),
    ...trackFilters(mix),
    `aresample=${audioSampleRateHz}`,
    'asetpts=N/SR/TB',
    'apad',
    `atrim=end_sample=${Math.round(durationS * audioSampleRateHz)}`,
  ].join(',');
  return ['-af', filter, '-ar', String(audioSampleRateHz), '-ac', mix?.isMixed ? '1' : String(Math.min(channels, 2))];
}
