import type { LabelDefinition, PartDefinition } from '../analyzer.ts';

/** 1 up to `good`, 0 from `bad`, linear between them. `good` may be the larger one. */
function between(good: number, bad: number): (value: number) => number {
  return (value) => Math.min(1, Math.max(0, (value - bad) / (good - bad)));
}

/** The parts of lips and sound, which need no model. None of them counts in a score: loudness alone satisfies them. */
export const lipParts = {
  syncStrength: {
    name: 'sync_strength',
    unit: 'correlation',
    countsIn: 'none',
    meaning: 'Correlation of lip opening and amplitude of the sound at the best offset.',
    score: between(0.55, 0.2),
  },
  loudnessDistance: {
    name: 'loudness_distance',
    unit: 'share of the range',
    countsIn: 'none',
    meaning:
      'Mean distance of lip opening and amplitude under speech, each relative to its range (THEval: real speech 0.25).',
    score: between(0.25, 0.4),
  },
  lipDynamics: {
    name: 'lip_dynamics',
    unit: 'eye distances',
    countsIn: 'none',
    meaning: 'Standard deviation of the lip opening under speech.',
    score: between(0.03, 0.01),
  },
  frozenSpeech: {
    name: 'frozen_speech',
    unit: 'share of speech',
    countsIn: 'none',
    meaning: 'Share of the two-second windows of speech in which the lips do not move.',
    score: between(0, 0.5),
  },
  pauseOpening: {
    name: 'pause_opening',
    unit: 'share of wide openings',
    countsIn: 'none',
    meaning: 'Mean lip opening in the middle of pauses, relative to the 90th percentile of all openings.',
    score: between(0.2, 0.6),
  },
  silentMotion: {
    name: 'silent_motion',
    unit: 'eye distances',
    countsIn: 'none',
    meaning: 'Median distance of the lip opening in pauses from its mean (THEval: silent lip stability).',
    score: between(0.01, 0.03),
  },
  bilabialClosure: {
    name: 'bilabial_closure',
    unit: 'share of closures',
    countsIn: 'none',
    meaning: 'Share of the closures that the sound contains (p, b, m) at which the lips close.',
    score: between(0.9, 0.4),
  },
  lipLeak: {
    name: 'lip_leak',
    unit: 'correlation',
    countsIn: 'none',
    meaning:
      'Correlation of the lip opening with that of the source clip in the same frames: how much of the old mouth shows through.',
    score: between(0.3, 0.8),
  },
} as const satisfies Record<string, PartDefinition>;

export const lipLabels = {
  soundLate: {
    code: 'sound_late',
    threshold: 140,
    unit: 'ms',
    fatal: true,
    meaning: 'The sound is later than the lips by more than 3 frames at 25 fps, at a strength of at least 0.55.',
  },
  soundEarly: {
    code: 'sound_early',
    threshold: 140,
    unit: 'ms',
    fatal: true,
    meaning: 'The sound is earlier than the lips by more than 3 frames at 25 fps, at a strength of at least 0.55.',
  },
  mouthFrozen: {
    code: 'mouth_frozen',
    threshold: 0.5,
    unit: 'share of speech',
    fatal: true,
    meaning: 'The mouth does not move under speech. The ranges are its windows of two seconds.',
  },
  mouthOpenInPause: {
    code: 'mouth_open_in_pause',
    threshold: 0.45,
    unit: 'share of wide openings',
    fatal: false,
    meaning: 'The mouth stays open in pauses of the speech.',
  },
  mouthMovesInSilence: {
    code: 'mouth_moves_in_silence',
    threshold: 0.015,
    unit: 'eye distances',
    fatal: false,
    meaning: 'The lips move in pauses of the speech, or although the sound is silent all the time.',
  },
  faceLost: {
    code: 'face_lost',
    threshold: 0.01,
    unit: 'share of frames',
    fatal: false,
    meaning: 'The face of the source clip cannot be found in the video.',
  },
} as const satisfies Record<string, LabelDefinition>;
