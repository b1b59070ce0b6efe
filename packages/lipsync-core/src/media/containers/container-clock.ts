import type { ProbeReport } from '../ffprobe.ts';

/** Longest pause of a clock that is taken for a hole, and not for another clock; ffmpeg uses the same threshold. */
export const longestHoleS = 10;

/** Containers that count from 0 and have an index of their keyframes: MP4, MOV and 3GP; Matroska and WebM. */
const indexedFormats = /\b(?:mp4|matroska)\b/;
/** Formats that are joined and broadcast without new time stamps. */
const jumpingFormats = /^(?:mpegts|mpeg|flv)$/;

/** Whether ffmpeg seeks in a container to the frame that was requested. */
export function hasKeyframeIndex({ format }: ProbeReport): boolean {
  return indexedFormats.test(format.format_name);
}

/**
 * Time in a container, in seconds, at which a player displays 0: time 0 itself where the container counts from there. A
 * clock that starts much later belongs to a part of a recording, which is played from its start, as in other formats.
 */
export function playerZeroS(report: ProbeReport): number {
  const { start_time: startS = 0 } = report.format;
  return hasKeyframeIndex(report) && startS < longestHoleS ? 0 : startS;
}

/** Directions in which a clock jumps. */
export type ClockJumps = 'none' | 'backward' | 'both';

/** How the clock of a container may jump. */
export function clockJumpsOf({ format: { format_name: name } }: ProbeReport): ClockJumps {
  // Behind a cut of an edit list, hidden packets lie before it in time.
  if (/\bmp4\b/.test(name)) return 'none';
  return jumpingFormats.test(name) ? 'both' : 'backward';
}
