import type { QualityLabel, SyncQuality } from '../../contract/quality.ts';
import { hiddenMouths } from '../../face/face-warnings.ts';
import type { FaceTrack, HiddenReason } from '../../face/face-types.ts';
import { findRateObstacle, type LabelDefinition } from '../analyzer.ts';
import { toLabel } from '../labels.ts';
import type { LipSeries } from './lip-series.ts';
import { estimateOffset, type OffsetEstimate } from './offset-curve.ts';
import type { VideoSpeech } from './video-speech.ts';

/** Correlation from which the offset is reported: below it, it was wrong by up to 15 frames on real clips. */
const reliableStrength = 0.55;
const smallestSpeechShare = 0.1;

/** Sync by correlation: the offset, or why it is unknown, with the curve behind it. */
export interface LipSync {
  readonly sync: SyncQuality;
  readonly estimate: OffsetEstimate | undefined;
}

/** Measures the offset of lips and sound, and decides whether it can be trusted. */
export function estimateSync(lips: LipSeries, speech: VideoSpeech, track: TrackedMouth | undefined): LipSync {
  const obstacle = findSoundObstacle(speech) ?? findLipObstacle(lips, track);
  const estimate = obstacle === null ? estimateOffset(lips, speech) : undefined;
  if (!estimate) return { sync: unknownSync(obstacle ?? describeShortage(track)), estimate };
  const strength = Math.round(estimate.strength * 1000) / 1000;
  const measured = { strength, windows: estimate.windows };
  if (!estimate.isPeak || strength < reliableStrength) {
    const reason = `Lip opening and sound correlate by ${strength.toFixed(2)} only; below ${reliableStrength} the offset is not reliable.`;
    return { sync: { ...unknownSync(estimate.isPeak ? reason : noPeak), ...measured }, estimate };
  }
  const [low, high] = estimate.intervalMs;
  const offset = {
    offsetMs: Math.round(estimate.offsetMs),
    offsetIntervalMs: [Math.round(low), Math.round(high)] as const,
  };
  return { sync: { ...unknownSync(null), ...measured, ...offset }, estimate };
}

function describeShortage(track: TrackedMouth | undefined): string {
  const shortage = 'Less than 4 s of the video show a visible mouth.';
  return track && track.hiddenRanges.length > 0 ? `${describeHiddenMouth(track)} ${shortage}` : shortage;
}

const noPeak = 'The correlation of lip opening and sound has no peak within ±660 ms.';

/** Sync of which nothing was measured. */
export function unknownSync(reason: string | null): SyncQuality {
  return {
    method: 'lip_audio_correlation',
    offsetMs: null,
    offsetIntervalMs: null,
    strength: null,
    lseC: null,
    lseD: null,
    windows: 0,
    reason,
  };
}

/** The label of an offset beyond the limit; none when the offset is unknown. */
export function offsetLabels(
  { offsetMs }: SyncQuality,
  { late, early, durationMs }: { late: LabelDefinition; early: LabelDefinition; durationMs: number },
): QualityLabel[] {
  const definition = (offsetMs ?? 0) > 0 ? early : late;
  if (offsetMs === null || Math.abs(offsetMs) < definition.threshold) return [];
  const direction = offsetMs > 0 ? 'before' : 'after';
  const message = `The sound comes ${Math.abs(offsetMs)} ms ${direction} the lips.`;
  return [
    toLabel(definition, {
      message,
      ranges: [{ startMs: 0, endMs: Math.round(durationMs) }],
      value: Math.abs(offsetMs),
    }),
  ];
}

/** Why the motion of lips cannot be judged; null when it can. */
export function findLipObstacle(
  { opening, framesPerSecond }: LipSeries,
  track: TrackedMouth | undefined,
): string | null {
  return opening.every(Number.isNaN) ? describeHiddenMouth(track) : findRateObstacle(framesPerSecond);
}

type TrackedMouth = Pick<FaceTrack, 'hiddenRanges'>;

/** Why a video shows no mouth: no face, or what hides its mouth in most frames. */
export function describeHiddenMouth(track: TrackedMouth | undefined): string {
  if (!track) return 'The video shows no face.';
  const frames = new Map<HiddenReason, number>();
  for (const { reason, start, end } of track.hiddenRanges) frames.set(reason, (frames.get(reason) ?? 0) + end - start);
  const [most] = [...frames].toSorted(([, first], [, second]) => second - first);
  return most ? `${hiddenMouths[most[0]].fault}.` : 'The video shows no face whose mouth is visible.';
}

/** A voice in a shorter sound is not recognized, in seconds. */
const shortestSoundS = 0.4;

/** Why no lips can be compared with a sound; null when they can. */
export function findSoundObstacle({ hasSound, voiceFound, active, stepsPerSecond }: VideoSpeech): string | null {
  if (!hasSound) return 'The video has no sound.';
  if (!voiceFound && active.length < shortestSoundS * stepsPerSecond)
    return `The sound is shorter than ${shortestSoundS} s.`;
  if (!voiceFound) return 'The sound contains no voice.';
  const speechShare = active.reduce((sum, value) => sum + value, 0) / active.length;
  if (speechShare < smallestSpeechShare) return 'Less than 10 % of the sound is speech.';
  return null;
}
