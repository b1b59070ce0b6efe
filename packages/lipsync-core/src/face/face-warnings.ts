import type { Warning } from '../contract/provider-types.ts';
import type { FaceChoice, FacePlace, HiddenRange, HiddenReason } from './face-types.ts';
import { framesPerSecond, type FrameRate } from '../media/index.ts';

/** How frames of a track are stated as times of the clip. */
export interface ClipTimes {
  /** The clip frame that ranges count from. */
  readonly firstFrame: number;
  readonly frameRate: FrameRate;
  /** Whether the clip is a still image, which has no times. */
  readonly isStill: boolean;
}

interface FrameRange {
  readonly start: number;
  readonly end: number;
}

const maximumListedRanges = 20;

/** Lists ranges as times of the clip, such as "2.00–5.00 s of the clip". */
function listTimes(ranges: readonly FrameRange[], { firstFrame, frameRate }: ClipTimes): string {
  const seconds = (frame: number): string => ((firstFrame + frame) / framesPerSecond(frameRate)).toFixed(2);
  const listed = ranges
    .slice(0, maximumListedRanges)
    .map(({ start, end }) => `${seconds(start)}–${seconds(end)} s`)
    .join(', ');
  const rest = ranges.length > maximumListedRanges ? ` and ${ranges.length - maximumListedRanges} more` : '';
  return `${listed}${rest} of the clip`;
}

/** Lists the shown ranges without a face. */
export function absentFramesWarning(
  ranges: readonly (FrameRange & { readonly shownFrames: number })[],
  times: ClipTimes,
): Warning[] {
  if (ranges.length === 0) return [];
  const frames = ranges.reduce((total, { shownFrames }) => total + shownFrames, 0);
  const counted = frames === 1 ? '1 frame without a face was' : `${frames} frames without a face were`;
  return [
    {
      code: 'frames_without_face',
      message: `${counted} left unchanged: ${listTimes(ranges, times)}.`,
    },
  ];
}

export const hiddenMouths: Readonly<Record<HiddenReason, { readonly code: string; readonly fault: string }>> = {
  covered: { code: 'mouth_covered', fault: 'Something covers the mouth' },
  overexposed: { code: 'mouth_overexposed', fault: 'The mouth is overexposed' },
  blurred: { code: 'mouth_blurred', fault: 'The mouth is blurred' },
  turned_away: { code: 'face_turned_away', fault: 'The face is turned away' },
  too_small: { code: 'mouth_too_small', fault: 'The mouth is too small to be redrawn' },
};

/** One warning per reason, with the ranges in which the picture fades to the original. */
export function hiddenMouthWarnings(ranges: readonly HiddenRange[], times: ClipTimes): Warning[] {
  return Object.entries(hiddenMouths).flatMap(([reason, { code, fault }]) => {
    const hidden = ranges.filter((range) => range.reason === reason);
    if (hidden.length === 0) return [];
    const message = times.isStill
      ? `${fault}. The picture was left unchanged.`
      : `${fault}. The picture fades to the original there: ${listTimes(hidden, times)}.`;
    return [{ code, message }];
  });
}

const maximumListedChoices = 5;

/** Names the face that was chosen where several are visible. */
export function severalFacesWarning(choices: readonly FaceChoice[], times: ClipTimes): Warning[] {
  if (choices.length === 0) return [];
  const listed = choices.slice(0, maximumListedChoices).map((choice) => describeChoice(choice, times));
  const unlisted = choices.length - maximumListedChoices;
  const rest = unlisted > 0 ? ` ${unlisted} more ${unlisted === 1 ? 'time' : 'times'}.` : '';
  return [
    {
      code: 'several_faces',
      message: `Several faces are visible. ${listed.join(' ')}${rest} Crop the clip to the speaker if another face is meant.`,
    },
  ];
}

function describeChoice(choice: FaceChoice, times: ClipTimes): string {
  const { chosen, others } = choice;
  const faces = [chosen, ...others];
  const nameOf = (face: FacePlace): string => `${sideOf(face, faces)} (${Math.round(face.height)} pixels high)`;
  const neighbors = others.map((other) => `the one ${nameOf(other)}${other.isStill ? ', which never moves' : ''}`);
  const when = times.isStill ? 'The' : `${listTimes([choice], times)}: the`;
  return `${when} face ${nameOf(chosen)} was chosen, not ${neighbors.join(' or ')}.`;
}

/** Side of a face among all faces, along the direction in which they are farther apart. */
function sideOf(face: FacePlace, faces: readonly FacePlace[]): string {
  const xs = faces.map(({ x }) => x);
  const ys = faces.map(({ y }) => y);
  const isRow = Math.max(...xs) - Math.min(...xs) >= Math.max(...ys) - Math.min(...ys);
  const [value, values] = isRow ? [face.x, xs] : [face.y, ys];
  if (value === Math.min(...values)) return isRow ? 'on the left' : 'at the top';
  if (value === Math.max(...values)) return isRow ? 'on the right' : 'at the bottom';
  return 'in the middle';
}
