import type { Warning } from '../contract/provider-types.ts';
import type { Fingerprint } from '../fingerprint/fingerprint.ts';
import type { Quality } from '../contract/quality.ts';
import { abortError, LipsyncError, toLipsyncError } from '../errors/index.ts';
import { isCandidate, withoutTakes, type Attempt, type KeptTake } from '../providers/attempt.ts';
import { expectedPictureOf } from '../media/index.ts';
import type { Assessment, QualityAssessor } from '../quality/assessment/quality-assessor.ts';
import { judgeTake } from '../quality/take-choice.ts';
import { failStorage, StoreFailure } from '../storage/store-failure.ts';
import { findBestCandidate, joinWarnings } from './made-take.ts';
import type { MadeOutcome, PipelineContext, PipelineInput, PipelineResult } from './pipeline-types.ts';
import type { PreparedInputs } from './prepared-inputs.ts';

export interface QualityGateOptions {
  /** Assesses every take; none is assessed, and none is rejected, without it. */
  readonly assessor?: Pick<QualityAssessor, 'run'>;
  /** Cache of face tracks, which the assessment shares with the local providers. */
  readonly trackCacheFolder: string;
  /** Lowest accepted sync score of a request without its own; null for none. */
  readonly minSyncScore: number | null;
  /** Whether a fingerprint of each take is made while it is assessed. */
  readonly withFingerprints?: boolean;
}

/** A take that is not delivered unless no better one is made. */
export interface RejectedTake {
  readonly type: 'rejected';
  /** Made while the take was assessed. */
  readonly fingerprint?: Fingerprint | undefined;
}

/** One run of a job: its request, prepared inputs and context. */
export interface GateRun {
  readonly input: PipelineInput;
  readonly inputs: PreparedInputs;
  readonly context: PipelineContext;
}

/**
 * Decides whether a take is delivered. A rejected take is kept while further providers of the plan are tried; only the
 * best of them is kept. Assessing costs nothing, so that an interrupted run assesses again.
 */
export class QualityGate {
  readonly #options: QualityGateOptions;

  constructor(options: QualityGateOptions) {
    this.#options = options;
  }

  /**
   * Returns the result of an accepted take. Ends the attempt of a rejected one with `quality_rejected`. Throws the reason
   * of a cancel, and a `StorageUnavailable` if a rejected take cannot be kept.
   */
  async judge(made: MadeOutcome, run: GateRun): Promise<PipelineResult | RejectedTake> {
    const { context } = run;
    const { attempts, take } = made;
    const index = attempts.length - 1;
    const facts = attempts.at(-1)?.take ?? (await describeTake(made, run.inputs));
    const { assessor } = this.#options;
    const isOwnTake = made.provider.kind === 'inline';
    if (!assessor) {
      const result = toResult(made, { facts, quality: undefined, fingerprint: undefined });
      if (!isOwnTake) return result;
      const { clip, timeline } = await run.inputs.takeRequest(index);
      return { ...result, expectedPicture: expectedPictureOf(clip, timeline) };
    }
    const assessed = await this.#assess(assessor, take.path, { ...run, isOwnTake });
    const rated = {
      facts: { ...facts, warnings: [...facts.warnings, ...assessed.warnings] },
      quality: assessed.quality,
      fingerprint: assessed.fingerprint,
    };
    const minSyncScore = run.input.options.minSyncScore ?? this.#options.minSyncScore;
    const verdict = judgeTake(rated.quality, minSyncScore);
    const isKept = take.path === context.keptTakes.pathOf(index);
    if (verdict.type === 'accepted') {
      const kept = isKept ? { take: rated.facts } : {};
      await context.saveAttempts(changeLast(attempts, { quality: rated.quality, ...kept }));
      return toResult(made, rated);
    }
    if (!isKept) await context.keptTakes.keep(take.path, index).catch(failStorage);
    await keepBest(
      changeLast(attempts, {
        outcome: 'failed',
        code: 'quality_rejected',
        message: verdict.reason,
        quality: rated.quality,
        take: rated.facts,
      }),
      context,
    );
    return { type: 'rejected', fingerprint: rated.fingerprint };
  }

  /** Adds the quality to an output that no provider made, and that nothing can replace. Throws the reason of a cancel. */
  async rate(result: PipelineResult, run: GateRun): Promise<PipelineResult> {
    const { assessor } = this.#options;
    if (!assessor) return result;
    const { quality, warnings, fingerprint } = await this.#assess(assessor, result.takePath, run);
    return { ...result, quality, warnings: [...result.warnings, ...warnings], ...(fingerprint && { fingerprint }) };
  }

  async #assess(
    assessor: Pick<QualityAssessor, 'run'>,
    videoPath: string,
    { input, inputs, context, isOwnTake = false }: GateRun & { readonly isOwnTake?: boolean },
  ): Promise<Pick<Assessment, 'quality' | 'warnings' | 'fingerprint'>> {
    const request = await inputs.takeRequest(0);
    const { clipPath, clipDigest, clip, timeline, speechPath, speech, mouthCurvePath, label } = request;
    const assessment = await assessor.run(
      {
        videoPath,
        source: { clipPath, clipDigest, clip, timeline },
        speech: { path: speechPath, sound: speech, mouthCurvePath },
        ...(isOwnTake && { label, followsTimeline: true }),
        trackCacheFolder: this.#options.trackCacheFolder,
        workFolder: input.workspace.path,
        allWindows: input.options.qualityWindows === 'all',
        withFingerprint: this.#options.withFingerprints,
      },
      { ...context, onProgress: ({ fraction }) => context.onProgress({ stage: 'checking', fraction }) },
    );
    // A deadline or a shutdown ends only the assessment, because the take is finished.
    const { reason } = context.signal;
    if (reason instanceof StoreFailure || (LipsyncError.isInstance(reason) && reason.code === 'canceled')) throw reason;
    return assessment;
  }
}

export interface DeliveryContext extends Pick<PipelineContext, 'signal' | 'keptTakes'> {
  /** Of the takes that this run has rejected, by the index of their attempt. */
  readonly fingerprints: ReadonlyMap<number, Fingerprint>;
}

/**
 * Returns the best rejected take when no further provider makes one. Throws `thrown` without such a take, and when the job
 * is canceled or its store has failed.
 */
export async function deliverBestCandidate(
  thrown: unknown,
  attempts: readonly Attempt[],
  { signal, keptTakes, fingerprints }: DeliveryContext,
): Promise<PipelineResult> {
  // The error of a worker that shuts down is `canceled`, too.
  const { code } = signal.aborted ? abortError(signal) : toLipsyncError(thrown);
  const best = findBestCandidate(attempts);
  if (thrown instanceof StoreFailure || code === 'canceled' || best?.attemptIndex === undefined) throw thrown;
  // Without the file, an earlier run may have published it.
  const takePath = (await keptTakes.find(best.attemptIndex).catch(failStorage)) ?? keptTakes.pathOf(best.attemptIndex);
  const fingerprint = fingerprints.get(best.attemptIndex);
  return { type: 'made', takePath, errorIfLost: toLipsyncError(thrown), ...best, ...(fingerprint && { fingerprint }) };
}

/**
 * Saves the attempts and deletes the takes that another one has surpassed, so that a job keeps one rejected take. It is
 * shared first: another machine that reads the attempts finds it.
 */
async function keepBest(
  attempts: readonly Attempt[],
  { keptTakes, saveAttempts }: Pick<PipelineContext, 'keptTakes' | 'saveAttempts'>,
): Promise<void> {
  const best = findBestCandidate(attempts)?.attemptIndex;
  const isSurpassed = (attempt: Attempt): boolean => isCandidate(attempt) && attempts.indexOf(attempt) !== best;
  if (best === attempts.length - 1) await keptTakes.share(best).catch(failStorage);
  await saveAttempts(withoutTakes(attempts, isSurpassed));
  for (const [index, attempt] of attempts.entries()) if (isSurpassed(attempt)) await keptTakes.remove(index);
}

function changeLast(attempts: readonly Attempt[], change: Partial<Attempt>): readonly Attempt[] {
  return attempts.map((attempt, index) => (index === attempts.length - 1 ? { ...attempt, ...change } : attempt));
}

/** Facts about a take, with the warnings of its inputs and its provider. */
export async function describeTake(
  { provider, take }: Pick<MadeOutcome, 'provider' | 'take'>,
  inputs: PreparedInputs,
): Promise<KeptTake> {
  const { id, degraded } = provider.facts;
  return {
    degraded,
    durationMs: await inputs.durationMs(),
    warnings: [...(await inputs.warnings()), ...(degraded ? [degradedWarning(id)] : []), ...take.warnings],
  };
}

function degradedWarning(id: string): Warning {
  return {
    code: 'degraded',
    message: `Rendered by the ${id} provider: for checking timing, not a final result.`,
  };
}

function toResult(
  { provider, take, attempts }: MadeOutcome,
  {
    facts,
    quality,
    fingerprint,
  }: {
    readonly facts: KeptTake;
    readonly quality: Quality | undefined;
    readonly fingerprint: Fingerprint | undefined;
  },
): PipelineResult {
  return {
    type: 'made',
    takePath: take.path,
    ...facts,
    methodUsed: provider.facts.id,
    ...(attempts.at(-1)?.take && { attemptIndex: attempts.length - 1 }),
    ...(quality && { quality, warnings: joinWarnings(facts.warnings, quality) }),
    ...(fingerprint && { fingerprint }),
  };
}
