import { z } from 'zod';
import { abortError } from '../errors/index.ts';
import type { InputFile } from '../jobs/input-fetcher.ts';
import type { InputField } from '../jobs/job-record.ts';
import { toProgressUpdate, type ProgressUpdate } from '../jobs/progress-writer.ts';
import type { QualityPipeline, VideoAssessment } from '../jobs/quality-pipeline.ts';
import { openProcessWorkspace, sweepProcessWorkspaces } from '../processes/workspace.ts';
import { qualityOptionsSchema } from '../contract/index.ts';
import { openLocalFile, type LocalDownloadOptions } from './local-inputs.ts';
import { parseInput } from './parse-input.ts';

const path = z.string().min(1);

/** A video to measure, with what is known about it. */
export const qualityInputSchema = z.strictObject({
  /** Path or http(s) URL. */
  videoPath: path,
  /** The speech that the video was made from; without it, the sound of the video is the speech. */
  audioPath: path.optional(),
  /** The clip that the video was made from. */
  sourcePath: path.optional(),
  ...qualityOptionsSchema.pick({ qualityWindows: true, audioTrack: true }).shape,
});

export type QualityInput = z.input<typeof qualityInputSchema>;

export interface LocalQualityOptions {
  readonly pipeline: Pick<QualityPipeline, 'run'>;
  readonly workFolder: string;
  readonly downloads: LocalDownloadOptions;
}

export interface LocalQualityContext {
  readonly signal: AbortSignal;
  /** Whether the trace gets pictures, for a report. */
  readonly withPictures?: boolean;
  onProgress?(update: ProgressUpdate): void;
}

/** Names of the inputs in errors. */
const inputNames: Readonly<Record<InputField, string>> = { video: 'video', audio: 'speech', source: 'source clip' };

/**
 * Measures videos inside this process. Nothing is stored, so that an interrupted measurement starts again: it costs
 * nothing.
 */
export class LocalQuality {
  readonly #options: LocalQualityOptions;

  constructor(options: LocalQualityOptions) {
    this.#options = options;
  }

  /**
   * Throws `request_invalid`, `InputNotFoundError`, the errors of a download and those of `QualityPipeline.run`. Never
   * changes or deletes an input.
   */
  async measure(given: QualityInput, context: LocalQualityContext): Promise<VideoAssessment> {
    const { videoPath, audioPath, sourcePath, ...options } = parseInput(qualityInputSchema, given);
    const { pipeline, workFolder, downloads } = this.#options;
    await sweepProcessWorkspaces(workFolder);
    const workspace = await openProcessWorkspace(workFolder);
    const report = (update: ProgressUpdate): void => context.onProgress?.(update);
    const open = (field: InputField, source: string): Promise<InputFile> =>
      openLocalFile({ field, source, name: inputNames[field] }, { workspace, downloads, signal: context.signal });
    try {
      report(toProgressUpdate({ stage: 'fetching', fraction: 0 }));
      const files = {
        video: await open('video', videoPath),
        ...(audioPath !== undefined && { audio: await open('audio', audioPath) }),
        ...(sourcePath !== undefined && { source: await open('source', sourcePath) }),
      };
      return await pipeline.run(
        { files, options, workspace, ...(context.withPictures && { withPictures: true }) },
        { signal: context.signal, onProgress: (progress) => report(toProgressUpdate(progress)) },
      );
    } catch (error) {
      throw context.signal.aborted ? abortError(context.signal) : error;
    } finally {
      // A folder that cannot be removed is removed by the next sweep.
      await workspace.remove().catch(() => undefined);
    }
  }
}
