/**
 * Runs the provider chain of one job. Who is responsible for what:
 *
 * - Decide on retries: `decideRetry` (retry-policy.ts) alone, from the error code and the failures so far. This file
 *   applies its decisions on attempts; remote-attempt.ts applies those on single vendor calls.
 * - Save attempts: `AttemptLog`, through `saveAttempts`, after every change and before the work that follows it.
 * - Reserve money: `AttemptRunner` for local work and remote-attempt.ts for a vendor's, through `Admission.reserve`.
 * - Settle or release money: `AttemptRunner`, through `Admission.finish`, before the end of the attempt is saved.
 * - Judge takes: jobs/quality-gate.ts. It ends an attempt with `quality_rejected`, and the chain resumes after it.
 * - Sleep: this file, for the pause before a new try of the same provider. Remote attempts and slots never sleep: they
 *   return `waiting`, and the job runs again later.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProviderKind } from '../contract/provider-types.ts';
import { abortError, errorPolicies, LipsyncError, ProviderError, type ErrorCode } from '../errors/index.ts';
import { maxTriesPerProvider } from '../scheduling/execution-plan.ts';
import { AttemptRunner, type ChainContext } from './attempt-runner.ts';
import { isCandidate, type Attempt } from './attempt.ts';
import type { Provider, Take, TakeRequest } from './provider.ts';
import type { AttemptProgress } from './remote-attempt.ts';
import { decideRetry, type RetryDecision } from './retry-policy.ts';

export type ChainOutcome =
  | { readonly type: 'made'; readonly take: Take; readonly provider: Provider; readonly attempts: readonly Attempt[] }
  /**
   * A remote operation runs, all slots of its provider are taken, or the circuit breaker of the only provider left is
   * not closed. The chain should be run again at `untilMs`.
   */
  | Extract<AttemptProgress, { type: 'waiting' }>
  /** The next provider does not run on this host. */
  | { readonly type: 'elsewhere'; readonly needs: ProviderKind };

/**
 * Tries the providers in order until one makes a take or the job must wait. Every attempt is saved before it starts; a
 * later call with the saved attempts resumes. `prepare` returns the request of an attempt by its index; it may be
 * called several times, and is not called while an operation only runs. Throws the error of the last attempt when none
 * succeeds, and what `saveAttempts` throws.
 */
export async function runChain(
  providers: readonly Provider[],
  prepare: (attemptIndex: number) => Promise<TakeRequest>,
  context: ChainContext,
): Promise<ChainOutcome> {
  const { signal, canRun } = context;
  const earlierAttempts = context.earlierAttempts.slice(context.firstAttempt);
  const runner = new AttemptRunner(context);
  let lastError = lastErrorOf(earlierAttempts) ?? new LipsyncError('not_supported', 'No provider is left to try.');
  if (errorPolicies[lastError.code].decision === 'fail') throw lastError;
  const remaining = providers
    .slice(resumeIndex(providers, earlierAttempts, context))
    .filter((provider) => !isOutclassed(provider, earlierAttempts));
  const hasCandidate = earlierAttempts.some(isCandidate);
  for (const [index, provider] of remaining.entries()) {
    const isLast = index === remaining.length - 1 && !hasCandidate;
    for (let failures = countFailures(earlierAttempts, provider) + 1; ; failures += 1) {
      if (!canRun(provider.kind)) return { type: 'elsewhere', needs: provider.kind };
      const outcome = await runner.run(provider, prepare, { isLast });
      if (outcome.type === 'waiting') return outcome;
      if (outcome.type === 'made') return { ...outcome, provider, attempts: runner.log.attempts };
      lastError = outcome.error;
      if (signal.aborted) throw lastError;
      const decision = decideAfter(provider, context, lastError.code, failures);
      if (decision.type === 'fail') throw lastError;
      if (decision.type !== 'retry') break;
      await pause(decision.afterMs, signal);
    }
  }
  throw lastError;
}

/**
 * Ends what earlier runs left running or waiting, because the job ends with `reason`. `providers` are all providers of
 * this installation. An operation that the vendor does not confirm as canceled leaves a pending settlement.
 */
export async function abandonChain(
  providers: readonly Provider[],
  reason: LipsyncError,
  context: ChainContext,
): Promise<void> {
  await new AttemptRunner(context).abandon(providers, reason);
}

/** Whether the job has a take that none of this provider would replace. */
function isOutclassed({ facts }: Provider, attempts: readonly Attempt[]): boolean {
  return facts.degraded && attempts.some((attempt) => isCandidate(attempt) && !attempt.take.degraded);
}

function decideAfter(
  { kind, facts }: Provider,
  { plan }: Pick<ChainContext, 'plan'>,
  code: ErrorCode,
  failures: number,
): RetryDecision {
  const maxTries = plan?.find(({ provider }) => provider === facts.id)?.maxTries ?? maxTriesPerProvider;
  return decideRetry({ type: 'attempt', kind, maxTries }, { code }, { failures });
}

/** Throws the abort reason, so that no further try begins once the job must stop. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}

/**
 * The index of the provider of the last attempt, or of the next one if that attempt ended its tries. Attempts of
 * providers that are no longer configured do not count: an earlier provider may have been paid.
 */
function resumeIndex(
  providers: readonly Provider[],
  attempts: readonly Attempt[],
  context: Pick<ChainContext, 'plan'>,
): number {
  const last = attempts.findLast(({ provider }) => providers.some(({ facts }) => facts.id === provider));
  const index = providers.findIndex(({ facts }) => facts.id === last?.provider);
  const provider = providers[index];
  if (!last || !provider) return 0;
  if (last.outcome !== 'failed' || last.code === null) return index;
  return decideAfter(provider, context, last.code, countFailures(attempts, provider)).type === 'retry'
    ? index
    : index + 1;
}

/** The error with which an interrupted run would have ended. */
function lastErrorOf(attempts: readonly Attempt[]): LipsyncError | undefined {
  const last = attempts.at(-1);
  if (last?.outcome !== 'failed' || last.code === null) return undefined;
  const message = last.message ?? 'The attempt failed.';
  return errorPolicies[last.code].decision === 'fail'
    ? new LipsyncError(last.code, message)
    : new ProviderError(last.code, message, { provider: last.provider });
}

/** Failed attempts of a provider. A crashed worker does not count against it. */
function countFailures(attempts: readonly Attempt[], { facts }: Provider): number {
  return attempts.filter(
    ({ provider, outcome, code }) => provider === facts.id && outcome === 'failed' && code !== 'worker_crashed',
  ).length;
}
