import { openFrames, openTake, type ClipFacts, type Frame, type SpeechFacts, type Timeline } from '../../media/index.ts';
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

/**
 * Decodes the clip along the timeline, lets `draw` change each frame in place, and encodes it with the speech. ffmpeg
 * decodes ahead and encodes behind while a frame is drawn. The take is complete and measured when this resolves;
 * otherwise nothing of it is left.
 */
export async function runTakeLoop(options: TakeLoopOptions, draw: (frame: Frame) => void, context: RenderTaskContext): Promise<TakeLoopFigures> {
  const { clip, timeline } = options;
  const { signal } = context;
  const startedMs = performance.now();
  const frames = openFrames({ path: options.clipPath, facts: clip, timeline, workFolder: options.workFolder, signal });
  const take = openTake({
    path: options.takePath, width: clip.width, height: clip.height, frameRate: timeline.frameRate, frameCount: timeline.frameCount,
    colour: clip.colour, speech: { path: options.speechPath, facts: options.speech }, signal,
  });
  let drawMs = 0;
  try {
    for await (const frame of frames) {
      const drawStartedMs = performance.now();
      draw(frame);
      drawMs += performance.now() - drawStartedMs;
      await take.write(frame.data);
      if (frame.index % progressEveryFrames === 0) context.onProgress({ stage: 'rendering', fraction: frame.index / timeline.frameCount });
    }
    await take.finish();
  } finally {
    await take.abort();
  }
  const bytesCopiedPerFrame = frames.statistics.bytesCopied / timeline.frameCount;
  return { wallMs: performance.now() - startedMs, drawMs, bytesCopiedPerFrame };
}
