import type { Quality } from '../contract/quality.ts';
import type { QualityTrace } from '../quality/analyzer.ts';

/** A quality in which nothing was measured but what `change` states. */
export function qualityOf(change: Partial<Quality> = {}): Quality {
  return {
    syncScore: null,
    audioQuality: null,
    videoQuality: null,
    grade: 'unknown',
    sync: null,
    parts: {},
    source: null,
    labels: [],
    methodVersion: 'test',
    models: {},
    ...change,
  };
}

/** The series of a video of four frames, with one picture. */
export const testTrace: QualityTrace = {
  frameRate: 25,
  lipOpening: [0.1, null, 0.2, 0.1],
  sourceLipOpening: null,
  speechLevelDb: [-20, -30, -160, -20],
  voiced: [true, true, false, true],
  offsetCurve: [
    { lagFrames: -15, correlation: 0.1 },
    { lagFrames: 0, correlation: 0.8 },
    { lagFrames: 15, correlation: 0.2 },
  ],
  distanceCurve: null,
  syncConfidence: null,
  pictures: [{ timeMs: 0, face: 'RkFDRQ==', mouth: 'TU9VVEg=', sourceMouth: null }],
};
