import type { QualityLabel, QualityPart, QualityRange } from '../../contract/quality.ts';
import { toPart, type Findings } from '../analyzer.ts';
import { toLabel } from '../labels.ts';
import type { VideoSpeech } from '../lips/video-speech.ts';
import { medianOf } from '../statistics.ts';
import type { SpeakerScore } from './speaker-model.ts';
import { speakerLabels, speakerParts } from './speaker-tables.ts';
import { speakerFramesPerSecond, windowFrames } from './speaker-windows.ts';

/** The scores of one window of two seconds. */
export interface ScoredWindow {
  /** First frame, at 25 frames per second. */
  readonly start: number;
  /** Undefined when the face was not seen. */
  readonly tracked: SpeakerScore | undefined;
  readonly others: readonly SpeakerScore[];
}

/** Shares of speech from which a window counts as speech, and up to which it counts as a pause. */
const speechShare = { speech: 0.5, pause: 0.05 } as const;
/** Score below which the tracked face is not the speaker when another face scores higher. */
const notSpeaking = 0;
/** Score of the mouth alone that lies between mouths that speak and mouths that do not. */
const movingMouth = speakerLabels.mouthMoves.threshold;

/** Parts that are null for the same reason. */
export function toNullParts(reason: string): Record<string, QualityPart> {
  return Object.fromEntries(Object.values(speakerParts).map((part) => [part.name, toPart(part, null, reason)]));
}

interface SeenWindow extends ScoredWindow {
  readonly tracked: SpeakerScore;
}

/** Parts and labels from the scores of all windows. All windows have the same length. */
export function judgeWindows(
  windows: readonly ScoredWindow[],
  speech: VideoSpeech,
): Pick<Findings, 'parts' | 'labels'> {
  const seen = windows.filter((window): window is SeenWindow => window.tracked !== undefined);
  if (seen.length === 0) return { parts: toNullParts('The mouth is not visible in any window of two seconds.') };
  const spoken = seen.filter(({ start }) => shareOfSpeech(speech, start) >= speechShare.speech);
  const pauses = seen.filter(({ start }) => shareOfSpeech(speech, start) <= speechShare.pause);
  const withOthers = spoken.filter(({ others }) => others.length > 0);
  const noSpeech = 'No window of two seconds is mostly speech.';
  const speaker = roundedMedian(spoken.map(({ tracked }) => tracked.speaker));
  const other = roundedMedian(withOthers.map(({ others }) => highest(others)));
  const mouthInPauses = roundedMedian(pauses.map(({ tracked }) => tracked.mouth));
  return {
    parts: {
      [speakerParts.speaker.name]: toPart(speakerParts.speaker, speaker, noSpeech),
      [speakerParts.otherSpeaker.name]: toPart(
        speakerParts.otherSpeaker,
        other,
        spoken.length === 0 ? noSpeech : 'The video shows one face.',
      ),
      [speakerParts.mouthInPauses.name]: toPart(
        speakerParts.mouthInPauses,
        mouthInPauses,
        'No window of two seconds is without speech.',
      ),
    },
    labels: [...labelStill(spoken, speaker), ...labelOther(withOthers), ...labelMoving(pauses, mouthInPauses)],
  };
}

function labelStill(spoken: readonly SeenWindow[], speaker: number | null): QualityLabel[] {
  const { threshold } = speakerLabels.mouthStill;
  const mouth = roundedMedian(spoken.map(({ tracked }) => tracked.mouth));
  if (speaker === null || mouth === null || speaker >= threshold || mouth >= movingMouth) return [];
  const where = spoken.filter(({ tracked }) => tracked.speaker < threshold);
  return [
    toLabel(speakerLabels.mouthStill, {
      value: speaker,
      ranges: mergeRanges(where),
      message: 'The mouth does not move as in speech while speech sounds.',
    }),
  ];
}

function labelOther(windows: readonly SeenWindow[]): QualityLabel[] {
  const { threshold } = speakerLabels.otherSpeaks;
  const own = roundedMedian(windows.map(({ tracked }) => tracked.speaker));
  const lead = roundedMedian(windows.map(leadOfOther));
  if (own === null || lead === null || own >= notSpeaking || lead <= threshold) return [];
  const where = windows.filter((window) => leadOfOther(window) > threshold);
  return [
    toLabel(speakerLabels.otherSpeaks, {
      value: lead,
      ranges: mergeRanges(where),
      message: 'Another face speaks, not the one whose mouth was redrawn.',
    }),
  ];
}

function labelMoving(pauses: readonly SeenWindow[], mouth: number | null): QualityLabel[] {
  if (mouth === null || mouth <= movingMouth) return [];
  const where = pauses.filter(({ tracked }) => tracked.mouth > movingMouth);
  return [
    toLabel(speakerLabels.mouthMoves, {
      value: mouth,
      ranges: mergeRanges(where),
      message: 'The mouth moves as in speech while no speech sounds.',
    }),
  ];
}

/** Ranges of the windows; adjacent ones are one. */
function mergeRanges(windows: readonly ScoredWindow[]): QualityRange[] {
  const ranges: { startMs: number; endMs: number }[] = [];
  for (const { start } of windows) {
    const startMs = (start * 1000) / speakerFramesPerSecond;
    const endMs = startMs + (windowFrames * 1000) / speakerFramesPerSecond;
    const last = ranges.at(-1);
    if (last && last.endMs >= startMs) last.endMs = endMs;
    else ranges.push({ startMs, endMs });
  }
  return ranges;
}

function leadOfOther({ tracked, others }: SeenWindow): number {
  return highest(others) - tracked.speaker;
}

function highest(scores: readonly SpeakerScore[]): number {
  return Math.max(...scores.map(({ speaker }) => speaker));
}

function shareOfSpeech({ active, stepsPerSecond, voiceFound }: VideoSpeech, start: number): number {
  if (!voiceFound) return 0;
  const first = Math.round((start / speakerFramesPerSecond) * stepsPerSecond);
  const steps = Math.round((windowFrames / speakerFramesPerSecond) * stepsPerSecond);
  return active.subarray(first, first + steps).reduce((sum, value) => sum + value, 0) / steps;
}

/** Rounded to two digits; null without values. */
function roundedMedian(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.round(medianOf(values) * 100) / 100;
}
