import { listClipWarnings } from './input-warnings.ts';
import { analyzeSpeechRenderTask, type SpeechReport } from '../audio/index.ts';
import type { Warning } from '../contract/provider-types.ts';
import {
  passThroughRenderTask,
  planTimeline,
  probeClip,
  probeSpeech,
  type ClipFacts,
  type MediaLimits,
  type SpeechFacts,
  type TakeEncoding,
  type Timeline,
} from '../media/index.ts';
import { annotateSpan, traced } from '../tracing/spans.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import { toLipsyncError } from '../errors/index.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import type { TakeRequest } from '../providers/provider.ts';
import { decideRetry } from '../providers/retry-policy.ts';
import { listMixWarnings } from './mix-warnings.ts';
import { labelOf, type LabelDefaults } from './output-labels.ts';
import type { FetchedInputs, PipelineContext, PipelineInput, PipelineResult } from './pipeline-types.ts';

/** Speech without a detected voice that stays below this level is silent and costs nothing. */
const silenceLevelDb = -50;

interface ProbedInputs {
  readonly inputs: FetchedInputs;
  readonly clip: ClipFacts;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
}

export interface InputPreparationOptions {
  readonly renderPool: RenderPool;
  readonly limits: MediaLimits;
  /** Quality of takes that are encoded here; the default of `media/` without it. */
  readonly encoding?: TakeEncoding;
  /** The visible label of outputs whose request has none; none without it. */
  readonly label?: LabelDefaults;
}

/** Fetches, probes and analyzes the inputs of a run, each at most once and only when something needs the result. */
export class PreparedInputs {
  readonly #input: PipelineInput;
  readonly #context: PipelineContext;
  readonly #tools: InputPreparationOptions;
  readonly #onProgress: PipelineContext['onProgress'];
  readonly #fetched: () => Promise<FetchedInputs>;
  readonly #probed: () => Promise<ProbedInputs>;
  readonly #analyzed: () => Promise<SpeechReport>;

  constructor(input: PipelineInput, context: PipelineContext, tools: InputPreparationOptions) {
    this.#input = input;
    this.#context = context;
    this.#tools = tools;
    // The inputs are prepared again for the take of an operation, which is further than their preparation.
    const { operation } = context.earlierAttempts.at(-1) ?? {};
    this.#onProgress = operation ? () => undefined : context.onProgress;
    this.#fetched = memoizeAsync(() => this.#fetch());
    this.#probed = memoizeAsync(() => this.#probe());
    this.#analyzed = memoizeAsync(() => this.#analyze());
  }

  /** Length of the output. */
  async durationMs(): Promise<number> {
    return (await this.#probed()).timeline.durationMs;
  }

  speechReport(): Promise<SpeechReport> {
    return this.#analyzed();
  }

  /**
   * Returns the request of one attempt. Each attempt has a path of its own, so that no take replaces an earlier one.
   */
  async takeRequest(attemptIndex: number): Promise<TakeRequest> {
    const { jobId, options, workspace } = this.#input;
    await this.#analyzed();
    const { inputs, clip, speech, timeline } = await this.#probed();
    annotateSpan({ 'lipsync.frames': timeline.frameCount, 'lipsync.output_ms': timeline.durationMs });
    return {
      jobId,
      ...inputs,
      clip,
      speech: { ...speech, samplesPath: this.#samplesPath },
      timeline,
      mouthCurvePath: this.#mouthCurvePath,
      silenceMode: options.silenceMode,
      encoding: this.#tools.encoding,
      label: labelOf(options, this.#tools.label),
      providerOptions: options.providerOptions,
      takePath: workspace.file(`take-${attemptIndex}.mp4`),
    };
  }

  /** Returns the clip with the new sound and an unchanged mouth, for silent speech. */
  async passThrough(): Promise<PipelineResult> {
    const { workspace } = this.#input;
    const takePath = workspace.file('take.mp4');
    const { inputs, clip, speech, timeline } = await this.#probed();
    const { clipPath, speechPath } = inputs;
    const task = {
      clipPath,
      speechPath,
      clip,
      speech,
      timeline,
      takePath,
      workFolder: workspace.path,
      encoding: this.#tools.encoding,
    };
    const report = await retryMediaStep(this.#context.signal, () =>
      this.#tools.renderPool.run(passThroughRenderTask, task, this.#context),
    );
    return {
      type: 'made',
      takePath,
      methodUsed: null,
      degraded: false,
      durationMs: timeline.durationMs,
      warnings: [silentWarning, ...listInputWarnings({ clip, speech }), ...report.warnings],
    };
  }

  async warnings(): Promise<readonly Warning[]> {
    const { clip, speech } = await this.#probed();
    const { voiceFound } = await this.#analyzed();
    return [
      ...listInputWarnings({ clip, speech }),
      ...(clip.variableFrameRate ? [frameRateWarning] : []),
      ...(voiceFound ? [] : [noVoiceWarning]),
    ];
  }

  get #mouthCurvePath(): string {
    return this.#input.workspace.file('mouth-curve');
  }

  get #samplesPath(): string {
    return this.#input.workspace.file('speech-samples');
  }

  #fetch(): Promise<FetchedInputs> {
    this.#onProgress({ stage: 'fetching', fraction: 0 });
    return this.#input.fetchInputs();
  }

  async #probe(): Promise<ProbedInputs> {
    const { signal } = this.#context;
    const { limits } = this.#tools;
    const { options } = this.#input;
    const inputs = await this.#fetched();
    this.#onProgress({ stage: 'probing', fraction: 0 });
    const clip = await retryMediaStep(signal, () =>
      traced('probe clip', {}, () => probeClip(inputs.clipPath, { limits, signal })),
    );
    const { audioTrack } = options;
    const speechPath = this.#input.workspace.file('speech.wav');
    const speech = await retryMediaStep(signal, () =>
      traced('probe speech', {}, () =>
        probeSpeech(inputs.speechPath, { limits, signal, audioTrack, targetPath: speechPath }),
      ),
    );
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: options.syncMode, window: options });
    return { inputs: { ...inputs, speechPath }, clip, speech, timeline };
  }

  async #analyze(): Promise<SpeechReport> {
    const { signal } = this.#context;
    const { renderPool } = this.#tools;
    await this.#fetched();
    // Warm up only when this host will render.
    renderPool.warm();
    const { inputs, speech, timeline } = await this.#probed();
    this.#onProgress({ stage: 'listening', fraction: 0 });
    const { speechPath } = inputs;
    const context = { ...this.#context, onProgress: this.#onProgress };
    const [mouthCurvePath, samplesPath] = [this.#mouthCurvePath, this.#samplesPath];
    const task = { speechPath, speech, timeline, mouthCurvePath, samplesPath };
    return retryMediaStep(signal, () => renderPool.run(analyzeSpeechRenderTask, task, context));
  }
}

/** Runs a media step outside of any provider, and repeats it as the retry policy decides. Throws the last error. */
export async function retryMediaStep<Result>(signal: AbortSignal, step: () => Promise<Result>): Promise<Result> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await step();
    } catch (error) {
      const decision = decideRetry({ type: 'media_step' }, toLipsyncError(error), { failures });
      if (signal.aborted || decision.type !== 'retry') throw error;
    }
  }
}

export function isSilent({ voiceFound, peakLevelDb }: SpeechReport): boolean {
  return !voiceFound && peakLevelDb < silenceLevelDb;
}

/** Warnings on the files, which apply whatever was made of them. */
function listInputWarnings({ clip, speech }: Pick<ProbedInputs, 'clip' | 'speech'>): readonly Warning[] {
  const { missing: ofClip } = clip;
  const { missing: ofSpeech, unusedMs, trackChoice } = speech;
  return [
    ...(ofClip === undefined ? [] : [truncated(`The clip is truncated: it lacks ${ofClip}.`)]),
    ...(ofSpeech === undefined ? [] : [truncated(`The speech audio is truncated: it lacks ${ofSpeech}.`)]),
    ...(clip.warnings ?? []),
    ...listClipWarnings(clip),
    ...(unusedMs === undefined ? [] : [unusedDataWarning(unusedMs)]),
    ...(trackChoice === undefined
      ? []
      : [{ code: 'audio_track_chosen', message: `${trackChoice} Set audio_track to use another one.` }]),
    ...listMixWarnings(speech),
  ];
}

function unusedDataWarning(unusedMs: number): Warning {
  const length = `about ${(unusedMs / 1000).toFixed(1)} s of data`;
  return {
    code: 'speech_data_unused',
    message: `The speech audio has ${length} behind the end that its header states; as in players, they are not used. Correct the length in the header to use them.`,
  };
}

function truncated(fault: string): Warning {
  return { code: 'input_truncated', message: `${fault} Use another copy of the file if that matters.` };
}

const silentWarning: Warning = Object.freeze({
  code: 'speech_silent',
  message: 'The speech audio is silent; the clip is returned with it and an unchanged mouth.',
});

const frameRateWarning: Warning = Object.freeze({
  code: 'variable_frame_rate',
  message: 'The clip has a variable frame rate; it was converted to the nearest constant rate.',
});

const noVoiceWarning: Warning = Object.freeze({
  code: 'no_voice_found',
  message: 'No voice was detected, so the mouth follows loudness only.',
});
