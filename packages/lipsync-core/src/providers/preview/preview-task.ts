import { readMouthCurve } from '../../audio/index.ts';
import type { Warning } from '../../contract/provider-types.ts';
import type { GrowingTrack } from '../../face/growing-track.ts';
import { drawEach, openFrames, runTakeLoop, type TakeReport } from '../../media/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { countUsedFrames, followShownFace, type FollowedFace } from '../../face/face-tracking.ts';
import type { LocalTakeInput } from '../local/take-input.ts';
import { selectReferenceFrames } from './reference-frames.ts';
import { MouthReferenceBuilder, type MouthReference } from './rendering/mouth-reference.ts';
import { MouthRenderer } from './rendering/mouth-renderer.ts';

/** The mouth reference is measured in the used frames of the clip, or in this many when fewer are used. */
const minimumSearchedFrames = 240;

/**
 * Renders a take of the `preview` provider: tracks the face, and meanwhile measures the speaker's mouth, redraws it in
 * every tracked frame, and encodes.
 */
export async function previewTask(task: LocalTakeInput, context: RenderTaskContext): Promise<TakeReport> {
  const { timeline } = task;
  const startedMs = performance.now();
  const followed = await followShownFace(task, context);
  const { track } = followed;
  try {
    const foundMs = performance.now();
    context.onProgress({ stage: 'learning', fraction: 0 });
    const searchedFrames = Math.max(countUsedFrames(timeline), minimumSearchedFrames);
    const referenceFrames = await selectReferenceFrames(track, Math.min(track.frameCount, searchedFrames));
    const reference = await measureMouth(task, track, referenceFrames, context);
    const measuredMs = performance.now();
    const { figures, drawMs, bytesDrawn } = await drawTake(task, followed, reference, context);
    const tracked = await followed.complete();
    const frames = timeline.frameCount;
    return {
      warnings: [...tracked.warnings, ...missingReferenceWarning(reference)],
      stages: [
        tracked.figures,
        { stage: 'until the first frame is drawn', wallMs: figures.firstFrameMs - startedMs, frames: 1 },
        { stage: 'learning', wallMs: measuredMs - foundMs, frames: referenceFrames.length },
        { stage: 'drawing', wallMs: drawMs, frames },
        { stage: 'decoding, drawing and encoding', wallMs: figures.wallMs, frames },
      ],
      bytesCopiedPerFrame: figures.bytesCopiedPerFrame + bytesDrawn / frames,
    };
  } finally {
    await followed.close();
  }
}

/**
 * Measures the mouth in the selected frames, which ascend and count from the track's first one. Undefined when none is
 * usable.
 */
async function measureMouth(
  task: LocalTakeInput,
  track: GrowingTrack,
  selected: readonly number[],
  { signal }: RenderTaskContext,
): Promise<MouthReference | undefined> {
  const builder = new MouthReferenceBuilder();
  const { windowStart } = task.timeline;
  const parts = selected.map((index) => ({ start: windowStart + index, end: windowStart + index + 1 }));
  const [{ start } = { start: 0 }] = parts;
  const range = { start, end: parts.at(-1)?.end ?? start };
  for await (const frame of openFrames({ path: task.clipPath, facts: task.clip, range, parts, signal }))
    builder.add(frame, track.frame(frame.clipFrame - windowStart));
  return builder.finish();
}

/** Draws and encodes the take. Without a reference the frames are left unchanged. */
async function drawTake(
  task: LocalTakeInput,
  followed: FollowedFace,
  reference: MouthReference | undefined,
  context: RenderTaskContext,
) {
  const curve = await readMouthCurve(task.mouthCurvePath, task.timeline.frameCount);
  const renderer = reference && new MouthRenderer({ reference, silenceMode: task.silenceMode });
  let bytesDrawn = 0;
  let drawMs = 0;
  const { track } = followed;
  const stage = drawEach((frame) => {
    const startedMs = performance.now();
    const shape = {
      open: curve.open[frame.index] ?? 0,
      wide: curve.wide[frame.index] ?? 0,
      closure: curve.closure[frame.index] ?? 0,
      voiced: curve.voiced[frame.index] ?? 0,
    };
    const index = followed.indexOf(frame);
    bytesDrawn += renderer?.render(frame, track.frame(index), shape, track.visibility(index)) ?? 0;
    drawMs += performance.now() - startedMs;
  });
  const figures = await runTakeLoop(
    task,
    { ...stage, apply: (frames) => stage.apply(followed.whenTracked(frames)) },
    context,
  );
  return { figures, drawMs, bytesDrawn };
}

function missingReferenceWarning(reference: MouthReference | undefined): Warning[] {
  if (reference) return [];
  return [
    {
      code: 'mouth_not_learned',
      message: 'No frame shows the mouth well enough for the preview. The picture was left unchanged.',
    },
  ];
}
