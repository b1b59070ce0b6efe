import { trackFaces } from '../../faces/index.ts';
import type { FaceTrack } from '../../faces/face-types.ts';
import { openFrames } from '../../media/index.ts';
import { createMouthRenderer, MouthReferenceBuilder, type MouthReference } from '../../providers/preview/rendering/index.ts';
import type { Warning } from '../../providers/provider.ts';
import { readMouthCurve } from '../../speech/index.ts';
import type { PreviewTask, TakeReport } from '../render-tasks.ts';
import type { RenderTaskContext } from '../run-render-task.ts';
import { absentFramesWarning } from './absent-frames.ts';
import { runTakeLoop } from './take-loop.ts';
import { trackedRange } from './tracked-range.ts';

/** The speaker is learned from one frame in `sampleStep` among the first `sampledFrames` that are used. */
const sampledFrames = 240;
const sampleStep = 6;

/** Preview, start to end: follow the face, learn the speaker's mouth, draw it anew in every frame, encode. */
export async function previewTask(task: PreviewTask, context: RenderTaskContext): Promise<TakeReport> {
  const startedMs = performance.now();
  const range = trackedRange(task.timeline);
  const track = await trackFaces({
    clipPath: task.clipPath, clipDigest: task.clipDigest, clip: task.clip, range,
    detector: await context.resources.faceDetector(),
    cacheDir: task.trackCacheFolder, workDir: task.workFolder, signal: context.signal,
    onProgress: (fraction) => context.onProgress({ stage: 'tracking', fraction }),
  });
  const trackedMs = performance.now();
  try {
    const reference = await learnMouth(task, track, range.start, context);
    const learnedMs = performance.now();
    const { figures, bytesDrawn } = await drawTake(task, track, range.start, reference, context);
    return {
      warnings: warningsOf(task, track, range.start, reference),
      stages: [
        { stage: 'tracking', wallMs: trackedMs - startedMs, frames: track.cached ? 0 : track.frameCount },
        { stage: 'learning', wallMs: learnedMs - trackedMs, frames: Math.min(sampledFrames, track.frameCount) },
        { stage: 'drawing', wallMs: figures.drawMs, frames: task.timeline.frameCount },
        { stage: 'decoding, drawing and encoding', wallMs: figures.wallMs, frames: task.timeline.frameCount },
      ],
      bytesCopiedPerFrame: figures.bytesCopiedPerFrame + bytesDrawn / task.timeline.frameCount,
    };
  } finally {
    track.close();
  }
}

/** A look at some frames of the clip: the mouth at rest and the colours around it. Undefined when no frame shows it well enough. */
async function learnMouth(task: PreviewTask, track: FaceTrack, firstFrame: number, { signal }: RenderTaskContext): Promise<MouthReference | undefined> {
  const builder = new MouthReferenceBuilder();
  const range = { start: firstFrame, end: firstFrame + Math.min(sampledFrames, track.frameCount) };
  for await (const frame of openFrames({ path: task.clipPath, facts: task.clip, range, signal })) {
    if (frame.index % sampleStep === 0) builder.add(frame, track.frame(frame.index));
  }
  return builder.finish();
}

async function drawTake(
  task: PreviewTask, track: FaceTrack, firstFrame: number, reference: MouthReference | undefined, context: RenderTaskContext,
) {
  const curve = await readMouthCurve(task.mouthCurvePath, task.timeline.frameCount);
  const renderer = reference && createMouthRenderer({ reference, silenceMode: task.silenceMode });
  let bytesDrawn = 0;
  const figures = await runTakeLoop(task, (frame) => {
    const { open = 0, wide = 0, closure = 0, voiced = 0 } = {
      open: curve.open[frame.index], wide: curve.wide[frame.index], closure: curve.closure[frame.index], voiced: curve.voiced[frame.index],
    };
    bytesDrawn += renderer?.render(frame, track.frame(frame.clipFrame - firstFrame), { open, wide, closure, voiced }) ?? 0;
  }, context);
  return { figures, bytesDrawn };
}

function warningsOf(task: PreviewTask, track: FaceTrack, firstFrame: number, reference: MouthReference | undefined): Warning[] {
  const absent = absentFramesWarning(track.absentRanges, firstFrame, task.clip.frameRate);
  if (reference) return absent;
  return [...absent, { code: 'mouth_not_learned', message: 'No frame showed the mouth well enough; the picture was left as it is.' }];
}
