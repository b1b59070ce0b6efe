import {
  openFramesAhead,
  openTakeAside,
  type ClipFacts,
  type Frame,
  type SpeechFacts,
  type Timeline,
} from '../../media/index.ts';
import type { RenderTaskContext } from '../../processes/run-render-task.ts';

export interface TakeLoopOptions {
  readonly clipPath: string;
  readonly clip: ClipFacts;
  readonly speechPath: string;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly workFolder: string;
  readonly takePath: string;
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
  context: RenderTaskContext,
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
