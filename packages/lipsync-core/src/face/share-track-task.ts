import type { RenderTaskContext } from '../processes/render-task.ts';
import { followShownFace, type TrackShownFaceOptions } from './face-tracking.ts';

export interface ShareTrackInput extends TrackShownFaceOptions {
  /** Where a copy of the track is left. */
  readonly copyPath: string;
}

export interface SharedTrack {
  /** First frame of each shot, relative to the first frame of the window of the timeline. */
  readonly shotStarts: readonly number[];
}

/**
 * Tracks the face that the timeline shows, or finds its track in the cache, and leaves a file of it that `trackPath` of
 * other tasks names. Throws the errors of `followShownFace`.
 */
export async function shareTrackTask(input: ShareTrackInput, context: RenderTaskContext): Promise<SharedTrack> {
  const followed = await followShownFace(input, context);
  try {
    const { track } = await followed.complete();
    return { shotStarts: track.shotStarts };
  } finally {
    await followed.close();
  }
}
