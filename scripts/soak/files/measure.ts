import { join } from 'node:path';
import { LipsyncError, type LipsyncService, type Warning } from '@lipsync/core';
import type { HeygenStandin } from '../../../packages/heygen-standin/src/index.ts';
import { planTimeline, probeClip, probeSpeech } from '../../../packages/lipsync-core/src/media/index.ts';
import { passThroughTask } from '../../../packages/lipsync-core/src/media/takes/take-loop.ts';

/** How a cell ended: with a take, or refused. */
export type Outcome =
  | {
      readonly type: 'take';
      readonly path: string;
      /** The sound, if it is not that of the take. */
      readonly soundPath?: string;
      readonly warnings?: readonly string[];
    }
  | { readonly type: 'refused'; readonly code: string; readonly message: string };

export interface CellInputs {
  readonly clipPath: string;
  readonly speechPath: string;
  readonly folder: string;
}

const limits = { maxDurationMs: 600_000, maxDimensionPx: 4096 };
/** Long enough for a busy machine. */
const timeLimitMs = 600_000;

/** Makes the take that shows the unchanged clip with the speech, by the probes, the decoder and the encoder of jobs. */
export async function makePlainTake({ clipPath, speechPath: sourcePath, folder }: CellInputs): Promise<Outcome> {
  const signal = AbortSignal.timeout(timeLimitMs);
  const takePath = join(folder, 'take.mp4');
  return catchRefusal(async () => {
    const clip = await probeClip(clipPath, { limits, signal });
    const speechPath = join(folder, 'speech.wav');
    const speech = await probeSpeech(sourcePath, { limits, signal, targetPath: speechPath });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'cut_off' });
    const task = { clipPath, clip, speechPath, speech, timeline, workFolder: folder, takePath };
    await passThroughTask(task, { signal, onProgress: () => undefined });
    return { type: 'take', path: takePath };
  });
}

/** Runs a whole job with the preview renderer. */
export async function makePreviewTake(inputs: CellInputs, service: LipsyncService): Promise<Outcome> {
  return catchRefusal(async () => {
    const { path, warnings } = await runJob(inputs, service, 'preview');
    return { type: 'take', path, warnings };
  });
}

/** Runs a job with HeyGen, and returns what its stand-in received in place of the take. */
export async function receiveVendorInputs(
  inputs: CellInputs,
  service: LipsyncService,
  standin: HeygenStandin,
): Promise<Outcome> {
  return catchRefusal(async () => {
    const { warnings } = await runJob(inputs, service, 'heygen');
    const uploads = standin.control.uploads();
    const path = uploads.findLast(({ mimeType }) => mimeType.startsWith('video/'))?.path;
    const soundPath = uploads.findLast(({ mimeType }) => mimeType.startsWith('audio/'))?.path;
    if (path === undefined || soundPath === undefined) throw new Error('The stand-in received no clip or no speech.');
    return { type: 'take', path, soundPath, warnings };
  });
}

async function runJob(
  { clipPath: videoPath, speechPath: audioPath, folder }: CellInputs,
  service: LipsyncService,
  method: 'preview' | 'heygen',
): Promise<{ readonly path: string; readonly warnings: readonly string[] }> {
  const outputPath = join(folder, `${method}.mp4`);
  const { warnings } = await service.generateLipsync(
    { videoPath, audioPath, outputPath, overwrite: true, method, syncMode: 'cut_off' },
    { signal: AbortSignal.timeout(timeLimitMs) },
  );
  return { path: outputPath, warnings: listCodes(warnings) };
}

/** Warnings of the take and of the sound of the marks, which is no voice, are left out. */
const ownWarnings: ReadonlySet<string> = new Set([
  'degraded',
  'no_voice_found',
  'lips_unchanged',
  'quality_below_request',
]);

function listCodes(warnings: readonly Warning[]): readonly string[] {
  return warnings.map(({ code }) => code).filter((code) => !ownWarnings.has(code));
}

async function catchRefusal(run: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await run();
  } catch (error) {
    if (!LipsyncError.isInstance(error)) throw error;
    return { type: 'refused', code: error.code, message: error.message };
  }
}
