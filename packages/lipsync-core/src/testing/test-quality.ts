import type { Quality } from '../contract/quality.ts';

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
