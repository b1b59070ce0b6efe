import type { FaceTrack } from '../../face/face-types.ts';
import { drawEach, openFramesAhead, runTakeLoop, type TakeReport } from '../../media/index.ts';
import { MouthReferenceBuilder, type MouthReference } from './rendering/mouth-reference.ts';
import { MouthRenderer } from './rendering/mouth-renderer.ts';
import type { Warning } from '../../contract/provider-types.ts';
import { readMouthCurve } from '../../audio/index.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { followFace } from '../local/follow-face.ts';
import { chooseLearningFrames } from '../local/learning-frames.ts';
import type { LocalTakeInput } from '../local/take-input.ts';
import { usedFrames } from '../local/tracked-range.ts';

/** The speaker is learned from what is shown, or from this many frames of the clip when less is shown. */
const fewestSearchedFrames = 240;

/** Preview, start to end: follow the face, learn the speaker's mouth, draw it anew in every frame, encode. */
export async function previewTask(task: LocalTakeInput, context: RenderTaskContext): Promise<TakeReport> {
  const { track, firstFrame, warnings, figures: tracking } = await followFace(task, context);
  try {
    const startedMs = performance.now();
    context.onProgress({ stage: 'learning', fraction: 0 });
    const learningFrames = chooseLearningFrames(
      track,
      Math.min(track.frameCount, Math.max(usedFrames(task.timeline), fewestSearchedFrames)),
    );
    const reference = await learnMouth(task, track, learningFrames, context);
    const learnedMs = performance.now();
    const { figures, drawMs, bytesDrawn } = await drawTake(task, track, firstFrame, reference, context);
    return {
      warnings: [...warnings, ...notLearned(reference)],
      stages: [
        tracking,
        { stage: 'learning', wallMs: learnedMs - startedMs, frames: learningFrames.length },
        { stage: 'drawing', wallMs: drawMs, frames: task.timeline.frameCount },
        { stage: 'decoding, drawing and encoding', wallMs: figures.wallMs, frames: task.timeline.frameCount },
      ],
      bytesCopiedPerFrame: figures.bytesCopiedPerFrame + bytesDrawn / task.timeline.frameCount,
    };
  } finally {
    track.close();
  }
}

/**
 * A look at the chosen frames, ascending and counted from the track's first: the mouth at rest and the colors around
 * it. Undefined when none of them shows it well enough.
 */
async function learnMouth(
  task: LocalTakeInput,
  track: FaceTrack,
  chosen: readonly number[],
  { signal }: RenderTaskContext,
): Promise<MouthReference | undefined> {
  const builder = new MouthReferenceBuilder();
  const [first = 0] = chosen;
  const wanted = new Set(chosen);
  const { windowStart } = task.timeline;
  const range = { start: windowStart + first, end: windowStart + (chosen.at(-1) ?? first - 1) + 1 };
  for await (const frame of openFramesAhead({ path: task.clipPath, facts: task.clip, range, signal })) {
    const index = frame.clipFrame - windowStart;
    if (wanted.has(index)) builder.add(frame, track.frame(index));
  }
  return builder.finish();
}

async function drawTake(
  task: LocalTakeInput,
  track: FaceTrack,
  firstFrame: number,
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
      const {
        open = 0,
        wide = 0,
        closure = 0,
        voiced = 0,
      } = {
        open: curve.open[frame.index],
        wide: curve.wide[frame.index],
        closure: curve.closure[frame.index],
        voiced: curve.voiced[frame.index],
      };
      bytesDrawn +=
        renderer?.render(frame, track.frame(frame.clipFrame - firstFrame), { open, wide, closure, voiced }) ?? 0;
      drawMs += performance.now() - startedMs;
    }),
    context,
  );
  return { figures, drawMs, bytesDrawn };
}

function notLearned(reference: MouthReference | undefined): Warning[] {
  if (reference) return [];
  return [
    { code: 'mouth_not_learned', message: 'No frame showed the mouth well enough; the picture was left as it is.' },
  ];
}
