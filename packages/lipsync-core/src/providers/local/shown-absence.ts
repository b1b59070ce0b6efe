import { clipFrameAt, type Timeline } from '../../media/index.ts';

/** A stretch of clip frames without a face, counted from the window's first frame, and how many of them are shown. */
export interface AbsentStretch {
  readonly start: number;
  readonly end: number;
  readonly shownFrames: number;
}

export interface ShownAbsence {
  readonly stretches: readonly AbsentStretch[];
  /** Whether any frame that is shown has a face. */
  readonly faceShown: boolean;
}

/**
 * What of a track's frames without a face the timeline shows. More of a clip is tracked than a short speech uses; what
 * nobody sees is nobody's concern.
 */
export function shownAbsence(
  absentRanges: readonly { readonly start: number; readonly end: number }[],
  timeline: Timeline,
): ShownAbsence {
  const shown = new Uint8Array(timeline.windowLength);
  for (let index = 0; index < timeline.frameCount; index += 1)
    shown[clipFrameAt(timeline, index) - timeline.windowStart] = 1;
  const stretches: AbsentStretch[] = [];
  for (const range of absentRanges) {
    const part = shown.subarray(range.start, range.end);
    const first = part.indexOf(1);
    if (first < 0) continue;
    stretches.push({
      start: range.start + first,
      end: range.start + part.lastIndexOf(1) + 1,
      shownFrames: countOf(part),
    });
  }
  const absent = stretches.reduce((sum, { shownFrames }) => sum + shownFrames, 0);
  return { stretches, faceShown: absent < countOf(shown) };
}

function countOf(marks: Uint8Array): number {
  return marks.reduce((sum, mark) => sum + mark, 0);
}
