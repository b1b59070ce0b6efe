import type { BoxTrack } from './face-boxes.ts';

/** Frames per second at which SyncNet works. */
export const syncFramesPerSecond = 25;
/** Frames that are scored by default, and per stretch. */
const maxScoredFrames = 10 * syncFramesPerSecond;
const stretchFrames = 2 * syncFramesPerSecond;
/** Distance of the stretches that are compared, about half a second. */
const candidateStep = 12;

/** Consecutive windows of a track: window i covers the frames i … i + 4. */
export interface Stretch {
  readonly track: BoxTrack;
  /** First window and exclusive end, in frames of the video at 25 fps. */
  readonly start: number;
  readonly end: number;
}

/** Frames that the windows of a track need beyond its last one; the protocol drops one more window than they cover. */
export const droppedWindows = 5;

/** First window and exclusive end of a track, of which sound exists for `soundFrames` frames. */
export function windowsOf(
  { start, boxes }: BoxTrack,
  soundFrames: number,
): { readonly start: number; readonly end: number } {
  return { start, end: Math.min(start + boxes.length, soundFrames) - droppedWindows };
}

export interface StretchOptions {
  /** Frames that the sound covers. */
  readonly soundFrames: number;
  /** Loudness of a frame, in any unit that rises with it; louder stretches are preferred. */
  loudnessAt(frame: number): number;
  readonly maxFrames?: number;
}

/** All windows of all tracks. */
export function allStretches(tracks: readonly BoxTrack[], { soundFrames }: StretchOptions): readonly Stretch[] {
  return tracks.map((track) => ({ track, ...windowsOf(track, soundFrames) })).filter(({ start, end }) => end > start);
}

/**
 * Stretches of two seconds, at most 10 s in total, spread evenly over the frames with a face; in each part of the video the
 * loudest one. All windows when there are not more.
 */
export function chooseStretches(tracks: readonly BoxTrack[], options: StretchOptions): readonly Stretch[] {
  const all = allStretches(tracks, options);
  const { maxFrames = maxScoredFrames, loudnessAt } = options;
  const total = all.reduce((sum, { start, end }) => sum + end - start, 0);
  if (total <= maxFrames) return all;
  const parts = Math.max(1, Math.floor(maxFrames / stretchFrames));
  return Array.from({ length: parts }, (_, part) => {
    const range = { start: Math.floor((part * total) / parts), end: Math.floor(((part + 1) * total) / parts) };
    return loudestIn(candidatesIn(all, range), loudnessAt);
  }).filter((stretch) => stretch !== undefined);
}

/** Stretches whose windows are in a range, counted over the windows of all tracks. */
function candidatesIn(all: readonly Stretch[], range: { readonly start: number; readonly end: number }): Stretch[] {
  const candidates: Stretch[] = [];
  let before = 0;
  for (const { track, start, end } of all) {
    const first = start + Math.max(0, range.start - before);
    const last = Math.min(end, start + range.end - before);
    const length = Math.min(stretchFrames, last - first);
    for (let from = first; length > 0 && from + length <= last; from += candidateStep)
      candidates.push({ track, start: from, end: from + length });
    before += end - start;
  }
  return candidates;
}

function loudestIn(candidates: readonly Stretch[], loudnessAt: (frame: number) => number): Stretch | undefined {
  let best: { readonly stretch: Stretch; readonly loudness: number } | undefined;
  for (const stretch of candidates) {
    let loudness = 0;
    for (let frame = stretch.start; frame < stretch.end; frame += 1) loudness += loudnessAt(frame);
    if (!best || loudness > best.loudness) best = { stretch, loudness };
  }
  return best?.stretch;
}
