import type { LabelDefinition, PartDefinition } from '../analyzer.ts';

/** The parts of lips and sound, which need no model. */
export const lipParts = {
  syncStrength: {
    name: 'sync_strength',
    unit: 'correlation',
    countsIn: 'none',
    meaning: 'Correlation of lip opening and amplitude of the sound at the best offset.',
    score: (value) => value,
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
} as const satisfies Record<string, LabelDefinition>;
