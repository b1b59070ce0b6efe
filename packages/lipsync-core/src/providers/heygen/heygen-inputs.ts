import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { canCopyVideo, passThroughRenderTask, swapSound, writeSpeechTrack } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import type { TakeContext, TakeRequest } from '../provider.ts';

/** Files as HeyGen takes them, for the time of one start; whoever made them disposes of them. */
export interface HeygenInputs extends AsyncDisposable {
  /** MP4, H.264 and AAC, laid along the timeline; its sound is the speech, since clips without sound are refused. */
  readonly clipPath: string;
  /** WAV, as long as the clip. */
  readonly speechPath: string;
}

/**
 * Makes clip and speech equally long, as the timeline says, before anything is uploaded: HeyGen refuses lengths that
 * differ, and knows no `sync_mode`. Frames are copied where they are fit as they are, and rendered in a process of their
 * own otherwise. Throws as the render pool and `media/` do.
 */
export async function makeInputs(
  request: TakeRequest,
  { signal, onProgress, trace }: TakeContext,
  renderPool: RenderPool,
): Promise<HeygenInputs> {
  const workFolder = dirname(request.takePath);
  const inputs = { clipPath: join(workFolder, 'heygen-clip.mp4'), speechPath: join(workFolder, 'heygen-speech.wav') };
  const remove = async (): Promise<void> => {
    await Promise.all([inputs.clipPath, inputs.speechPath].map((path) => rm(path, { force: true })));
  };
  try {
    const { clipPath, clip, speechPath, speech, timeline } = request;
    await writeSpeechTrack({ speechPath, speech, timeline, targetPath: inputs.speechPath, signal });
    const copied =
      canCopyVideo(clip, timeline) &&
      (await swapSound({ clipPath, clip, speechPath, speech, timeline, targetPath: inputs.clipPath, signal }));
    if (!copied) {
      const input = { clipPath, clip, speechPath, speech, timeline, workFolder, takePath: inputs.clipPath };
      await renderPool.run(passThroughRenderTask, input, {
        signal,
        onProgress: ({ fraction }) => onProgress({ stage: 'preparing', fraction }),
        ...(trace && { trace }),
      });
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { ...inputs, [Symbol.asyncDispose]: remove };
}
