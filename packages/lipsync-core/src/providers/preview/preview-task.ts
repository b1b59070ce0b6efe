import { readMouthCurve } from '../../audio/index.ts';
import type { Warning } from '../../contract/provider-types.ts';
import type { FaceTrack } from '../../face/face-types.ts';
import { drawEach, openFramesAhead, runTakeLoop, type TakeReport } from '../../media/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { countUsedFrames, trackShownFace, type TrackedFace } from '../../face/face-tracking.ts';
import type { LocalTakeInput } from '../local/take-input.ts';
import { selectReferenceFrames } from './reference-frames.ts';
import { MouthReferenceBuilder, type MouthReference } from './rendering/mouth-reference.ts';
import { MouthRenderer } from './rendering/mouth-renderer.ts';

/** The mouth reference is measured in the used frames of the clip, or in this many when fewer are used. */
const minimumSearchedFrames = 240;

/**
 * Renders a take of the `preview` provider: tracks the face, measures the speaker's mouth, redraws it in every frame,
 * encodes.
 */
export async function previewTask(task: LocalTakeInput, context: RenderTaskContext): Promise<TakeReport> {
  const { timeline } = task;
  const tracked = await trackShownFace(task, context);
  const { track } = tracked;
  try {
    const startedMs = performance.now();
    context.onProgress({ stage: 'learning', fraction: 0 });
    const searchedFrames = Math.max(countUsedFrames(timeline), minimumSearchedFrames);
    const referenceFrames = selectReferenceFrames(track, Math.min(track.frameCount, searchedFrames));
    const reference = await measureMouth(task, track, referenceFrames, context);
    const measuredMs = performance.now();
    const { figures, drawMs, bytesDrawn } = await drawTake(task, tracked, reference, context);
    const frames = timeline.frameCount;
    return {
      warnings: [...tracked.warnings, ...missingReferenceWarning(reference)],
      stages: [
        tracked.figures,
        { stage: 'learning', wallMs: measuredMs - startedMs, frames: referenceFrames.length },
        { stage: 'drawing', wallMs: drawMs, frames },
        { stage: 'decoding, drawing and encoding', wallMs: figures.wallMs, frames },
      ],
      bytesCopiedPerFrame: figures.bytesCopiedPerFrame + bytesDrawn / frames,
    };
  } finally {
    track.close();
  }
}

/**
 * Measures the mouth in the selected frames, which ascend and count from the track's first one. Undefined when none is
 * usable.
 */
async function measureMouth(
  task: LocalTakeInput,
  track: FaceTrack,
  selected: readonly number[],
  { signal }: RenderTaskContext,
): Promise<MouthReference | undefined> {
  const builder = new MouthReferenceBuilder();
  const [first = 0] = selected;
  const frames = new Set(selected);
  const { windowStart } = task.timeline;
  const range = { start: windowStart + first, end: windowStart + (selected.at(-1) ?? first - 1) + 1 };
  for await (const frame of openFramesAhead({ path: task.clipPath, facts: task.clip, range, signal })) {
    const index = frame.clipFrame - windowStart;
    if (frames.has(index)) builder.add(frame, track.frame(index));
  }
  return builder.finish();
}

/** Draws and encodes the take. Without a reference the frames are left unchanged. */
async function drawTake(
  task: LocalTakeInput,
  { track, firstFrame }: TrackedFace,
  reference: MouthReference | undefined,
  context: RenderTaskContext,
) {
  const curve = await readMouthCurve(task.mouthCurvePath, task.timeline.frameCount);
  const renderer = reference && new MouthRenderer({ reference, silenceMode: task.silenceMode });
  let bytesDrawn = 0;
  let drawMs = 0;
  const figures = await runTakeLoop(
    task,
    drawEach((frame) => {
      const startedMs = performance.now();
      const shape = {
        open: curve.open[frame.index] ?? 0,
        wide: curve.wide[frame.index] ?? 0,
        closure: curve.closure[frame.index] ?? 0,
        voiced: curve.voiced[frame.index] ?? 0,
      };
      const index = frame.clipFrame - firstFrame;
      bytesDrawn += renderer?.render(frame, track.frame(index), shape, track.visibility(index)) ?? 0;
      drawMs += performance.now() - startedMs;
    }),
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
