import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import { planTimeline, probeClip, probeSpeech, type ClipFacts, type MediaLimits, type SpeechFacts, type Timeline } from '../media/index.ts';
import type { Clock } from '../ports/ports.ts';
import { runChain } from '../providers/provider-chain.ts';
import type { Provider, ProgressReport, TakeRequest, Warning } from '../providers/provider.ts';
import { resolveChain, type ProviderRegistry } from '../providers/provider-registry.ts';
import type { RenderPool } from '../render/render-pool.ts';
import type { SpeechReport } from '../speech/speech-types.ts';
import { againOnce } from './again-once.ts';
import type { Attempt } from './job-record.ts';
import type { Workspace } from './workspace.ts';

/** Speech that the voice detector finds empty and that stays below this level is silence and costs nothing. */
const silenceLevelDb = -50;

export interface PipelineInput {
  readonly jobId: string;
  readonly clipPath: string;
  readonly speechPath: string;
  /** Content hash of the clip. */
  readonly clipDigest: string;
  readonly options: LipsyncOptions;
  readonly workspace: Workspace;
}

export interface PipelineContext {
  readonly signal: AbortSignal;
  readonly earlierAttempts: readonly Attempt[];
  onProgress(progress: ProgressReport): void;
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

export interface PipelineResult {
  /** A finished, probed video inside the workspace. */
  readonly takePath: string;
  /** Null when no provider was needed: the speech was silent. */
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly durationMs: number;
  readonly warnings: readonly Warning[];
}

/** Clip + speech to take: the part of a job that is the same for the queue, a program and the CLI. */
export interface LipsyncPipeline {
  /** Throws a `LipsyncError`; leaves nothing outside the workspace but caches. */
  run(input: PipelineInput, context: PipelineContext): Promise<PipelineResult>;
}

export interface PipelineDependencies {
  readonly registry: ProviderRegistry;
  readonly renderPool: RenderPool;
  readonly limits: MediaLimits;
  readonly clock: Clock;
}

interface Prepared {
  readonly clip: ClipFacts;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
  readonly mouthCurvePath: string;
  readonly speechReport: SpeechReport;
}

export function createLipsyncPipeline(dependencies: PipelineDependencies): LipsyncPipeline {
  return {
    async run(input, context) {
      const chain = resolveChain(dependencies.registry, input.options);
      const prepared = await prepare(dependencies, input, context);
      return isSilent(prepared.speechReport)
        ? passThrough(dependencies, input, prepared, context)
        : render(dependencies, chain, input, prepared, context);
    },
  };
}

async function prepare({ limits, renderPool }: PipelineDependencies, input: PipelineInput, context: PipelineContext): Promise<Prepared> {
  const { signal } = context;
  context.onProgress({ stage: 'probing', fraction: 0 });
  const clip = await againOnce(signal, () => probeClip(input.clipPath, { limits, signal }));
  const speech = await againOnce(signal, () => probeSpeech(input.speechPath, { limits, signal }));
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: input.options.syncMode, window: windowOf(input.options) });
  context.onProgress({ stage: 'listening', fraction: 0 });
  const mouthCurvePath = input.workspace.file('mouth-curve');
  const speechReport = await againOnce(signal, () => renderPool.run(
    { kind: 'analyse_speech', speechPath: input.speechPath, speechDurationMs: speech.durationMs, timeline, mouthCurvePath },
    { signal, onProgress: context.onProgress },
  ));
  return { clip, speech, timeline, mouthCurvePath, speechReport };
}

function windowOf({ startMs, endMs }: LipsyncOptions): { startMs?: number; endMs?: number } {
  return { ...(startMs === undefined ? {} : { startMs }), ...(endMs === undefined ? {} : { endMs }) };
}

function isSilent(report: SpeechReport): boolean {
  return !report.voiceFound && report.peakLevelDb < silenceLevelDb;
}

async function passThrough(
  { renderPool }: PipelineDependencies, input: PipelineInput, prepared: Prepared, context: PipelineContext,
): Promise<PipelineResult> {
  const takePath = input.workspace.file('take.mp4');
  const { clip, speech, timeline } = prepared;
  const report = await againOnce(context.signal, () => renderPool.run(
    { kind: 'pass_through', clipPath: input.clipPath, speechPath: input.speechPath, clip, speech, timeline, takePath, workFolder: input.workspace.path },
    context,
  ));
  const warnings = [{ code: 'speech_silent', message: 'The speech holds no sound to speak; the clip was returned with it, its mouth unchanged.' }];
  return { takePath, methodUsed: null, degraded: false, durationMs: timeline.durationMs, warnings: [...warnings, ...report.warnings] };
}

async function render(
  dependencies: PipelineDependencies, chain: readonly Provider[], input: PipelineInput, prepared: Prepared, context: PipelineContext,
): Promise<PipelineResult> {
  const request: TakeRequest = {
    jobId: input.jobId,
    clipPath: input.clipPath,
    clipDigest: input.clipDigest,
    clip: prepared.clip,
    speechPath: input.speechPath,
    speech: prepared.speech,
    timeline: prepared.timeline,
    mouthCurvePath: prepared.mouthCurvePath,
    silenceMode: input.options.silenceMode,
    takePath: input.workspace.file('take.mp4'),
  };
  const { take, provider } = await runChain(chain, request, { ...context, clock: dependencies.clock });
  return {
    takePath: take.path,
    methodUsed: provider.facts.id,
    degraded: provider.facts.degraded,
    durationMs: prepared.timeline.durationMs,
    warnings: [...inputWarnings(prepared), ...degradedWarning(provider), ...take.warnings],
  };
}

function inputWarnings({ clip, speechReport }: Prepared): Warning[] {
  const warnings: Warning[] = [];
  if (clip.variableFrameRate) {
    warnings.push({ code: 'variable_frame_rate', message: 'The clip has a variable frame rate; it was made constant at the nearest standard rate.' });
  }
  if (!speechReport.voiceFound) {
    warnings.push({ code: 'no_voice_found', message: 'No voice was recognised in the speech; the mouth follows its loudness alone.' });
  }
  return warnings;
}

function degradedWarning({ facts }: Provider): Warning[] {
  if (!facts.degraded) return [];
  return [{ code: 'degraded', message: `Made by "${facts.id}", a stand-in for checking timing, not a final result.` }];
}
