import type { Warning } from '../../contract/provider-types.ts';
import { defineRenderTask, type RenderTaskContext } from '../../processes/render-task.ts';
import { traced } from '../../tracing/spans.ts';
import type { FrameRange } from '../picture/decode-filter.ts';
import type { Frame } from '../picture/frame-reader.ts';
import type { ClipFacts, SpeechFacts } from '../media-types.ts';
import type { TakeEncoding } from './take-encoding.ts';
import type { TakeLabel } from './label-picture.ts';
import { openFramesAhead, openTakeAside } from '../threads/media-threads.ts';
import { seamFrameAt, type Timeline } from '../timeline.ts';

export interface TakeLoopOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly workFolder: string;
  readonly takePath: string;
  readonly encoding?: TakeEncoding | undefined;
  /** As in `TakeOptions`. */
  readonly label?: TakeLabel | undefined;
  /** Makes only these frames, without sound; the whole take by default. */
  readonly segment?: TakeSegment | undefined;
}

/** A part of a take that is rendered on its own. Plain data. */
export interface TakeSegment {
  /** Output frames, end exclusive. */
  readonly start: number;
  readonly end: number;
  /** Frames before `start` that are processed but not encoded, for what is smoothed over time. */
  readonly warmUpFrames: number;
}

/** The output frames that are processed. Pure. */
export function processedFrames({ timeline, segment }: Pick<TakeLoopOptions, 'timeline' | 'segment'>): FrameRange {
  if (!segment) return { start: 0, end: timeline.frameCount };
  return { start: segment.start - segment.warmUpFrames, end: segment.end };
}

/** Wall time and volume of one stage of a render task. */
export interface StageFigures {
  readonly stage: string;
  readonly wallMs: number;
  readonly frames: number;
}

/** Result of a render task that makes a take. */
export interface TakeReport {
  readonly warnings: readonly Warning[];
  readonly stages: readonly StageFigures[];
  /** Bytes copied between buffers of this process per output frame; reading and writing pipes does not count. */
  readonly bytesCopiedPerFrame: number;
}

export interface TakeLoopFigures {
  readonly wallMs: number;
  /** When the first frame was processed, on the clock of `performance.now`. */
  readonly firstFrameMs: number;
  /** Bytes that the reader copied between its buffers, per output frame. */
  readonly bytesCopiedPerFrame: number;
}

/**
 * Processes frames between decoder and encoder. At the seams of a loop two frames in a row have the same `index` and
 * different clip frames; they are dissolved afterwards, so that both show a mouth that follows the speech.
 */
export interface FrameStage {
  /** Largest number of frames that it retains at once. */
  readonly heldFrames: number;
  /** Modifies frames in place and yields each one in the same order. */
  apply(frames: AsyncIterable<Frame>): AsyncIterable<Frame>;
}

type TakeLoopContext = Pick<RenderTaskContext, 'signal' | 'onProgress'>;

const progressEveryFrames = 10;
/** Writes that may be pending while the next frames are processed. */
const maxPendingWrites = 3;

/**
 * Decodes the clip in the order of the timeline, applies `stage`, and encodes the frames with the speech. Decoding and
 * encoding run in separate threads. When this resolves, the take is complete and verified; otherwise no file is left.
 */
export function runTakeLoop(
  options: TakeLoopOptions,
  stage: FrameStage,
  context: TakeLoopContext,
): Promise<TakeLoopFigures> {
  const { start, end } = processedFrames(options);
  const attributes = { 'lipsync.frames': end - start };
  return traced('draw and encode', { attributes }, () => drawAndEncode(options, stage, context));
}

async function drawAndEncode(
  options: TakeLoopOptions,
  stage: FrameStage,
  context: TakeLoopContext,
): Promise<TakeLoopFigures> {
  const { clip, timeline, segment } = options;
  const { signal } = context;
  const { start, end } = segment ?? { start: 0, end: timeline.frameCount };
  const startedMs = performance.now();
  const frames = openFramesAhead({
    path: options.clipPath,
    facts: clip,
    timeline,
    ...(segment && { outputs: processedFrames(options) }),
    workFolder: options.workFolder,
    // At a seam each frame that waits to be written has passed with another one.
    keepFrames: maxPendingWrites * 2 + stage.heldFrames + 1,
    withSeams: true,
    signal,
  });
  const take = openTakeAside({
    path: options.takePath,
    width: clip.width,
    height: clip.height,
    frameRate: timeline.frameRate,
    frameCount: end - start,
    color: clip.color,
    ...(!segment && { speech: { path: options.speechPath, facts: options.speech } }),
    encoding: options.encoding,
    // The encoder draws it from the start of its file on; no later segment begins while it is shown.
    label: start === 0 ? options.label : undefined,
    signal,
  });
  const pendingWrites: Promise<void>[] = [];
  let firstFrameMs: number | undefined;
  try {
    for await (const frame of dissolveSeams(stage.apply(frames), timeline)) {
      firstFrameMs ??= performance.now();
      if (frame.index < start) continue;
      const write = take.write(frame.data);
      // Awaited below in order; prevents an unhandled rejection until then.
      write.catch(() => undefined);
      pendingWrites.push(write);
      if (pendingWrites.length > maxPendingWrites) await pendingWrites.shift();
      if (frame.index % progressEveryFrames === 0)
        context.onProgress({ stage: 'rendering', fraction: (frame.index - start) / (end - start) });
    }
    await Promise.all(pendingWrites);
    await take.finish();
  } finally {
    await take.abort();
  }
  const bytesCopiedPerFrame = frames.statistics.bytesCopied / (end - start);
  const endedMs = performance.now();
  return { wallMs: endedMs - startedMs, firstFrameMs: firstFrameMs ?? endedMs, bytesCopiedPerFrame };
}

/** Dissolves the two pictures of each output frame at the seam of a loop into the first one. */
async function* dissolveSeams(frames: AsyncIterable<Frame>, timeline: Timeline): AsyncGenerator<Frame> {
  let first: Frame | undefined;
  for await (const frame of frames) {
    const seam = seamFrameAt(timeline, frame.index);
    if (seam === undefined) {
      yield frame;
    } else if (first === undefined) {
      first = frame;
    } else {
      blendPlanes(first.data, frame.data, seam.weight);
      yield first;
      first = undefined;
    }
  }
}

/** Blends `other` into `target` with the given weight (0–1). */
function blendPlanes(target: Uint8Array, other: Uint8Array, weight: number): void {
  const share = Math.round(weight * 256);
  for (let index = 0; index < target.length; index += 1) {
    const value = target[index] ?? 0;
    target[index] = value + ((((other[index] ?? 0) - value) * share + 128) >> 8);
  }
}

/** Creates a stage that draws into one frame at a time. */
export function drawEach(draw: (frame: Frame) => void): FrameStage {
  return {
    heldFrames: 1,
    async *apply(frames) {
      for await (const frame of frames) {
        draw(frame);
        yield frame;
      }
    },
  };
}

/** Copies the frames of the clip in the order of the timeline and adds the speech. */
export const passThroughRenderTask = defineRenderTask<typeof passThroughTask>(
  './take-loop',
  'passThroughTask',
  import.meta.url,
);

export async function passThroughTask(
  input: TakeLoopOptions,
  context: Pick<RenderTaskContext, 'signal' | 'onProgress'>,
): Promise<TakeReport> {
  const figures = await runTakeLoop(
    input,
    drawEach(() => undefined),
    context,
  );
  return {
    warnings: [],
    stages: [{ stage: 'rendering', wallMs: figures.wallMs, frames: input.timeline.frameCount }],
    bytesCopiedPerFrame: figures.bytesCopiedPerFrame,
  };
}
