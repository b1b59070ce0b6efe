import type { LabelDefinition, PartDefinition } from '../analyzer.ts';

/** The parts of LR-ASD. None counts in a score: the network is a guard rail, never a grade. */
export const speakerParts = {
  speaker: {
    name: 'speaker_score',
    unit: 'logit',
    countsIn: 'none',
    meaning: 'Median LR-ASD score of 2 s windows with speech: whether this face speaks it.',
    score: () => null,
  },
  otherSpeaker: {
    name: 'other_speaker_score',
    unit: 'logit',
    countsIn: 'none',
    meaning: 'The same for the other face that scores highest.',
    score: () => null,
  },
  mouthInPauses: {
    name: 'mouth_in_pauses_score',
    unit: 'logit',
    countsIn: 'none',
    meaning: 'Median score of the mouth alone in 2 s windows without speech: whether it moves as in speech.',
    score: () => null,
  },
} as const satisfies Record<string, PartDefinition>;

export const speakerLabels = {
  mouthStill: {
    code: 'mouth_still_in_speech',
    threshold: -1.5,
    unit: 'logit',
    fatal: false,
    meaning: 'The mouth does not move as in speech while speech sounds.',
  },
  otherSpeaks: {
    code: 'other_face_speaks',
    threshold: 1,
    unit: 'logit',
    fatal: false,
    meaning:
      'Another face speaks: its score is higher by more than this, and the score of the tracked face is below 0.',
  },
  mouthMoves: {
    code: 'mouth_speaks_in_silence',
    threshold: -0.9,
    unit: 'logit',
    fatal: false,
    meaning: 'The mouth moves as in speech while no speech sounds.',
  },
} as const satisfies Record<string, LabelDefinition>;
