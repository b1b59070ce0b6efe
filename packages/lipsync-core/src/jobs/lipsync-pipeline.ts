import type { LipsyncOptions, ProviderId } from '../contract/index.ts';
import {
  passThroughRenderTask,
  planTimeline,
  probeClip,
  probeSpeech,
  type ClipFacts,
  type MediaLimits,
  type SpeechFacts,
  type Timeline,
} from '../media/index.ts';
import type { LipsyncError } from '../errors/index.ts';
import type { Clock, TraceContext } from '../contract/ports.ts';
import type { Admission } from '../providers/admission.ts';
import { localCostMicros, usdToMicros } from '../billing/micros.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import type { ChainContext } from '../providers/attempt-runner.ts';
import { abandonChain, runChain, type ChainOutcome } from '../providers/chain.ts';
import type { Provider, TakeRequest } from '../providers/provider.ts';
import type { ProgressReport, Warning } from '../contract/provider-types.ts';
import type { Forecast } from '../scheduling/completion-forecast.ts';
import type { ExecutionPlan } from '../scheduling/execution-plan.ts';
import { chainOf, type ProviderRegistry } from '../providers/provider-registry.ts';
import type { RenderPool } from '../processes/render-pool.ts';
import { analyzeSpeechRenderTask, type SpeechReport } from '../audio/index.ts';
import { retryMediaStep } from './retry-media-step.ts';
import type { FetchedInputs } from './input-fetcher.ts';
import { findSooner, makePlan } from './plan-job.ts';
import { failStore } from '../storage/store-failure.ts';
import type { Workspace } from '../processes/workspace.ts';
import type { Attempt } from '../providers/attempt.ts';

/** Speech that the voice detector finds empty and that stays below this level is silence and costs nothing. */
const silenceLevelDb = -50;

export interface PipelineInput {
  readonly jobId: string;
  /** Who pays: the name of the key that created the job, or null. */
  readonly owner: string | null;
  readonly options: LipsyncOptions;
  readonly workspace: Workspace;
  /** Brings the inputs here; called at most once, and not by a run that only looks whether it still has to wait. */
  fetchInputs(): Promise<FetchedInputs>;
}

export interface PipelineContext {
  readonly signal: AbortSignal;
  readonly trace?: TraceContext;
  readonly earlierAttempts: readonly Attempt[];
  /** Whether a run of this job ended without a word before: how long its attempts took says little about their providers. */
  readonly wasInterrupted: boolean;
  /** As it was saved; null where nobody has made one yet. */
  readonly plan: ExecutionPlan | null;
  /** How long the output is going to be, as it was saved with the plan. */
  readonly outputMs: number | null;
  /** Whether this host takes work of that kind. */
  canRun(kind: Provider['kind']): boolean;
  onProgress(progress: ProgressReport): void;
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
  /** Called, and waited for, before anything is tried; again where a job that waits for its turn had better go elsewhere. */
  savePlan(plan: ExecutionPlan, outputMs: number | null): Promise<void>;
}

export interface PipelineResult {
  readonly type: 'made';
  /** A finished, probed video inside the workspace. */
  readonly takePath: string;
  /** Null when no provider was needed: the speech was silent. */
  readonly methodUsed: ProviderId | null;
  readonly degraded: boolean;
  readonly durationMs: number;
  readonly warnings: readonly Warning[];
}

export type PipelineOutcome = PipelineResult | Exclude<ChainOutcome, { type: 'made' }>;

/** Clip + speech to take: the part of a job that is the same for the queue, a program and the CLI. */
export interface LipsyncPipeline {
  /**
   * Takes the job as far as it goes without waiting; called again with plan and attempts as they were saved, it goes on.
   * Throws a `LipsyncError`; leaves nothing outside the workspace but caches.
   */
  run(input: PipelineInput, context: PipelineContext): Promise<PipelineOutcome>;
  /** Lets go of what runs elsewhere, and of what is held, for a job that is not wanted any more. */
  abandon(
    input: Pick<PipelineInput, 'jobId' | 'owner' | 'options'>,
    reason: LipsyncError,
    context: Pick<PipelineContext, 'signal' | 'earlierAttempts' | 'saveAttempts'>,
  ): Promise<void>;
}

export interface PipelineDependencies {
  readonly registry: ProviderRegistry;
  readonly renderPool: RenderPool;
  readonly admission: Admission;
  readonly forecast: Forecast;
  readonly limits: MediaLimits;
  readonly clock: Clock;
  /** What an hour of a provider's work on this machine costs, in millionths of a dollar; nothing where it is not said. */
  readonly localMicrosPerHour?: number;
}

interface Probed {
  readonly inputs: FetchedInputs;
  readonly clip: ClipFacts;
  readonly speech: SpeechFacts;
  readonly timeline: Timeline;
}

interface Prepared extends Probed {
  readonly mouthCurvePath: string;
  readonly speechReport: SpeechReport;
}

type MadeOutcome = Extract<ChainOutcome, { type: 'made' }>;

export function createLipsyncPipeline(dependencies: PipelineDependencies): LipsyncPipeline {
  return {
    async run(input, context) {
      const fetched = memoizeAsync(() => fetchInputs(input, context));
      const probed = memoizeAsync(async () => probe(dependencies, input, context, await fetched()));
      const prepared = memoizeAsync(async () => {
        await fetched();
        // Starts while the inputs are probed. Not where they are probed for the plan alone: others may go on with the job.
        dependencies.renderPool.warm();
        return listen(dependencies, input, context, await probed());
      });
      const measure = async (): Promise<number> => (await probed()).timeline.durationMs;
      let plan = context.plan ?? (await makePlan(dependencies, input.options, { savePlan: context.savePlan, measure }));
      let chain = chainOf(dependencies.registry, plan);
      const chained = { ...chainContext(dependencies, input, context), ...localPrice(dependencies, input, measure) };
      if (context.earlierAttempts.length === 0) {
        let early = await lookFirst(chain, prepared, chained);
        const sooner = isWaiting(early)
          ? await findSooner(dependencies, input.options, { ...context, jobId: input.jobId })
          : undefined;
        if (sooner) {
          plan = sooner;
          chain = chainOf(dependencies.registry, plan);
          early = await lookFirst(chain, prepared, chained);
        }
        if (early === 'silent') return passThrough(dependencies, input, await prepared(), context);
        if (early) return early;
      }
      const outcome = await runChain(chain, async () => toTakeRequest(input, await prepared()), { ...chained, plan });
      if (outcome.type !== 'made') return outcome;
      if (isUndisturbed(context)) await learnPace(dependencies, input, outcome, await prepared());
      return toResult(outcome, await prepared());
    },
    abandon(input, reason, context) {
      // All providers: what was begun may be no more than what a chain of today would hold.
      return abandonChain(
        dependencies.registry.all,
        reason,
        chainContext(dependencies, input, { ...context, canRun: () => true, onProgress: () => undefined }),
      );
    },
  };
}

function chainContext(
  { admission, clock }: PipelineDependencies,
  { jobId, owner, options }: Pick<PipelineInput, 'jobId' | 'owner' | 'options'>,
  context: Pick<PipelineContext, 'signal' | 'earlierAttempts' | 'saveAttempts' | 'canRun' | 'onProgress'>,
): ChainContext {
  const maxCostMicros = options.maxCostUsd === undefined ? null : usdToMicros(options.maxCostUsd);
  const { priority, userId } = options;
  return { ...context, jobId, priority, user: owner ?? userId ?? null, maxCostMicros, admission, clock };
}

/** What work on this machine costs, where it costs anything. `measure` tells how long the output is going to be. */
function localPrice(
  { forecast, localMicrosPerHour = 0 }: PipelineDependencies,
  { options }: PipelineInput,
  measure: () => Promise<number>,
): Pick<ChainContext, 'localPrice'> {
  if (localMicrosPerHour === 0) return {};
  const quote = async (provider: ProviderId): Promise<number> => {
    const expectations = await forecast.expect({ durationMs: await measure(), options }).catch(failStore);
    return localCostMicros(
      expectations.find((expectation) => expectation.provider === provider)?.workMs ?? 0,
      localMicrosPerHour,
    );
  };
  return { localPrice: { microsPerHour: localMicrosPerHour, quote } };
}

/** Not so where the take had been made by an earlier run and was only collected again: its time was learned then. */
function isUndisturbed({ wasInterrupted, earlierAttempts }: PipelineContext): boolean {
  return !wasInterrupted && earlierAttempts.at(-1)?.outcome !== 'succeeded';
}

/** What was learned is a help for others; that it cannot be kept is no fault of this job. */
async function learnPace(
  { forecast }: PipelineDependencies,
  { options }: PipelineInput,
  { provider, attempts }: MadeOutcome,
  { timeline }: Prepared,
): Promise<void> {
  const { startedAtMs, endedAtMs } = attempts.at(-1) ?? { startedAtMs: 0, endedAtMs: null };
  if (endedAtMs === null) return;
  const output = { provider: provider.facts.id, options, durationMs: timeline.durationMs };
  await forecast.record(output, endedAtMs - startedAtMs).catch(() => undefined);
}

/**
 * Before the first attempt: takes a place at the provider before anything is fetched, since many jobs may stand in line
 * for it, and finds out whether there is anything to speak. Undefined when the chain may begin.
 */
async function lookFirst(
  chain: readonly Provider[],
  prepared: () => Promise<Prepared>,
  { admission, canRun, ...job }: ChainContext,
): Promise<Exclude<ChainOutcome, { type: 'made' }> | 'silent' | undefined> {
  const [first] = chain;
  if (!first) return undefined;
  if (!canRun(first.kind)) return { type: 'elsewhere', needs: first.kind };
  const entry = await admission.admit(first, job);
  if (entry.type === 'waiting') return entry;
  const { speechReport } = await giveUpPlaceUnless(prepared(), () => admission.releaseUnusedSlot(first, job.jobId));
  if (!isSilent(speechReport)) return undefined;
  await admission.releaseUnusedSlot(first, job.jobId);
  return 'silent';
}

function isWaiting(early: Awaited<ReturnType<typeof lookFirst>>): boolean {
  return typeof early === 'object' && early.type === 'waiting';
}

async function giveUpPlaceUnless<Value>(work: Promise<Value>, giveUp: () => Promise<void>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    await giveUp();
    throw error;
  }
}

function fetchInputs(input: PipelineInput, context: PipelineContext): Promise<FetchedInputs> {
  context.onProgress({ stage: 'fetching', fraction: 0 });
  return input.fetchInputs();
}

async function probe(
  { limits }: PipelineDependencies,
  input: PipelineInput,
  context: PipelineContext,
  inputs: FetchedInputs,
): Promise<Probed> {
  const { signal } = context;
  const { clipPath, speechPath } = inputs;
  context.onProgress({ stage: 'probing', fraction: 0 });
  const clip = await retryMediaStep(signal, () => probeClip(clipPath, { limits, signal }));
  const speech = await retryMediaStep(signal, () => probeSpeech(speechPath, { limits, signal }));
  const timeline = planTimeline(clip, speech.durationMs, {
    syncMode: input.options.syncMode,
    window: windowOf(input.options),
  });
  return { inputs, clip, speech, timeline };
}

async function listen(
  { renderPool }: PipelineDependencies,
  input: PipelineInput,
  context: PipelineContext,
  probed: Probed,
): Promise<Prepared> {
  const { signal } = context;
  const {
    inputs: { speechPath },
    speech,
    timeline,
  } = probed;
  context.onProgress({ stage: 'listening', fraction: 0 });
  const mouthCurvePath = input.workspace.file('mouth-curve');
  const speechReport = await retryMediaStep(signal, () =>
    renderPool.run(
      analyzeSpeechRenderTask,
      { speechPath, speechDurationMs: speech.durationMs, timeline, mouthCurvePath },
      context,
    ),
  );
  return { ...probed, mouthCurvePath, speechReport };
}

function windowOf({ startMs, endMs }: LipsyncOptions): { startMs?: number; endMs?: number } {
  return { ...(startMs === undefined ? {} : { startMs }), ...(endMs === undefined ? {} : { endMs }) };
}

function isSilent(report: SpeechReport): boolean {
  return !report.voiceFound && report.peakLevelDb < silenceLevelDb;
}

async function passThrough(
  { renderPool }: PipelineDependencies,
  { workspace }: PipelineInput,
  prepared: Prepared,
  context: PipelineContext,
): Promise<PipelineResult> {
  const takePath = workspace.file('take.mp4');
  const {
    inputs: { clipPath, speechPath },
    clip,
    speech,
    timeline,
  } = prepared;
  const report = await retryMediaStep(context.signal, () =>
    renderPool.run(
      passThroughRenderTask,
      { clipPath, speechPath, clip, speech, timeline, takePath, workFolder: workspace.path },
      context,
    ),
  );
  const warnings = [
    {
      code: 'speech_silent',
      message: 'The speech holds no sound to speak; the clip was returned with it, its mouth unchanged.',
    },
  ];
  return {
    type: 'made',
    takePath,
    methodUsed: null,
    degraded: false,
    durationMs: timeline.durationMs,
    warnings: [...warnings, ...report.warnings],
  };
}

function toTakeRequest(
  { jobId, options, workspace }: PipelineInput,
  { inputs, clip, speech, timeline, mouthCurvePath }: Prepared,
): TakeRequest {
  return {
    jobId,
    ...inputs,
    clip,
    speech,
    timeline,
    mouthCurvePath,
    silenceMode: options.silenceMode,
    providerOptions: options.providerOptions,
    takePath: workspace.file('take.mp4'),
  };
}

function toResult({ take, provider }: MadeOutcome, prepared: Prepared): PipelineResult {
  return {
    type: 'made',
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
    warnings.push({
      code: 'variable_frame_rate',
      message: 'The clip has a variable frame rate; it was made constant at the nearest standard rate.',
    });
  }
  if (!speechReport.voiceFound) {
    warnings.push({
      code: 'no_voice_found',
      message: 'No voice was recognized in the speech; the mouth follows its loudness alone.',
    });
  }
  return warnings;
}

function degradedWarning({ facts }: Provider): Warning[] {
  if (!facts.degraded) return [];
  return [{ code: 'degraded', message: `Made by "${facts.id}", a stand-in for checking timing, not a final result.` }];
}
