import type { LabelDefinition, PartDefinition } from '../analyzer.ts';

/** Pairs of value and score, by ascending value. */
type Anchors = readonly (readonly [value: number, score: number])[];

/** Scores by linear interpolation between anchors, and constant outside them. */
function scale(anchors: Anchors, position: (value: number) => number = (value) => value): (value: number) => number {
  return (value) => {
    const index = anchors.findIndex(([anchor]) => anchor >= value);
    const [high, highScore] = anchors[index === -1 ? anchors.length - 1 : index] ?? [0, 0];
    const [low, lowScore] = anchors[index - 1] ?? [high, highScore];
    if (index <= 0 || high === low) return highScore;
    const fraction = (position(value) - position(low)) / (position(high) - position(low));
    return lowScore + fraction * (highScore - lowScore);
  };
}

/** Opinion scores of DNSMOS; its highest values for clean studio speech are near 3.7, 4.2 and 3.5. */
const ofOpinion = (best: number): ((value: number) => number) =>
  scale([
    [1, 0],
    [best, 1],
  ]);

/** The parts of the sound of a video. */
export const soundParts = {
  clipping: {
    name: 'clipped_samples',
    unit: 'ratio',
    countsIn: 'audio_quality',
    meaning: 'Share of the samples on flattened peaks or above full scale.',
    score: (value) => 1 / (1 + value / 0.01),
  },
  noise: {
    name: 'speech_to_noise',
    unit: 'dB',
    countsIn: 'audio_quality',
    meaning: 'Level of the speech above the sound of its pauses. 20 dB scores 0.65, 40 dB 0.95.',
    score: scale([
      [-10, 0],
      [0, 0.1],
      [10, 0.35],
      [20, 0.65],
      [30, 0.85],
      [40, 0.95],
      [60, 1],
    ]),
  },
  loudness: {
    name: 'loudness',
    unit: 'LUFS',
    countsIn: 'audio_quality',
    meaning: 'Integrated loudness by EBU R 128. From −30 to −12 LUFS scores 1.',
    score: scale([
      [-70, 0],
      [-50, 0.3],
      [-40, 0.7],
      [-30, 1],
      [-12, 1],
      [-7, 0.7],
      [0, 0.2],
    ]),
  },
  silence: {
    name: 'silence',
    unit: 'ratio',
    countsIn: 'audio_quality',
    meaning:
      'Share of the time in silences (below −60 dBFS) of at least a second in which the given speech is not silent.',
    score: scale([
      [0, 1],
      [0.1, 0.9],
      [0.5, 0.4],
      [1, 0],
    ]),
  },
  bandwidth: {
    name: 'bandwidth',
    unit: 'Hz',
    countsIn: 'audio_quality',
    meaning: 'Highest frequency within 60 dB of the strongest. Telephone speech scores 0.4, 8 kHz 0.9, 14 kHz 1.',
    score: scale(
      [
        [500, 0],
        [2000, 0.2],
        [3400, 0.4],
        [5000, 0.65],
        [8000, 0.9],
        [14_000, 1],
      ],
      Math.log,
    ),
  },
  mono: {
    name: 'mono_level',
    unit: 'dB',
    countsIn: 'audio_quality',
    meaning: 'Level of the mono mix relative to the channels: 0 for equal channels. Down to −6 dB scores 1.',
    score: scale([
      [-30, 0],
      [-10, 0.5],
      [-6, 1],
    ]),
  },
  gaps: {
    name: 'sound_gaps',
    unit: 'ratio',
    countsIn: 'audio_quality',
    meaning: 'Share of the time in abrupt holes of 6 to 400 ms, as of lost packets.',
    score: (value) => 1 / (1 + value / 0.02),
  },
  delay: {
    name: 'speech_delay',
    unit: 'ms',
    countsIn: 'audio_quality',
    meaning: 'Delay of the sound relative to the given speech, by cross-correlation. Up to 20 ms scores 1, 200 ms 0.5.',
    score: (value) =>
      scale([
        [0, 1],
        [20, 1],
        [200, 0.5],
        [1000, 0],
      ])(Math.abs(value)),
  },
  correlation: {
    name: 'speech_correlation',
    unit: 'correlation',
    countsIn: 'audio_quality',
    meaning: 'Mean correlation of the sound with the given speech, in windows of one second.',
    score: scale([
      [0.1, 0],
      [0.5, 0.4],
      [0.9, 0.95],
      [1, 1],
    ]),
  },
  skips: {
    name: 'speech_skips',
    unit: 'ms/s',
    countsIn: 'audio_quality',
    meaning: 'Changes of that delay within the video: cut, repeated or stretched sound.',
    score: (value) => 1 / (1 + value / 20),
  },
  missing: {
    name: 'missing_speech',
    unit: 'ratio',
    countsIn: 'audio_quality',
    meaning:
      'Share of the loud moments of the given speech at which the sound is at least 25 dB weaker than elsewhere.',
    score: (value) => 1 / (1 + value / 0.05),
  },
  signal: {
    name: 'dnsmos_signal',
    unit: 'MOS',
    countsIn: 'audio_quality',
    meaning: 'Predicted opinion of the speech itself (DNSMOS P.835 SIG), 1 to 5.',
    score: ofOpinion(3.7),
  },
  background: {
    name: 'dnsmos_background',
    unit: 'MOS',
    countsIn: 'audio_quality',
    meaning: 'Predicted opinion of the background (DNSMOS P.835 BAK), 1 to 5.',
    score: ofOpinion(4.2),
  },
  overall: {
    name: 'dnsmos_overall',
    unit: 'MOS',
    countsIn: 'audio_quality',
    meaning: 'Predicted overall opinion (DNSMOS P.835 OVRL), 1 to 5.',
    score: ofOpinion(3.5),
  },
} as const satisfies Record<string, PartDefinition>;

export type SoundPartName = keyof typeof soundParts;

export const soundLabels = {
  clipped: {
    code: 'audio_clipped',
    threshold: 0.001,
    unit: 'ratio',
    fatal: false,
    meaning: 'More samples than this are clipped.',
  },
  noisy: {
    code: 'audio_noisy',
    threshold: 15,
    unit: 'dB',
    fatal: false,
    meaning: 'The speech is less than this above the background.',
  },
  quiet: {
    code: 'audio_quiet',
    threshold: -42,
    unit: 'LUFS',
    fatal: false,
    meaning: 'The loudness is below this.',
  },
  loud: {
    code: 'audio_loud',
    threshold: -8,
    unit: 'LUFS',
    fatal: false,
    meaning: 'The loudness is above this.',
  },
  silent: {
    code: 'audio_silent',
    threshold: 3000,
    unit: 'ms',
    fatal: false,
    meaning: 'A silence is at least this long, and the given speech is not silent there.',
  },
  cancel: {
    code: 'channels_cancel',
    threshold: -10,
    unit: 'dB',
    fatal: false,
    meaning: 'The channels cancel each other: their mono mix is weaker than they are by more than this.',
  },
  gap: {
    code: 'audio_gap',
    threshold: 10,
    unit: 'ms',
    fatal: false,
    meaning: 'Abrupt holes in the sound last at least this long together.',
  },
  bandLimited: {
    code: 'band_limited',
    threshold: 5000,
    unit: 'Hz',
    fatal: false,
    meaning: 'The sound ends below this frequency.',
  },
  differs: {
    code: 'sound_differs',
    threshold: 0.4,
    unit: 'correlation',
    fatal: false,
    meaning: 'In at least two windows, or in half of them, the sound correlates less than this with the given speech.',
  },
  shifted: {
    code: 'sound_shifted',
    threshold: 45,
    unit: 'ms',
    fatal: false,
    meaning: 'The sound is earlier or later than the given speech by more than this.',
  },
  skips: {
    code: 'sound_skips',
    threshold: 5,
    unit: 'ms/s',
    fatal: false,
    meaning: 'The delay relative to the given speech changes by more than this: sound was cut out or repeated.',
  },
  missing: {
    code: 'speech_missing',
    threshold: 200,
    unit: 'ms',
    fatal: false,
    meaning: 'Given speech of at least this length is missing in the sound.',
  },
} as const satisfies Record<string, LabelDefinition>;
