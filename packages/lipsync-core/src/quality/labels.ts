import type { QualityLabel, QualityRange } from '../contract/quality.ts';
import type { LabelDefinition } from './analyzer.ts';

/** A range of frames, blocks, steps or milliseconds; the end is exclusive. */
export interface IndexRange {
  readonly start: number;
  readonly end: number;
}

/** The runs of indexes for which `test` holds, joined over at most `bridged` others. */
export function findRuns(length: number, test: (index: number) => boolean, bridged = 0): IndexRange[] {
  const runs: { start: number; end: number }[] = [];
  for (let index = 0; index < length; index += 1) {
    if (!test(index)) continue;
    const last = runs.at(-1);
    if (last && index - last.end <= bridged) last.end = index + 1;
    else runs.push({ start: index, end: index + 1 });
  }
  return runs;
}

/** Ranges of frames as times of the video. */
export function toTimes(ranges: readonly IndexRange[], framesPerSecond: number): QualityRange[] {
  const toMs = (frame: number): number => Math.round((frame * 1000) / framesPerSecond);
  return ranges.map(({ start, end }) => ({ startMs: toMs(start), endMs: toMs(end) }));
}

/** Makes a label of its definition. The value is rounded to four decimals. */
export function toLabel(
  { code, threshold, fatal }: LabelDefinition,
  { message, ranges, value }: Pick<QualityLabel, 'message' | 'ranges' | 'value'>,
): QualityLabel {
  return { code, message, ranges, value: Math.round(value * 10_000) / 10_000, threshold, fatal };
}
