import { clipFrameAt, framesPerSecond, seamFrameAt, type TakeSegment, type Timeline } from '../../media/index.ts';

/** Color and sharpness corrections are smoothed by 0.12 per frame: after so many, 13 % of the difference is left. */
const warmUpFrames = 16;
/** Largest distance of a cut from where it would make all segments equally long, in segments. */
const searchShare = 0.4;
/** Segments are not shorter than this share of the wanted length. */
const smallestShare = 0.25;
const maxSegments = 200;

/** Where a take may be cut. */
export interface SegmentPlanInput {
  readonly timeline: Timeline;
  /** First frame of each shot, relative to the first frame of the window. */
  readonly shotStarts: readonly number[];
  /** Voice activity per output frame; 0 in pauses. */
  readonly voiced: Float32Array;
  /** No segment but the first begins before this frame; 0 by default. */
  readonly firstCut?: number;
  /** Wanted number of segments. */
  readonly count: number;
}

/** A frame that a segment may begin with, and how well it suits. */
interface Cut {
  readonly frame: number;
  readonly startsShot: boolean;
  /** Length in frames of the pause around it; 0 without one. */
  readonly pauseFrames: number;
}

/**
 * The number of segments of about `segmentMs` for an output: a multiple of the workers, so that all of them end at
 * about the same time, unless the segments would become very short. 1 for an output that is not longer than a segment.
 * Pure.
 */
export function countSegments(
  { durationMs }: Pick<Timeline, 'durationMs'>,
  { segmentMs, workers }: { readonly segmentMs: number; readonly workers: number },
): number {
  if (segmentMs <= 0 || workers < 2 || durationMs <= segmentMs) return 1;
  const even = Math.ceil(Math.ceil(durationMs / segmentMs) / workers) * workers;
  return Math.max(2, Math.min(even, maxSegments, Math.floor(durationMs / (segmentMs * smallestShare))));
}

/**
 * Splits a take into at most `count` segments of similar length: each ends at the best cut near its even boundary. A
 * boundary without a cut nearby is left out. A shot is better than a pause, and a long pause better than a short one. Pure.
 */
export function planSegments(input: SegmentPlanInput): readonly TakeSegment[] {
  const { timeline, count } = input;
  const { frameCount } = timeline;
  const length = frameCount / count;
  const cuts = listCuts(input);
  const chosen: Cut[] = [];
  for (let boundary = 1; boundary < count; boundary += 1) {
    const wanted = boundary * length;
    const earliest = Math.max((chosen.at(-1)?.frame ?? 0) + length * smallestShare, wanted - length * searchShare);
    const near = cuts.filter(({ frame }) => frame >= earliest && frame <= wanted + length * searchShare);
    const best = near.sort((first, second) => rate(second, wanted) - rate(first, wanted))[0];
    if (best) chosen.push(best);
  }
  const shots = cuts.filter(({ startsShot }) => startsShot).map(({ frame }) => frame);
  return [{ frame: 0, startsShot: true }, ...chosen].map(({ frame, startsShot }, index) => {
    const shotStart = shots.findLast((start) => start <= frame) ?? 0;
    const warmUp = startsShot ? 0 : Math.min(warmUpFrames, frame - shotStart);
    return { start: frame, end: chosen[index]?.frame ?? frameCount, warmUpFrames: warmUp };
  });

  function rate({ frame, startsShot, pauseFrames }: Cut, wanted: number): number {
    const distance = Math.abs(frame - wanted) / length;
    const pauseSeconds = pauseFrames / framesPerSecond(timeline.frameRate);
    return (startsShot ? 2 : Math.min(1, pauseSeconds)) - distance;
  }
}

function listCuts(input: SegmentPlanInput): Cut[] {
  const { timeline, firstCut = 0 } = input;
  const isAtSeam = (frame: number): boolean =>
    seamFrameAt(timeline, frame) !== undefined || seamFrameAt(timeline, frame - 1) !== undefined;
  return [...listShots(input), ...listPauses(input)]
    .filter(({ frame }) => frame > 0 && frame >= firstCut && !isAtSeam(frame))
    .sort((first, second) => first.frame - second.frame);
}

function listShots({ timeline, shotStarts }: SegmentPlanInput): Cut[] {
  const cuts: Cut[] = [];
  const shotAt = (frame: number): number => {
    const index = clipFrameAt(timeline, frame) - timeline.windowStart;
    return shotStarts.findLastIndex((start) => start <= index);
  };
  let shot = shotAt(0);
  for (let frame = 1; frame < timeline.frameCount; frame += 1) {
    const next = shotAt(frame);
    const jumpsBack = clipFrameAt(timeline, frame) < clipFrameAt(timeline, frame - 1) - 1;
    if (next !== shot || jumpsBack) cuts.push({ frame, startsShot: true, pauseFrames: 0 });
    shot = next;
  }
  return cuts;
}

/** The middle of each pause. */
function listPauses({ timeline, voiced }: SegmentPlanInput): Cut[] {
  const cuts: Cut[] = [];
  let start: number | undefined;
  for (let frame = 0; frame <= timeline.frameCount; frame += 1) {
    const isPause = frame < timeline.frameCount && voiced[frame] === 0;
    if (isPause) start ??= frame;
    if (isPause || start === undefined) continue;
    const pauseFrames = frame - start;
    cuts.push({ frame: start + Math.floor(pauseFrames / 2), startsShot: false, pauseFrames });
    start = undefined;
  }
  return cuts;
}
