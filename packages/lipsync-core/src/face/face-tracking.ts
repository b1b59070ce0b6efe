import type { Warning } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { createFaceDetector } from './face-detector.ts';
import type { FaceTrack } from './face-types.ts';
import { GrowingTrack } from './growing-track.ts';
import { followFaces } from './track-faces.ts';
import { openTrackFile } from './track-file.ts';
import { clipFrameAt, type ClipFacts, type Frame, type StageFigures, type Timeline } from '../media/index.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import { absentFramesWarning, hiddenMouthWarnings, severalFacesWarning } from './face-warnings.ts';

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

/** What is known of the shown face after its last frame was tracked. */
export interface TrackedFace {
  /** `FollowedFace.close` closes it. */
  readonly track: FaceTrack;
  /** Reports the shown frames without a face, with a hidden mouth and with several faces. */
  readonly warnings: readonly Warning[];
  readonly figures: StageFigures;
}

/** Tracks the face through the part of the clip that the timeline shows, while earlier frames are rendered. */
export class FollowedFace {
  /** Its frames count from the clip frame `firstFrame`. */
  readonly track: GrowingTrack;
  readonly firstFrame: number;
  readonly #options: TrackShownFaceOptions;
  readonly #wallMs: Promise<number>;

  /** `startedMs`: when the work for the track started. */
  constructor(options: TrackShownFaceOptions, track: GrowingTrack, startedMs: number) {
    this.#options = options;
    this.track = track;
    this.firstFrame = options.timeline.windowStart;
    const sinceStartMs = (): number => performance.now() - startedMs;
    this.#wallMs = track.complete().then(sinceStartMs, sinceStartMs);
  }

  /** Index in the track of a frame of the clip. */
  indexOf({ clipFrame }: Pick<Frame, 'clipFrame'>): number {
    return clipFrame - this.firstFrame;
  }

  /** Passes frames of the clip on as soon as their faces can be read. Throws the errors of tracking. */
  async *whenTracked(frames: AsyncIterable<Frame>): AsyncGenerator<Frame> {
    for await (const frame of frames) {
      await this.track.ready(this.indexOf(frame));
      yield frame;
    }
  }

  /** Waits for the end of tracking. Throws the errors of `trackFaces`. */
  async complete(): Promise<TrackedFace> {
    const track = await this.track.complete();
    const { ranges } = findShownAbsence(track.absentRanges, this.#options.timeline);
    return {
      track,
      warnings: faceWarnings(track, ranges, this.#options),
      figures: { stage: 'tracking', wallMs: await this.#wallMs, frames: track.cached ? 0 : track.frameCount },
    };
  }

  /** Ends tracking and closes the track. */
  close(): Promise<void> {
    return this.track.close();
  }
}

/**
 * Starts to track the face and returns when the first shown face can be read. The caller closes the result, after which
 * no temporary file is left. Throws `clip_unusable` when no shown frame has a face, and the errors of `trackFaces`.
 */
export async function followShownFace(
  options: TrackShownFaceOptions,
  context: RenderTaskContext,
): Promise<FollowedFace> {
  const startedMs = performance.now();
  let isWaiting = true;
  // Afterwards the progress is that of rendering.
  const onProgress = (fraction: number): void => {
    if (isWaiting) context.onProgress({ stage: 'tracking', fraction });
  };
  const followed = new FollowedFace(options, await openTrack(options, context, onProgress), startedMs);
  try {
    await requireShownFace(followed.track, options.timeline);
    isWaiting = false;
    return followed;
  } catch (error) {
    await followed.close();
    throw error;
  }
}

/** Waits for the first shown face. Throws `clip_unusable` when there is none. */
async function requireShownFace(track: GrowingTrack, timeline: Timeline): Promise<void> {
  for (const [index, isShown] of shownFrames(timeline).entries()) {
    if (isShown === 0) continue;
    await track.ready(index);
    if (track.frame(index).presence !== 'absent') return;
  }
  // A clip without any face has an error of its own.
  const { absentRanges } = await track.complete();
  if (findShownAbsence(absentRanges, timeline).isFaceShown) return;
  throw new LipsyncError(
    'clip_unusable',
    'No face is visible in the part of the clip that is used. Choose another part with start_ms and end_ms, or a clip that shows a face.',
  );
}

function openGivenTrack(path: string, { start, end }: FrameRange): FaceTrack {
  const opening = openTrackFile(path, true);
  if (opening.state === 'intact' && opening.track.frameCount === end - start) return opening.track;
  if (opening.state === 'intact') opening.track.close();
  throw new LipsyncError('media_failed', 'The shared face track of the job cannot be read. Try again.');
}

async function openTrack(
  options: TrackShownFaceOptions,
  { resources, signal }: RenderTaskContext,
  onProgress: (fraction: number) => void,
): Promise<GrowingTrack> {
  const { trackPath } = options;
  const range = trackedRange(options.timeline);
  if (trackPath !== undefined)
    return new GrowingTrack(range.end - range.start, async () => openGivenTrack(trackPath, range), signal);
  return followFaces({
    clipPath: options.clipPath,
    clipDigest: options.clipDigest,
    clip: options.clip,
    range,
    detector: await resources.get(createFaceDetector),
    cacheDir: options.trackCacheFolder,
    workDir: options.workFolder,
    copyPath: options.copyPath,
    signal,
    onProgress,
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
