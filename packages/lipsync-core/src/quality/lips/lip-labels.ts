import type { QualityLabel, QualityRange, SyncQuality } from '../../contract/quality.ts';
import type { LabelDefinition } from '../analyzer.ts';

interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/** What a label of a definition states about one video. */
export interface LabelFacts {
  readonly message: string;
  readonly ranges: readonly QualityRange[];
  readonly value: number;
}

export function toLabel({ code, threshold, fatal }: LabelDefinition, facts: LabelFacts): QualityLabel {
  return { code, ...facts, value: Math.round(facts.value * 1000) / 1000, threshold, fatal };
}

/** Ranges of frames as times of the video. */
export function toTimes(ranges: readonly FrameRange[], framesPerSecond: number): QualityRange[] {
  const toMs = (frame: number): number => Math.round((frame * 1000) / framesPerSecond);
  return ranges.map(({ start, end }) => ({ startMs: toMs(start), endMs: toMs(end) }));
}

/** Runs of frames with a flag, joined over gaps of up to `longestGap` frames. */
export function rangesWhere(frameCount: number, isSet: (frame: number) => boolean, longestGap = 0): FrameRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (let frame = 0; frame < frameCount; frame += 1) {
    if (!isSet(frame)) continue;
    const last = ranges.at(-1);
    if (last && frame - last.end <= longestGap) last.end = frame + 1;
    else ranges.push({ start: frame, end: frame + 1 });
  }
  return ranges;
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
