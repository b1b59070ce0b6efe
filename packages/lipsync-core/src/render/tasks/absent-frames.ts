import { framesPerSecond, type FrameRate } from '../../media/index.ts';
import type { Warning } from '../../providers/provider.ts';

const maxRangesNamed = 20;

/** Says in which parts of the clip no face was found, in clip time; nothing when there is none. `firstFrame` is where the ranges count from. */
export function absentFramesWarning(
  ranges: readonly { readonly start: number; readonly end: number }[], firstFrame: number, frameRate: FrameRate,
): Warning[] {
  if (ranges.length === 0) return [];
  const frames = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const seconds = (frame: number): string => ((firstFrame + frame) / framesPerSecond(frameRate)).toFixed(2);
  const named = ranges.slice(0, maxRangesNamed).map(({ start, end }) => `${seconds(start)}–${seconds(end)} s`);
  const more = ranges.length > maxRangesNamed ? ` and ${ranges.length - maxRangesNamed} more` : '';
  return [{ code: 'frames_without_face', message: `${frames} frames without a face were passed through: ${named.join(', ')}${more} of the clip.` }];
}
