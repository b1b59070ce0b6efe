import type { Warning } from '../../contract/provider-types.ts';
import {
  openFrames,
  processedFrames,
  readSpeech,
  runTakeLoop,
  type Frame,
  type TakeReport,
} from '../../media/index.ts';
import type { EngineAddress } from './engine/engine-address.ts';
import { connectEngine, type EngineClient } from './engine/engine-client.ts';
import { openMelChunks } from './mel-chunks.ts';
import { FaceCropper, placeFace } from './picture/face-crop.ts';
import { FacePaster } from './picture/paste-face.ts';
import { planFrame } from './redraw/frame-plan.ts';
import {
  batchFramesOf,
  heldFrames,
  redrawFrames,
  type RedrawFigures,
  type RedrawParts,
  type ShownFace,
} from './redraw/redraw-frames.ts';
import { findMostClosedMouth, meanFaceHeightPx } from './redraw/tracked-mouths.ts';
import { readMouthCurve } from '../../audio/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { countUsedFrames, followShownFace, type FollowedFace } from '../../face/face-tracking.ts';
import type { LocalTakeInput } from '../local/take-input.ts';

export interface Wav2LipTakeInput extends LocalTakeInput {
  readonly engine: EngineAddress;
  /** Start of the sound that the model gets for a frame, relative to the frame; whole milliseconds. */
  readonly windowStartMs: number;
  readonly colorMatch: boolean;
  readonly sharpen: boolean;
}

/**
 * Makes a Wav2Lip take: tracks the face, and meanwhile redraws the mouth in every tracked frame with the engine, pastes
 * it back, and encodes.
 */
export async function wav2lipTask(task: Wav2LipTakeInput, context: RenderTaskContext): Promise<TakeReport> {
  const startedMs = performance.now();
  const followed = await followShownFace(task, context);
  try {
    const engine = await connectEngine(task.engine, { signal: context.signal });
    try {
      return await redrawTake(task, followed, { engine, startedMs }, context);
    } finally {
      engine.close();
    }
  } finally {
    await followed.close();
  }
}

async function redrawTake(
  task: Wav2LipTakeInput,
  followed: FollowedFace,
  { engine, startedMs }: { readonly engine: EngineClient; readonly startedMs: number },
  context: RenderTaskContext,
): Promise<TakeReport> {
  const {
    timeline,
    engine: { cropSizePx },
  } = task;
  const figures: RedrawFigures = {
    cropMs: 0,
    compareMs: 0,
    repeatedFrames: 0,
    pasteMs: 0,
    waitMs: 0,
    bytesWritten: 0,
  };
  const batchFrames = batchFramesOf(task);
  context.onProgress({ stage: 'rendering', fraction: 0 });
  const parts = await redrawParts(task, followed, { engine, batchFrames }, context.signal);
  const taken = await runTakeLoop(
    task,
    {
      heldFrames: heldFrames(batchFrames),
      apply: (frames) => redrawFrames(followed.whenTracked(frames), parts, figures),
    },
    context,
  );
  const { start, end } = processedFrames(task);
  const frames = end - start;
  const tracked = await followed.complete();
  const faceHeightPx = meanFaceHeightPx(tracked.track, countUsedFrames(timeline));
  return {
    warnings: [
      ...tracked.warnings,
      ...faceLargerThanModel(faceHeightPx, cropSizePx),
      ...reducedBatch(engine.smallestBatch),
    ],
    stages: [
      tracked.figures,
      { stage: 'until the first frame is drawn', wallMs: taken.firstFrameMs - startedMs, frames: 1 },
      { stage: 'cropping (inside the last row)', wallMs: figures.cropMs, frames },
      {
        stage: 'repeated frames, found and not computed again (inside the last row)',
        wallMs: figures.compareMs,
        frames: figures.repeatedFrames,
      },
      { stage: 'waiting for the engine (inside the last row)', wallMs: figures.waitMs, frames },
      { stage: 'pasting (inside the last row)', wallMs: figures.pasteMs, frames },
      { stage: 'decoding, redrawing and encoding', wallMs: taken.wallMs, frames },
    ],
    bytesCopiedPerFrame: taken.bytesCopiedPerFrame + figures.bytesWritten / frames,
  };
}

async function redrawParts(
  task: Wav2LipTakeInput,
  followed: FollowedFace,
  { engine, batchFrames }: Pick<RedrawParts, 'engine' | 'batchFrames'>,
  signal: AbortSignal,
): Promise<RedrawParts> {
  const {
    timeline: { frameCount, frameRate },
    clip: { color },
    engine: { cropSizePx },
    colorMatch,
    sharpen,
    windowStartMs,
    silenceMode,
  } = task;
  const { voiced } = await readMouthCurve(task.mouthCurvePath, frameCount);
  const { start, end } = processedFrames(task);
  return {
    engine,
    cropSizePx,
    batchFrames,
    cropper: new FaceCropper({ cropSizePx, color }),
    paster: new FacePaster({ colorMatch, sharpen, cropSizePx, color }),
    melChunks: openMelChunks({
      samples: readSpeech(task.speechPath, { ...task.speech, signal }),
      frameRate,
      firstFrame: start,
      frameCount: end,
      windowStartMs,
    }),
    closedMouth: silenceMode === 'close' ? await cropClosedMouth(task, followed, signal) : undefined,
    faceOf: (frame) => shownFace(followed, frame),
    planOf: (frame) => planFrame(silenceMode, voiced[frame.index] ?? 0),
  };
}

function shownFace(followed: FollowedFace, frame: Frame): ShownFace {
  const { track } = followed;
  const index = followed.indexOf(frame);
  return { face: track.frame(index), shot: track.shotAt(index), visibility: track.visibility(index) };
}

/** Crops the frame in which the lips are closest together, among the first shown faces. */
async function cropClosedMouth(
  task: Wav2LipTakeInput,
  { track, firstFrame }: FollowedFace,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const {
    clip,
    clipPath: path,
    engine: { cropSizePx },
  } = task;
  const index = await findMostClosedMouth(track, countUsedFrames(task.timeline));
  if (index === undefined) return undefined;
  const crop = new Uint8Array(cropSizePx * cropSizePx * 3);
  const range = { start: firstFrame + index, end: firstFrame + index + 1 };
  for await (const frame of openFrames({ path, facts: clip, range, signal })) {
    new FaceCropper({ cropSizePx, color: clip.color }).crop(frame, placeFace(track.frame(index).points), crop);
  }
  return crop;
}

/** Faces that exceed the crop of the model by more than this factor look visibly soft. */
const softFaceRatio = 2;

/** Warns about faces whose mean height in the clip visibly exceeds the crop of the model. */
function faceLargerThanModel(faceHeightPx: number, cropSizePx: number): Warning[] {
  if (faceHeightPx <= cropSizePx * softFaceRatio) return [];
  return [
    {
      code: 'face_larger_than_model',
      message: `The face is about ${Math.round(faceHeightPx)} pixels high, but the model draws only ${cropSizePx}, so the mouth looks softer than the rest. Use a smaller clip to hide the difference.`,
    },
  ];
}

/** Warns that the engine reduced its batches to `smallest` faces; null means that it did not. */
function reducedBatch(smallest: number | null): Warning[] {
  if (smallest === null) return [];
  return [
    {
      code: 'engine_batch_reduced',
      message: `The model failed with larger batches; the engine reduced them to ${smallest} ${smallest === 1 ? 'face' : 'faces'}. Free device memory, or run fewer jobs at once, to restore full speed.`,
    },
  ];
}
