import type { Warning } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { createFaceDetector } from './face-detector.ts';
import type { FaceTrack } from './face-types.ts';
import { trackFaces, trackFacesTo } from './track-faces.ts';
import { openTrackFile } from './track-file.ts';
import { clipFrameAt, type ClipFacts, type StageFigures, type Timeline } from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { annotateSpan, traced } from '../tracing/spans.ts';
import { absentFramesWarning, hiddenMouthWarnings, severalFacesWarning } from './face-warnings.ts';

export interface TrackedFace {
  /** Its frames count from the clip frame `firstFrame`. */
  readonly track: FaceTrack;
  readonly firstFrame: number;
  /** Reports the shown frames without a face, with a hidden mouth and with several faces. */
  readonly warnings: readonly Warning[];
  readonly figures: StageFigures;
}

export interface TrackShownFaceOptions {
  readonly clipPath: string;
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
  readonly trackCacheFolder: string;
  readonly workFolder: string;
  /** A file of `shareTrackTask` for the same timeline, which is read in place of tracking. */
  readonly trackPath?: string | undefined;
  /** Where a copy of the track is left for other workers; nowhere by default. */
  readonly copyPath?: string | undefined;
}

/**
 * Tracks the face through the part of the clip that the timeline shows. The caller closes the track. Throws
 * `clip_unusable` when no shown frame has a face, and the errors of `trackFaces`.
 */
export async function trackShownFace(options: TrackShownFaceOptions, context: RenderTaskContext): Promise<TrackedFace> {
  const { timeline } = options;
  const startedMs = performance.now();
  const range = trackedRange(timeline);
  const track =
    options.trackPath === undefined
      ? await trackClip(options, range, context)
      : openGivenTrack(options.trackPath, range);
  const { ranges, isFaceShown } = findShownAbsence(track.absentRanges, timeline);
  if (!isFaceShown) {
    track.close();
    throw new LipsyncError(
      'clip_unusable',
      'No face is visible in the part of the clip that is used. Choose another part with start_ms and end_ms, or a clip that shows a face.',
    );
  }
  return {
    track,
    firstFrame: range.start,
    warnings: faceWarnings(track, ranges, options),
    figures: { stage: 'tracking', wallMs: performance.now() - startedMs, frames: track.cached ? 0 : track.frameCount },
  };
}

function openGivenTrack(path: string, { start, end }: FrameRange): FaceTrack {
  const opening = openTrackFile(path, true);
  if (opening.state === 'intact' && opening.track.frameCount === end - start) return opening.track;
  if (opening.state === 'intact') opening.track.close();
  throw new LipsyncError('media_failed', 'The shared face track of the job cannot be read. Try again.');
}

function trackClip(options: TrackShownFaceOptions, range: FrameRange, context: RenderTaskContext): Promise<FaceTrack> {
  const { copyPath } = options;
  return traced('track face', {}, async () => {
    const request = {
      clipPath: options.clipPath,
      clipDigest: options.clipDigest,
      clip: options.clip,
      range,
      detector: await context.resources.get(createFaceDetector),
      cacheDir: options.trackCacheFolder,
      workDir: options.workFolder,
      signal: context.signal,
      onProgress: (fraction: number) => context.onProgress({ stage: 'tracking', fraction }),
    };
    const followed = copyPath === undefined ? await trackFaces(request) : await trackFacesTo(copyPath, request);
    annotateSpan({ 'lipsync.frames': followed.frameCount, 'lipsync.cached': followed.cached });
    return followed;
  });
}

function faceWarnings(
  { faceChoices, hiddenRanges }: FaceTrack,
  absentRanges: readonly AbsentRange[],
  { clip, timeline }: TrackShownFaceOptions,
): readonly Warning[] {
  const times = { firstFrame: timeline.windowStart, frameRate: clip.frameRate, isStill: clip.frameCount === 1 };
  return [
    ...severalFacesWarning(keepShown(faceChoices, timeline), times),
    ...absentFramesWarning(absentRanges, times),
    ...hiddenMouthWarnings(keepShown(hiddenRanges, timeline), times),
  ];
}

/** Windows of up to this many frames are tracked as a whole, so that another speech finds the track in the cache. */
const wholeWindowFrames = 750;

/**
 * The clip frames to track, end exclusive: all that the timeline shows, rounded up to few distinct lengths. Speeches of
 * similar length then share a cached track, and a short speech does not wait for a long clip.
 */
export function trackedRange(timeline: Timeline): { readonly start: number; readonly end: number } {
  const { windowStart, windowLength } = timeline;
  const used = countUsedFrames(timeline);
  let length = wholeWindowFrames;
  while (length < used) length *= 2;
  return { start: windowStart, end: windowStart + Math.min(windowLength, length) };
}

/** Number of clip frames from the first one of the window to the last one that the timeline shows. */
export function countUsedFrames({ windowLength, frameCount, syncMode }: Timeline): number {
  return syncMode === 'remap' ? windowLength : Math.min(windowLength, frameCount);
}

/**
 * A range of clip frames without a face, relative to the window's first frame, and the number of them that are shown.
 */
export interface AbsentRange {
  readonly start: number;
  readonly end: number;
  readonly shownFrames: number;
}

export interface ShownAbsence {
  readonly ranges: readonly AbsentRange[];
  /** Whether any shown frame has a face. */
  readonly isFaceShown: boolean;
}

/**
 * Reduces a track's absent ranges to the frames that the timeline shows, because a track may be longer than the speech.
 */
export function findShownAbsence(
  absentRanges: readonly { readonly start: number; readonly end: number }[],
  timeline: Timeline,
): ShownAbsence {
  const shown = shownFrames(timeline);
  const ranges = shownParts(absentRanges, shown);
  const absentFrames = ranges.reduce((total, { shownFrames }) => total + shownFrames, 0);
  return { ranges, isFaceShown: absentFrames < sum(shown) };
}

/** Reduces ranges of a track to the frames that the timeline shows; drops ranges that it does not show. */
function keepShown<Range extends FrameRange>(ranges: readonly Range[], timeline: Timeline): readonly Range[] {
  return shownParts(ranges, shownFrames(timeline));
}

interface FrameRange {
  readonly start: number;
  readonly end: number;
}

/** For each frame of the window, 1 when the timeline shows it. */
function shownFrames(timeline: Timeline): Uint8Array {
  const shown = new Uint8Array(timeline.windowLength);
  for (let index = 0; index < timeline.frameCount; index += 1)
    shown[clipFrameAt(timeline, index) - timeline.windowStart] = 1;
  return shown;
}

function shownParts<Range extends FrameRange>(
  ranges: readonly Range[],
  shown: Uint8Array,
): (Range & { readonly shownFrames: number })[] {
  return ranges.flatMap((range) => {
    const part = shown.subarray(range.start, range.end);
    const first = part.indexOf(1);
    if (first < 0) return [];
    return {
      ...range,
      start: range.start + first,
      end: range.start + part.lastIndexOf(1) + 1,
      shownFrames: sum(part),
    };
  });
}

function sum(flags: Uint8Array): number {
  return flags.reduce((total, flag) => total + flag, 0);
}
