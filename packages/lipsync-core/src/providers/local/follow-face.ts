import { LipsyncError } from '../../errors/index.ts';
import { createFaceDetector, trackFaces, type FaceTrack } from '../../face/index.ts';
import type { ClipFacts, StageFigures, Timeline } from '../../media/index.ts';
import type { Warning } from '../../contract/provider-types.ts';
import type { RenderTaskContext } from '../../processes/render-task.ts';
import { absentFramesWarning } from './absent-frames.ts';
import { shownAbsence } from './shown-absence.ts';
import { trackedRange } from './tracked-range.ts';

export interface FollowedFace {
  /** Its frames count from the clip frame `firstFrame`. */
  readonly track: FaceTrack;
  readonly firstFrame: number;
  /** About the frames without a face that are shown. */
  readonly warnings: readonly Warning[];
  readonly figures: StageFigures;
}

export interface FollowFaceOptions {
  readonly clipPath: string;
  readonly clipDigest: string;
  readonly clip: ClipFacts;
  readonly timeline: Timeline;
  readonly trackCacheFolder: string;
  readonly workFolder: string;
}

/**
 * Follows the face through what the timeline shows. The caller closes the track.
 * Throws `clip_unusable` when no frame that is shown has a face, and what tracking throws.
 */
export async function followFace(options: FollowFaceOptions, context: RenderTaskContext): Promise<FollowedFace> {
  const { clip, timeline } = options;
  const startedMs = performance.now();
  const range = trackedRange(timeline);
  const track = await trackFaces({
    clipPath: options.clipPath,
    clipDigest: options.clipDigest,
    clip,
    range,
    detector: await context.resources.get(createFaceDetector),
    cacheDir: options.trackCacheFolder,
    workDir: options.workFolder,
    signal: context.signal,
    onProgress: (fraction) => context.onProgress({ stage: 'tracking', fraction }),
  });
  const absence = shownAbsence(track.absentRanges, timeline);
  if (!absence.faceShown) {
    track.close();
    throw new LipsyncError(
      'clip_unusable',
      'No face is visible in the part of the clip that is used. Choose another part with start_ms and end_ms, or a clip that shows a face.',
    );
  }
  return {
    track,
    firstFrame: range.start,
    warnings: absentFramesWarning(absence.stretches, timeline.windowStart, clip.frameRate),
    figures: { stage: 'tracking', wallMs: performance.now() - startedMs, frames: track.cached ? 0 : track.frameCount },
  };
}
