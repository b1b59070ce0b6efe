import type { PartDefinition } from '../analyzer.ts';
import { scoreConfidence, scoreDistance } from './sync-score.ts';

/** The parts that SyncNet measures. */
export const syncNetParts = {
  lseD: {
    name: 'lse_d',
    unit: 'distance',
    countsIn: 'none',
    meaning: 'Smallest mean distance of the embeddings of lips and sound over shifts of ±15 frames at 25 fps (LSE-D).',
    score: scoreDistance,
  },
  lseC: {
    name: 'lse_c',
    unit: 'confidence',
    countsIn: 'none',
    meaning: 'Median of the distances over all shifts minus the smallest one (LSE-C).',
    score: scoreConfidence,
  },
  offset: {
    name: 'syncnet_offset',
    unit: 'frames',
    countsIn: 'none',
    meaning: 'Shift of the smallest distance, in frames at 25 fps; positive when the sound is ahead of the picture.',
    score: () => null,
  },
  scoreLow: {
    name: 'sync_score_low',
    unit: 'score',
    countsIn: 'none',
    meaning: 'Lower end of the central 90 % of `sync_score` over resampled seconds of the scored windows.',
    score: () => null,
  },
  scoreHigh: {
    name: 'sync_score_high',
    unit: 'score',
    countsIn: 'none',
    meaning: 'Upper end of the same interval.',
    score: () => null,
  },
  codecSpreadC: {
    name: 'lse_c_codec_spread',
    unit: 'confidence',
    countsIn: 'none',
    meaning: 'Highest minus lowest LSE-C of two seconds of the video as they are and encoded again in two ways.',
    score: () => null,
  },
  codecSpreadD: {
    name: 'lse_d_codec_spread',
    unit: 'distance',
    countsIn: 'none',
    meaning: 'Highest minus lowest LSE-D of the same two seconds.',
    score: () => null,
  },
} as const satisfies Record<string, PartDefinition>;
