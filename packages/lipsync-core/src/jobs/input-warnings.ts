import { framesPerSecond, type ClipFacts } from '../media/index.ts';
import type { Warning } from '../contract/provider-types.ts';

/** Describes how the pictures of a take differ from those of its clip. */
export function listClipWarnings({
  interlacing,
  lowFrameRate,
  frameRate,
  transparent,
  kind,
}: ClipFacts): readonly Warning[] {
  const warnings: Warning[] = [];
  if (interlacing !== undefined) {
    const mark = interlacing === 'marked' ? '' : ', although its frames are marked as progressive';
    warnings.push({ code: 'clip_interlaced', message: `The clip is interlaced${mark}; it was deinterlaced.` });
  }
  if (lowFrameRate !== undefined)
    warnings.push({
      code: 'low_frame_rate',
      message: `The frame rate of the clip (${round(lowFrameRate)} per second) is too low for the movement of a mouth; frames were repeated at ${round(framesPerSecond(frameRate))} per second.`,
    });
  if (transparent)
    warnings.push({
      code: 'transparent_picture',
      message: `The ${kind === 'still' ? 'image' : 'clip'} has transparency; its transparent parts are black in the output. Place it on a background for another color.`,
    });
  return warnings;
}

function round(rate: number): string {
  return String(Math.round(rate * 100) / 100);
}
