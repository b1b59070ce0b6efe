import { framesPerSecond, type FrameRate } from '../../media/index.ts';
import type { AbsentStretch } from './shown-absence.ts';
import type { Warning } from '../../contract/provider-types.ts';

const maxRangesNamed = 20;

/** Says in which parts of the clip that are shown no face was found, in clip time; nothing when there is none. `firstFrame` is where the stretches count from. */
export function absentFramesWarning(
  stretches: readonly AbsentStretch[],
  firstFrame: number,
  frameRate: FrameRate,
): Warning[] {
  if (stretches.length === 0) return [];
  const frames = stretches.reduce((sum, { shownFrames }) => sum + shownFrames, 0);
  const seconds = (frame: number): string => ((firstFrame + frame) / framesPerSecond(frameRate)).toFixed(2);
  const named = stretches.slice(0, maxRangesNamed).map(({ start, end }) => `${seconds(start)}–${seconds(end)} s`);
  const more = stretches.length > maxRangesNamed ? ` and ${stretches.length - maxRangesNamed} more` : '';
  return [
    {
      code: 'frames_without_face',
      message: `${frames} frames without a face were passed through: ${named.join(', ')}${more} of the clip.`,
    },
  ];
}
