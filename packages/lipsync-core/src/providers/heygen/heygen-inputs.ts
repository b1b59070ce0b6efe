import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { canCopyVideo, passThroughRenderTask, swapSound, writeSpeechTrack } from '../../media/index.ts';
import type { RenderPool } from '../../processes/render-pool.ts';
import type { TakeContext, TakeRequest } from '../provider.ts';

/** Files in the form that HeyGen accepts. The caller disposes them, which deletes both. */
export interface HeygenInputs extends AsyncDisposable {
  /** MP4 (H.264, AAC) along the timeline. Its sound is the speech, because HeyGen refuses clips without sound. */
  readonly clipPath: string;
  /** WAV, as long as the clip. */
  readonly speechPath: string;
}

/**
 * Fits clip and speech to the timeline, so that both have its duration: HeyGen refuses different durations and has no
 * `sync_mode`. Copies the video stream if the timeline leaves it unchanged, else renders it in a render process. Throws
 * the errors of the render pool and of `media/`.
 */
export async function prepareInputs(
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
    const isCopied =
      canCopyVideo(clip, timeline) &&
      (await swapSound({ clipPath, clip, speechPath, speech, timeline, targetPath: inputs.clipPath, signal }));
    if (!isCopied) {
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
