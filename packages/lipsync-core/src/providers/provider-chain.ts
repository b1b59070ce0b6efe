import { setTimeout as sleep } from 'node:timers/promises';
import {
  abortError,
  errorPolicies,
  LipsyncError,
  ProviderError,
  TimeoutError,
  toLipsyncError,
} from '../errors/index.ts';
import type { Clock } from '../contract/ports.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import type { Admission, AttemptReference, Entry, SlotApplicant } from './admission.ts';
import { createAttemptLog, leftMicros, unacknowledgedRequest, type AttemptLog } from './attempt-log.ts';
import { decideAfterAttempt, pauseBeforeTryMs } from './chain-decision.ts';
import { localCostMicros, type LocalPrice } from '../billing/local-price.ts';
import { memoizeAsync } from '../processes/memoize-async.ts';
import type { InlineProvider, Provider, RemoteProvider, Take, TakeContext, TakeRequest } from './provider.ts';
import { advanceRemote, type Waiting } from './remote-attempt.ts';
import { stopOperation } from './stop-operation.ts';
import type { Attempt } from './attempt.ts';
import type { OperationStop } from '../contract/provider-types.ts';

export interface ChainContext extends TakeContext, SlotApplicant {
  /** Who pays, as in `AttemptReference`. */
  readonly user: string | null;
  /** What all attempts together may cost, in millionths of a dollar; null for any. */
  readonly maxCostMicros: number | null;
  /** Work on this machine costs nothing where it is not said. */
  readonly localPrice?: LocalPrice;
  readonly clock: Clock;
  readonly admission: Admission;
  /** Attempts of an earlier run of this job; a remote one that was still running is gone on with. */
  readonly earlierAttempts: readonly Attempt[];
  /** Whether this host takes work of that kind. */
  canRun(kind: Provider['kind']): boolean;
  /** Called, and waited for, whenever an attempt begins, learns its operation or its cost, or ends. */
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

export type ChainOutcome =
  | { readonly kind: 'made'; readonly take: Take; readonly provider: Provider; readonly attempts: readonly Attempt[] }
  /** A remote operation runs, or all of its provider's places are taken: come back then. */
  | Waiting
  /** The next provider is none for this host. */
  | { readonly kind: 'elsewhere'; readonly needs: Provider['kind'] };

/**
 * Tries the providers in order until one makes a take or the job has to wait. Every attempt is saved before it is worked
 * on; calling it again with what was saved goes on where it stood. `prepare` is called at most once, and not while an
 * operation only runs.
 * Throws the error of the last attempt when none succeeds; what it cost and why is in the saved attempts. Throws what
 * `saveAttempts` throws: no provider is blamed for it.
 */
export async function runChain(
  chain: readonly Provider[],
  prepare: () => Promise<TakeRequest>,
  context: ChainContext,
): Promise<ChainOutcome> {
  const log = createAttemptLog(context);
  const prepareOnce = memoizeAsync(prepare);
  let lastError =
    errorOfLast(context.earlierAttempts) ?? new LipsyncError('not_supported', 'No provider is left to try.');
  if (errorPolicies[lastError.code].decision === 'stop') throw lastError;
  for (const provider of chain.slice(resumeIndex(chain, context.earlierAttempts))) {
    for (let tries = countTries(log.attempts, provider) + 1; ; tries += 1) {
      if (!context.canRun(provider.kind)) return { kind: 'elsewhere', needs: provider.kind };
      const outcome = await attempt(provider, prepareOnce, context, log);
      if (!LipsyncError.isInstance(outcome)) {
        return 'kind' in outcome ? outcome : { kind: 'made', take: outcome, provider, attempts: log.attempts };
      }
      lastError = outcome;
      const decision = context.signal.aborted ? 'stop' : decideAfterAttempt(provider, outcome.code, tries);
      if (decision === 'stop') throw outcome;
      if (decision === 'next') break;
      await pause(pauseBeforeTryMs(tries), context.signal);
    }
  }
  throw lastError;
}

/**
 * Ends what an earlier run left running or waiting when the job is not wanted any more: `reason` says why. `providers` are
 * all that there are. A vendor that does not hear it is asked about the operation later.
 */
export async function abandonChain(
  providers: readonly Provider[],
  reason: LipsyncError,
  context: ChainContext,
): Promise<void> {
  const log = createAttemptLog(context);
  for (const provider of providers) {
    if (log.unfinished(provider)) await endAttempt(provider, reason, context, log);
    else await context.admission.releaseUnusedSlot(provider, context.jobId);
  }
  if (log.attempts.at(-1)?.outcome === 'running') await endCrashed(providers, context, log, reason);
}

async function attempt(
  provider: Provider,
  prepare: () => Promise<TakeRequest>,
  context: ChainContext,
  log: AttemptLog,
): Promise<Take | Waiting | LipsyncError> {
  const entry = await enter(provider, context, log);
  if (entry.kind === 'wait') return { kind: 'waiting', untilMs: entry.untilMs };
  if (entry.kind === 'refused') {
    await log.refuse(provider, entry.error);
    return entry.error;
  }
  if (log.unfinished(provider)) {
    if (log.current.isStopSent === true || !(await context.admission.goOn(referenceOf(context, log))))
      return endCrashed([provider], context, log);
  } else if (log.attempts.at(-1)?.outcome === 'running') await endCrashed([provider], context, log);
  await log.begin(provider);
  const made = await makeTake(provider, prepare, context, log).catch((thrown: unknown) =>
    toAttemptError(thrown, provider, context.signal),
  );
  if (LipsyncError.isInstance(made)) return endAttempt(provider, made, context, log);
  if ('kind' in made) return made;
  const costMicros = made.costMicros + timeCost(provider, context, log);
  await context.admission.leave(provider, referenceOf(context, log), {
    error: null,
    costMicros,
    operation: log.current.operation,
    request: null,
    stop: 'none',
  });
  await log.end({ outcome: 'succeeded', code: null, message: null, costMicros });
  return { ...made, costMicros };
}

/** What computes here costs the time that it took, whatever came of it. */
function timeCost({ kind }: Provider, { clock, localPrice }: ChainContext, log: AttemptLog): number {
  return kind === 'remote' || !localPrice
    ? 0
    : localCostMicros(clock.nowMs() - log.current.startedAtMs, localPrice.microsPerHour);
}

/** Sets aside what work on this machine is expected to cost, as the price of a vendor is. Throws `budget_exceeded`. */
async function holdBack(provider: InlineProvider, context: ChainContext, log: AttemptLog): Promise<void> {
  const { localPrice, maxCostMicros, admission } = context;
  if (!localPrice) return;
  const micros = await localPrice.quote(provider.facts.id);
  await admission.reserve(provider, referenceOf(context, log), micros, leftMicros(log.attempts, maxCostMicros));
}

/** What runs elsewhere already, or is done there, is looked at whoever else holds the places. */
async function enter(provider: Provider, context: ChainContext, log: AttemptLog): Promise<Entry> {
  const left = log.unfinished(provider);
  if (!left) return context.admission.enter(provider, context);
  return left.operation ? { kind: 'entered' } : context.admission.enterAgain(provider, context);
}

/** The books hear of the end before the record does: whoever crashes between the two says the same to the books again. */
async function endAttempt(
  provider: Provider,
  error: LipsyncError,
  context: ChainContext,
  log: AttemptLog,
): Promise<LipsyncError> {
  if (provider.kind === 'remote' && error.code === 'canceled') await stopUnwanted(provider, log);
  const stop = stopLeft(log.current, error);
  const { operation, costMicros: billedMicros } = log.current;
  const request = unacknowledgedRequest(log.current);
  // What was not let in did not work.
  const workMicros = error.code === 'budget_exceeded' ? 0 : timeCost(provider, context, log);
  const costMicros = operation || request ? billedMicros : workMicros;
  await context.admission.leave(provider, referenceOf(context, log), { error, costMicros, operation, request, stop });
  await log.end({
    outcome: error.code === 'canceled' ? 'canceled' : 'failed',
    code: error.code,
    message: error.message,
    costMicros,
  });
  return error;
}

const cancelLimitMs = 10_000;

/** Tells the vendor to stop, and learns what it billed until then. The job's signal is spent: this has a limit of its own. */
async function stopUnwanted(provider: RemoteProvider, log: AttemptLog): Promise<void> {
  const { operation, costMicros, isStopSent } = log.current;
  if (!operation) return;
  // A vendor that does not hear leaves an open bill, and is told again.
  await stopOperation(provider, operation, {
    knownMicros: costMicros,
    wasSent: isStopSent === true,
    signal: AbortSignal.timeout(cancelLimitMs),
    onSend: () => log.noteStopSent(),
    book: (micros) => log.setCost(micros),
  });
}

/** What is left to be done about the operation of an attempt that ends with `reason`. */
function stopLeft({ operation, isStopSent }: Attempt, reason: LipsyncError | undefined): OperationStop {
  if (!operation) return 'none';
  if (isStopSent) return 'sent';
  return reason?.code === 'canceled' ? 'due' : 'none';
}

/**
 * Ends the attempt that an earlier run left running and that is not gone on with: its worker computed it, its provider is
 * none of `providers`, or its bill is being settled. What runs elsewhere leaves a bill for those that can ask.
 */
async function endCrashed(
  providers: readonly Provider[],
  context: ChainContext,
  log: AttemptLog,
  reason?: LipsyncError,
): Promise<LipsyncError> {
  const { provider: id, operation, costMicros: billedMicros, isStopSent } = log.current;
  const request = unacknowledgedRequest(log.current);
  const what = isStopSent
    ? 'The job was canceled during this attempt, which is not gone on with.'
    : 'The worker went away during this attempt, and no other went on with it.';
  const error = new LipsyncError('worker_crashed', what);
  // What computes here is booked when it ends: nobody knows how long this one worked, and what was held back is given back.
  const costMicros = operation || request ? billedMicros : 0;
  const kind = providers.find(({ facts }) => facts.id === id)?.kind ?? 'remote';
  const stop = stopLeft(log.current, reason);
  await context.admission.leave({ kind, facts: { id } }, referenceOf(context, log), {
    error,
    costMicros,
    operation,
    request,
    stop,
  });
  await log.end({ outcome: 'failed', code: error.code, message: error.message, costMicros });
  return error;
}

function referenceOf({ jobId, user }: ChainContext, log: AttemptLog): AttemptReference {
  return { jobId, index: log.index, startedAtMs: log.current.startedAtMs, user };
}

async function makeTake(
  provider: Provider,
  prepare: () => Promise<TakeRequest>,
  context: ChainContext,
  log: AttemptLog,
): Promise<Take | Waiting> {
  switch (provider.kind) {
    case 'inline':
      await holdBack(provider, context, log);
      return provider.run(await prepare(), context);
    case 'remote':
      return advanceRemote({
        provider,
        log,
        prepare,
        context,
        maxCostMicros: context.maxCostMicros,
        admission: context.admission,
        clock: context.clock,
        reference: referenceOf(context, log),
      });
  }
}

/** What the attempt ends with; throws what says nothing about the provider. */
function toAttemptError(thrown: unknown, provider: Provider, signal: AbortSignal): LipsyncError {
  if (thrown instanceof StoreFailure || isHandedBack(signal)) throw thrown;
  return signal.aborted ? abortError(signal) : nameProvider(toLipsyncError(thrown), provider);
}

/** A worker that shuts down leaves its attempt as it is, for another to go on with; a canceled or late job ends with an error of ours. */
function isHandedBack(signal: AbortSignal): boolean {
  return signal.aborted && !LipsyncError.isInstance(signal.reason);
}

/** What ends the job is nobody's fault but the request's; anything else is this provider's failure. */
function nameProvider(error: LipsyncError, { facts }: Provider): LipsyncError {
  const isProviders = errorPolicies[error.code].decision !== 'stop' && !(error instanceof TimeoutError);
  return isProviders ? new ProviderError(error.code, facts.id, error.message, { cause: error }) : error;
}

/** Throws what `signal` was aborted with: no other try begins once the job is to stop. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}

/** Where to go on: at the provider of the last attempt, or after it where that attempt had settled the matter. */
function resumeIndex(chain: readonly Provider[], attempts: readonly Attempt[]): number {
  const last = attempts.at(-1);
  const index = chain.findIndex(({ facts }) => facts.id === last?.provider);
  const provider = chain[index];
  if (!last || !provider) return 0;
  const givenUp =
    last.outcome === 'failed' &&
    last.code !== null &&
    decideAfterAttempt(provider, last.code, countTries(attempts, provider)) !== 'again';
  return givenUp ? index + 1 : index;
}

/** What an earlier run would have ended with, had it not been cut off. */
function errorOfLast(attempts: readonly Attempt[]): LipsyncError | undefined {
  const last = attempts.at(-1);
  if (last?.outcome !== 'failed' || last.code === null) return undefined;
  const message = last.message ?? 'The attempt failed.';
  return errorPolicies[last.code].decision === 'stop'
    ? new LipsyncError(last.code, message)
    : new ProviderError(last.code, last.provider, message);
}

/** Tries that count: a worker that went away is no fault of the provider. */
function countTries(attempts: readonly Attempt[], { facts }: Provider): number {
  return attempts.filter(
    ({ provider, outcome, code }) => provider === facts.id && outcome === 'failed' && code !== 'worker_crashed',
  ).length;
}
