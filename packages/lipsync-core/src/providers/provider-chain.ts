import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, errorPolicies, LipsyncError, ProviderError, TimeoutError, toLipsyncError } from '../errors/index.ts';
import type { Clock } from '../ports/ports.ts';
import type { Attempt } from '../jobs/job-record.ts';
import { StoreFailure } from '../jobs/store-failure.ts';
import { decide, pauseBeforeTryMs } from './chain-decision.ts';
import type { Operation, Provider, RemoteProvider, Take, TakeContext, TakeRequest } from './provider.ts';

export interface ChainContext extends TakeContext {
  readonly clock: Clock;
  /** Attempts of an earlier run of this job; a remote one that was still running is gone on with. */
  readonly earlierAttempts: readonly Attempt[];
  /** Called, and waited for, whenever an attempt begins, learns its operation or ends. */
  saveAttempts(attempts: readonly Attempt[]): Promise<void>;
}

export interface ChainOutcome {
  readonly take: Take;
  readonly provider: Provider;
  readonly attempts: readonly Attempt[];
}

/**
 * Tries the providers in order until one makes a take. Every attempt is saved before it is waited on.
 * Throws the error of the last attempt when none succeeds; what it cost and why is in the saved attempts. Throws what
 * `saveAttempts` throws: no provider is blamed for it.
 */
export async function runChain(chain: readonly Provider[], request: TakeRequest, context: ChainContext): Promise<ChainOutcome> {
  const log = createAttemptLog(context);
  let lastError = new LipsyncError('not_supported', 'No provider is left to try.');
  for (const provider of chain.slice(resumeIndex(chain, context.earlierAttempts))) {
    for (let tries = countTries(log.attempts, provider) + 1; ; tries += 1) {
      const outcome = await attempt(provider, request, context, log);
      if (LipsyncError.isInstance(outcome)) {
        lastError = outcome;
        const decision = context.signal.aborted ? 'stop' : decide(outcome.code, tries);
        if (decision === 'stop') throw outcome;
        if (decision === 'next') break;
        await pause(pauseBeforeTryMs(tries), context.signal);
        continue;
      }
      return { take: outcome, provider, attempts: log.attempts };
    }
  }
  throw lastError;
}

/** Throws what `signal` was aborted with: no other try begins once the job is to stop. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}

async function attempt(provider: Provider, request: TakeRequest, context: ChainContext, log: AttemptLog): Promise<Take | LipsyncError> {
  await log.begin(provider);
  const made = await makeTake(provider, request, context, log).catch((thrown: unknown) => toAttemptError(thrown, provider, context.signal));
  const end: AttemptEnd = LipsyncError.isInstance(made)
    ? { outcome: made.code === 'canceled' ? 'canceled' : 'failed', code: made.code, message: made.message }
    : { outcome: 'succeeded', costMicros: made.costMicros };
  await log.end(end);
  return made;
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

async function makeTake(provider: Provider, request: TakeRequest, context: ChainContext, log: AttemptLog): Promise<Take> {
  switch (provider.kind) {
    case 'inline':
      return provider.run(request, context);
    case 'remote':
      return makeRemoteTake(provider, request, context, log);
  }
}

async function makeRemoteTake(provider: RemoteProvider, request: TakeRequest, context: ChainContext, log: AttemptLog): Promise<Take> {
  const operation = log.runningOperation() ?? (await startOperation(provider, request, context, log));
  try {
    const finished = await waitForOperation(provider, operation, context);
    return await provider.collect(finished, request, context);
  } catch (error) {
    // The job's signal is spent; the vendor is told to stop with a limit of its own.
    if (context.signal.aborted && !isHandedBack(context.signal)) await provider.cancel(operation, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
    throw error;
  }
}

async function startOperation(provider: RemoteProvider, request: TakeRequest, context: ChainContext, log: AttemptLog): Promise<Operation> {
  const operation = await provider.start(request, { ...context, idempotencyKey: `${request.jobId}-${log.attempts.length}` });
  await log.setOperation(operation);
  return operation;
}

async function waitForOperation(provider: RemoteProvider, operation: Operation, context: ChainContext): Promise<Operation> {
  for (;;) {
    const status = await provider.check(operation, context);
    if (status.status === 'done') return status.operation;
    if (status.status === 'failed') throw new LipsyncError(status.code, status.message);
    await sleep(status.checkAgainInMs, undefined, { signal: context.signal });
  }
}

/** Where to go on: at the provider of the last attempt, or after it where that attempt had settled the matter. */
function resumeIndex(chain: readonly Provider[], attempts: readonly Attempt[]): number {
  const last = attempts.at(-1);
  const index = chain.findIndex(({ facts }) => facts.id === last?.provider);
  const provider = chain[index];
  if (!last || !provider) return 0;
  const givenUp = last.outcome === 'failed' && last.code !== null && decide(last.code, countTries(attempts, provider)) !== 'again';
  return givenUp ? index + 1 : index;
}

/** Tries that count: a worker that went away is no fault of the provider. */
function countTries(attempts: readonly Attempt[], { facts }: Provider): number {
  return attempts.filter(({ provider, outcome, code }) => provider === facts.id && outcome === 'failed' && code !== 'worker_crashed').length;
}

/** A take that was made but not published by an earlier run is collected again, not paid for again. */
function isUnfinished({ outcome }: Attempt): boolean {
  return outcome === 'running' || outcome === 'succeeded';
}

const abandoned = { outcome: 'failed', code: 'worker_crashed', message: 'The worker went away during this attempt.' } as const;

type AttemptEnd = Partial<Pick<Attempt, 'code' | 'message' | 'costMicros'>> & Pick<Attempt, 'outcome'>;

interface AttemptLog {
  readonly attempts: readonly Attempt[];
  /** Opens an attempt; a remote one that an earlier run left unfinished is taken up instead, an inline one is ended. */
  begin(provider: Provider): Promise<void>;
  runningOperation(): Operation | null;
  setOperation(operation: Operation): Promise<void>;
  end(end: AttemptEnd): Promise<void>;
}

function createAttemptLog(context: ChainContext): AttemptLog {
  let attempts: readonly Attempt[] = context.earlierAttempts;

  async function replaceLast(change: Partial<Attempt>): Promise<void> {
    const last = attempts.at(-1);
    if (!last) throw new LipsyncError('internal', 'No attempt was begun.');
    attempts = [...attempts.slice(0, -1), { ...last, ...change }];
    await context.saveAttempts(attempts);
  }

  return {
    get attempts() {
      return attempts;
    },
    async begin({ facts, kind }) {
      const last = attempts.at(-1);
      if (last && kind === 'remote' && last.provider === facts.id && isUnfinished(last)) return replaceLast({ outcome: 'running', endedAtMs: null });
      if (last?.outcome === 'running') await replaceLast({ ...abandoned, endedAtMs: context.clock.nowMs() });
      const begun: Attempt = {
        provider: facts.id, outcome: 'running', code: null, message: null,
        startedAtMs: context.clock.nowMs(), endedAtMs: null, costMicros: null, operation: null,
      };
      attempts = [...attempts, begun];
      await context.saveAttempts(attempts);
    },
    runningOperation: () => attempts.at(-1)?.operation ?? null,
    setOperation: (operation) => replaceLast({ operation }),
    end: (end) => replaceLast({ ...end, endedAtMs: context.clock.nowMs() }),
  };
}
