import type { Warning } from '../contract/provider-types.ts';
import type { RenderTaskContext } from '../processes/render-task.ts';
import type { Frame } from './frame-reader.ts';
import type { ClipFacts, SpeechFacts } from './media-types.ts';
import { openFramesAhead } from './threads/frames-ahead.ts';
import { openTakeAside } from './threads/take-aside.ts';
import type { Timeline } from './timeline.ts';

export interface TakeLoopOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly workFolder: string;
  readonly takePath: string;
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
  /** Bytes that the decoder side moved between its own buffers, per output frame. */
  readonly bytesCopiedPerFrame: number;
}

/** What happens to frames between decoder and encoder. */
export interface FrameStage {
  /** Frames that it holds at once, at most. */
  readonly heldFrames: number;
  /** Changes frames in place and passes every one on, in the same order. */
  apply(frames: AsyncIterable<Frame>): AsyncIterable<Frame>;
}

const progressEveryFrames = 10;
/** Frames that may be on their way to the encoder while the next ones are worked on. */
const framesOnTheWay = 3;

/**
 * Decodes the clip along the timeline, lets `stage` change the frames, and encodes them with the speech. Frames
 * are read ahead and written behind in threads of their own while this one draws. The take is complete and measured when this resolves;
 * otherwise nothing of it is left.
 */
export async function runTakeLoop(
  options: TakeLoopOptions,
  stage: FrameStage,
  context: Pick<RenderTaskContext, 'signal' | 'onProgress'>,
): Promise<TakeLoopFigures> {
  const { clip, timeline } = options;
  const { signal } = context;
  const startedMs = performance.now();
  const frames = openFramesAhead({
    path: options.clipPath,
    facts: clip,
    timeline,
    workFolder: options.workFolder,
    keepFrames: framesOnTheWay + stage.heldFrames,
    signal,
  });
  const take = openTakeAside({
    path: options.takePath,
    width: clip.width,
    height: clip.height,
    frameRate: timeline.frameRate,
    frameCount: timeline.frameCount,
    color: clip.color,
    speech: { path: options.speechPath, facts: options.speech },
    signal,
  });
  const onTheWay: Promise<void>[] = [];
  try {
    for await (const frame of stage.apply(frames)) {
      const write = take.write(frame.data);
      // Awaited below, in order; one that fails early must not count as unheard.
      write.catch(() => undefined);
      onTheWay.push(write);
      if (onTheWay.length > framesOnTheWay) await onTheWay.shift();
      if (frame.index % progressEveryFrames === 0)
        context.onProgress({ stage: 'rendering', fraction: frame.index / timeline.frameCount });
    }
    await Promise.all(onTheWay);
    await take.finish();
  } finally {
    await take.abort();
  }
  const bytesCopiedPerFrame = frames.statistics.bytesCopied / timeline.frameCount;
  return { wallMs: performance.now() - startedMs, bytesCopiedPerFrame };
}

/** A stage that draws into one frame at a time. */
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
