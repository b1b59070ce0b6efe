import { analyzeSpeechRenderTask } from '../audio/index.ts';
import type { QualityOptions } from '../contract/index.ts';
import type { TraceContext } from '../contract/ports.ts';
import type { ProgressReport } from '../contract/provider-types.ts';
import { LipsyncError } from '../errors/index.ts';
import { traced } from '../tracing/spans.ts';
import {
  planTimeline,
  probeSpeech,
  probeVideo,
  type ClipFacts,
  type MediaLimits,
  type VideoFacts,
} from '../media/index.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import type { Workspace } from '../processes/workspace.ts';
import type { AssessmentInput, AssessmentSource, AssessmentSpeech } from '../quality/analyzer.ts';
import type { QualityAssessor } from '../quality/assessment/quality-assessor.ts';
import type { MeasuredQuality } from '../quality/assessment/merge-findings.ts';
import type { InputFile, InputFiles } from './input-fetcher.ts';
import { retryMediaStep } from './prepared-inputs.ts';

export interface QualityPipelineOptions {
  readonly assessor: Pick<QualityAssessor, 'measure'>;
  readonly renderPool: RenderPool;
  readonly limits: MediaLimits;
  readonly trackCacheFolder: string;
}

export interface QualityPipelineInput {
  readonly files: InputFiles & { readonly video: InputFile };
  readonly options: Pick<QualityOptions, 'qualityWindows' | 'audioTrack'>;
  readonly workspace: Workspace;
  /** Whether the trace gets pictures, for a report. */
  readonly withPictures?: boolean;
}

export interface QualityPipelineContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  onProgress(progress: ProgressReport): void;
}

/** A measured video. */
export interface VideoAssessment extends MeasuredQuality {
  readonly durationMs: number;
}

/** A still image cannot be measured either. */
const pictureAdvice = 'Use a video: sound alone cannot be measured.';

/** Measures the quality of any video, with or without the clip and the speech that it was made from. */
export class QualityPipeline {
  readonly #options: QualityPipelineOptions;

  constructor(options: QualityPipelineOptions) {
    this.#options = options;
  }

  /**
   * Throws `clip_unusable` or `speech_unusable` for an input that cannot be decoded, `request_invalid` for a sound
   * track that does not exist, and the errors of the assessment. Leaves no files outside the workspace except caches.
   */
  async run(input: QualityPipelineInput, context: QualityPipelineContext): Promise<VideoAssessment> {
    const { assessor, renderPool, trackCacheFolder } = this.#options;
    const { files, options, workspace } = input;
    const { signal } = context;
    if (options.audioTrack !== undefined && !files.audio)
      throw new LipsyncError(
        'request_invalid',
        'audio_track chooses an audio track of the speech file. Send audio, or leave audio_track out.',
      );
    context.onProgress({ stage: 'probing', fraction: 0 });
    renderPool.warm();
    const probed = await this.#probe('video', files.video, signal);
    const video = probed.picture;
    if (video.kind === 'still')
      throw new LipsyncError('clip_unusable', 'video: The file is a still image. Quality is measured in videos only.');
    const source = files.source && (await this.#readSource(files.source, video, signal));
    const speech =
      files.audio &&
      (await this.#readSpeech(files.audio, { video, source, audioTrack: options.audioTrack, workspace, context }));
    const assessment: AssessmentInput = {
      videoPath: files.video.path,
      video: probed,
      source,
      speech,
      trackCacheFolder,
      workFolder: workspace.path,
      allWindows: options.qualityWindows === 'all',
      withPictures: input.withPictures,
    };
    const measured = await retryMediaStep(signal, () => assessor.measure(assessment, context));
    return { ...measured, durationMs: video.durationMs };
  }

  /** Names the input in errors, because both videos are clips to the probe. */
  async #probe(field: 'video' | 'source', { path }: InputFile, signal: AbortSignal): Promise<VideoFacts> {
    const { limits } = this.#options;
    try {
      return await retryMediaStep(signal, () =>
        traced(`probe ${field}`, {}, () => probeVideo(path, { limits, signal, pictureAdvice })),
      );
    } catch (error) {
      if (!LipsyncError.isInstance(error) || error.code !== 'clip_unusable') throw error;
      throw new LipsyncError(error.code, `${field}: ${error.message}`, { cause: error, details: error.details });
    }
  }

  /** The video is expected to show the clip from its start, again and again when the video is longer. */
  async #readSource(file: InputFile, video: ClipFacts, signal: AbortSignal): Promise<AssessmentSource> {
    const { picture: clip } = await this.#probe('source', file, signal);
    const timeline = planTimeline(clip, video.durationMs, { syncMode: 'loop' });
    return { clipPath: file.path, clipDigest: file.digest, clip, timeline };
  }

  async #readSpeech(
    { path }: InputFile,
    { video, source, audioTrack, workspace, context }: SpeechContext,
  ): Promise<AssessmentSpeech> {
    const { limits, renderPool } = this.#options;
    const { signal } = context;
    const speechPath = workspace.file('speech.wav');
    const speech = await retryMediaStep(signal, () =>
      traced('probe speech', {}, () => probeSpeech(path, { limits, signal, audioTrack, targetPath: speechPath })),
    );
    const timeline = source?.timeline ?? planTimeline(video, video.durationMs, { syncMode: 'loop' });
    const mouthCurvePath = workspace.file('mouth-curve');
    context.onProgress({ stage: 'listening', fraction: 0 });
    const samplesPath = workspace.file('speech-samples');
    const task = { speechPath, speech, timeline, mouthCurvePath, samplesPath };
    await retryMediaStep(signal, () => renderPool.run(analyzeSpeechRenderTask, task, context));
    return { path: speechPath, sound: { ...speech, samplesPath }, mouthCurvePath };
  }
}

interface SpeechContext {
  readonly video: ClipFacts;
  readonly source: AssessmentSource | undefined;
  readonly audioTrack: number | undefined;
  readonly workspace: Workspace;
  readonly context: QualityPipelineContext;
}
