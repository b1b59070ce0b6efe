import { openFramesAhead, openTakeAside, type ClipFacts, type Frame, type SpeechFacts, type Timeline } from '../../media/index.ts';
import type { RenderTaskContext } from '../run-render-task.ts';

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
  /** Wall time spent in `draw`. */
  readonly drawMs: number;
  /** Bytes that the decoder side moved between its own buffers, per output frame. */
  readonly bytesCopiedPerFrame: number;
}

const progressEveryFrames = 10;
/** Frames that may be on their way to the encoder while the next one is drawn. */
const framesOnTheWay = 3;

/**
 * Decodes the clip along the timeline, lets `draw` change each frame in place, and encodes it with the speech. Frames
 * are read ahead and written behind in threads of their own while this one draws. The take is complete and measured when this resolves;
 * otherwise nothing of it is left.
 */
export async function runTakeLoop(options: TakeLoopOptions, draw: (frame: Frame) => void, context: RenderTaskContext): Promise<TakeLoopFigures> {
  const { clip, timeline } = options;
  const { signal } = context;
  const startedMs = performance.now();
  const frames = openFramesAhead({
    path: options.clipPath, facts: clip, timeline, workFolder: options.workFolder, keepFrames: framesOnTheWay + 1, signal,
  });
  const take = openTakeAside({
    path: options.takePath, width: clip.width, height: clip.height, frameRate: timeline.frameRate, frameCount: timeline.frameCount,
    colour: clip.colour, speech: { path: options.speechPath, facts: options.speech }, signal,
  });
  const onTheWay: Promise<void>[] = [];
  let drawMs = 0;
  try {
    for await (const frame of frames) {
      const drawStartedMs = performance.now();
      draw(frame);
      drawMs += performance.now() - drawStartedMs;
      const write = take.write(frame.data);
      // Awaited below, in order; one that fails early must not count as unheard.
      write.catch(() => undefined);
      onTheWay.push(write);
      if (onTheWay.length > framesOnTheWay) await onTheWay.shift();
      if (frame.index % progressEveryFrames === 0) context.onProgress({ stage: 'rendering', fraction: frame.index / timeline.frameCount });
    }
    await Promise.all(onTheWay);
    await take.finish();
  } finally {
    await take.abort();
  }
  const bytesCopiedPerFrame = frames.statistics.bytesCopied / timeline.frameCount;
  return { wallMs: performance.now() - startedMs, drawMs, bytesCopiedPerFrame };
}
