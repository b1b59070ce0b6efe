import type { SpeechFacts } from './media-types.ts';

const soundRateHz = 48_000;

/** The speech from time 0, padded with silence or cut to exactly `durationS`, as AAC. */
export function aacArguments(speech: SpeechFacts, durationS: number): readonly string[] {
  return [...lengthArguments(speech, durationS), '-c:a', 'aac', '-b:a', '192k'];
}

/** As `aacArguments`, uncompressed. */
export function wavArguments(speech: SpeechFacts, durationS: number): readonly string[] {
  return [...lengthArguments(speech, durationS), '-c:a', 'pcm_s16le'];
}

/** Sample-exact: resampled first, then padded without end, then cut where the picture ends. */
function lengthArguments({ codec, channels }: SpeechFacts, durationS: number): readonly string[] {
  const filter = [
    ...(isFloatingPoint(codec)
      ? [`aeval=exprs='if(isnan(val(ch))+isinf(val(ch)),0,clip(val(ch),-1,1))':channel_layout=same`]
      : []),
    `aresample=${soundRateHz}`,
    'asetpts=N/SR/TB',
    'apad',
    `atrim=end_sample=${Math.round(durationS * soundRateHz)}`,
  ].join(',');
  return ['-af', filter, '-ar', String(soundRateHz), '-ac', String(Math.min(channels, 2))];
}

/** Only uncompressed floating point can hold values that are no numbers; the AAC encoder refuses them. */
function isFloatingPoint(codec: string): boolean {
  return /^pcm_f(16|24|32|64)/.test(codec);
}
