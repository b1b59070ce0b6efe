/** Speech for analysis: mono, 16 kHz, −1…1. */
export const analysisSampleRateHz = 16_000;

/** Mouth shape over time, one value per output frame; every array has the timeline's frame count. */
export interface MouthCurve {
  /** Opening between the inner lips, 0 (closed) to 1 (the widest "ah" of this speaker). */
  readonly open: Float32Array;
  /** Width: −1 as round as "oo", 0 neutral, 1 as spread as "ee". */
  readonly wide: Float32Array;
  /** Strength of a bilabial closure (p, b, m) at this frame, 0–1; where it is high, `open` is already near 0. */
  readonly closure: Float32Array;
  /** 1 where there is speech, 0 in pauses, with short ramps between. */
  readonly voiced: Float32Array;
}

/** What the speech turned out to be. */
export interface SpeechReport {
  readonly voiceFound: boolean;
  /** Highest short-time level of the whole speech, dBFS; −Infinity for digital silence. */
  readonly peakLevelDb: number;
}
