import type { Clock } from '../contract/ports.ts';
import type { Operation, OperationRequest } from '../contract/provider-types.ts';
import { abortError, ProviderError, TimeoutError, toLipsyncError, type LipsyncError } from '../errors/index.ts';
import { StorageUnavailable, StoreFailure } from '../storage/store-failure.ts';
import type { Admission, AttemptReference } from './admission.ts';
import { remainingMicros, unacknowledgedRequest, type AttemptLog } from './attempt-log.ts';
import type { RemoteProvider, Take, TakeContext, TakeRequest } from './provider.ts';
import { decideRetry, type RemoteCall } from './retry-policy.ts';

export type AttemptProgress =
  | { readonly type: 'made'; readonly take: Take }
  /** There is nothing to do before `untilMs`. */
  | {
      readonly type: 'waiting';
      readonly untilMs: number;
      /** The job waits for the circuit breaker of its only provider. */
      readonly waitsForProbe?: true;
    };

export interface StorageGuard {
  /** Throws `StorageUnavailable` while outputs or work files cannot be written. Called before anything is paid for. */
  checkStorage?(): Promise<void>;
}

/** Prevents a superseded run from changing what the later run uses. */
export interface RunGuard {
  /** Throws a `StoreFailure` if a later run has taken over the job. Without it, there is one run at a time. */
  requireCurrentRun?(): Promise<void>;
}

export interface RemoteAttempt {
  readonly provider: RemoteProvider;
  readonly reference: AttemptReference;
  readonly log: AttemptLog;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly context: TakeContext & StorageGuard & RunGuard;
  /** Cap over all attempts of the job; null for none. */
  readonly maxCostMicros: number | null;
  /** Prepares the take request on first use. */
  prepare(): Promise<TakeRequest>;
}

type CallResult<Value> =
  | { readonly type: 'done'; readonly value: Value }
  | Extract<AttemptProgress, { type: 'waiting' }>;

/**
 * Advances a remote attempt as far as possible without waiting: starts its operation, checks it, collects its take. The
 * request is saved before it is sent, the operation before it is checked, its cost before the take is collected.
 * Transient failures are retried within the attempt, so that the same request resolves a call without an answer.
 * Throws a `LipsyncError` when the attempt has failed.
 */
export async function advanceRemote(attempt: RemoteAttempt): Promise<AttemptProgress> {
  const { log, provider, context, admission } = attempt;
  const known = log.current.operation;
  const started = known ? done(known) : await callVendor(attempt, 'start', () => start(attempt));
  if (started.type === 'waiting') return started;
  const operation = started.value;
  // Repeated for an operation of an earlier run, which may have crashed before it reported the acceptance.
  await admission.recordAcceptance(provider);
  const checked = await callVendor(attempt, 'check', () => provider.check(operation, context));
  if (checked.type === 'waiting') return checked;
  const status = checked.value;
  switch (status.status) {
    case 'pending':
      if (status.billedMicros !== undefined) await log.setCost(status.billedMicros);
      return waitForOperation(attempt, status.checkAgainInMs);
    case 'failed':
      await log.setCost(status.costMicros);
      throw new ProviderError(status.code, status.message);
    case 'done': {
      await log.setCost(status.costMicros);
      const collected = await callVendor(attempt, 'collect', () =>
        collect(attempt, status.operation, status.costMicros),
      );
      return collected.type === 'waiting' ? collected : { type: 'made', take: collected.value };
    }
  }
}

async function start(attempt: RemoteAttempt): Promise<Operation> {
  const { request: stored } = attempt.log.current;
  await attempt.admission.reserveAgain(attempt.reference);
  if (!stored) return send(attempt, await prepareRequest(attempt, null));
  try {
    return await send(attempt, stored);
  } catch (error) {
    if (!(error instanceof ProviderError) || !error.isRequestExpired) throw error;
    return send(attempt, await prepareRequest(attempt, stored));
  }
}

async function prepareRequest(
  { provider, reference, log, admission, context, maxCostMicros, prepare }: RemoteAttempt,
  replaced: OperationRequest | null,
): Promise<OperationRequest> {
  const request = await prepare();
  await context.requireCurrentRun?.();
  await admission.reserve(provider, reference, provider.quote(request), remainingMicros(log.attempts, maxCostMicros));
  const idempotencyKey = `${reference.jobId}-${reference.index}`;
  return provider.prepareRequest(request, { ...context, replaced, idempotencyKey });
}

/** From before the request is sent until a conclusive answer, the attempt is marked as possibly having an operation. */
async function send(
  { provider, log, clock, context }: RemoteAttempt,
  { idempotencyKey, state }: OperationRequest,
): Promise<Operation> {
  const request = { idempotencyKey, state };
  const sinceMs = unacknowledgedRequest(log.current)?.unacknowledgedSinceMs ?? null;
  if (sinceMs !== null && clock.nowMs() - sinceMs >= provider.requestLifetimeMs) {
    throw new TimeoutError(
      'provider_timeout',
      `A request to ${provider.facts.id} was not acknowledged within the lifetime of its idempotency key.`,
    );
  }
  await context.checkStorage?.();
  if (context.signal.aborted) throw abortError(context.signal);
  await log.setRequest({ ...request, unacknowledgedSinceMs: sinceMs ?? clock.nowMs() });
  let isSent = false;
  try {
    // Saving may have revealed that the job was canceled.
    if (context.signal.aborted) throw abortError(context.signal);
    isSent = true;
    const operation = await provider.start(request, context);
    await log.setOperation(operation);
    return operation;
  } catch (error) {
    const startedNothing = !isSent || (error instanceof ProviderError && error.requestOutcome === 'refused');
    // A refusal does not answer for an earlier send of the same request.
    if (sinceMs === null && startedNothing) await log.setRequest({ ...request, unacknowledgedSinceMs: null });
    throw error;
  }
}

async function collect(
  { provider, context, prepare }: RemoteAttempt,
  operation: Operation,
  costMicros: number,
): Promise<Take> {
  return { ...(await provider.collect(operation, await prepare(), context)), costMicros };
}

/** Makes a vendor call. After a failure, the retry policy decides between a pause and the end of the attempt. */
async function callVendor<Value>(
  attempt: RemoteAttempt,
  remoteCall: RemoteCall,
  work: () => Promise<Value>,
): Promise<CallResult<Value>> {
  const { log, context, clock } = attempt;
  try {
    return done(await work());
  } catch (thrown) {
    if (thrown instanceof StoreFailure || context.signal.aborted) throw thrown;
    const error = toLipsyncError(thrown);
    const history = { failures: log.current.transientFailures + 1, remainingMs: remainingMs(attempt) };
    const decision = decideRetry({ type: 'remote_call', call: remoteCall }, error, history);
    if (decision.type === 'park') throw new StorageUnavailable(error);
    if (decision.type !== 'retry') throw error;
    if (countsAsFailure(attempt, remoteCall, error)) await log.addTransientFailure(error.message);
    return { type: 'waiting', untilMs: clock.nowMs() + decision.afterMs };
  }
}

/** Rate limits do not count, nor do checks of an operation whose cost is known. */
function countsAsFailure({ log }: RemoteAttempt, remoteCall: RemoteCall, { policy }: LipsyncError): boolean {
  return policy.decision === 'retry' && (remoteCall !== 'check' || log.current.costMicros === null);
}

function waitForOperation(attempt: RemoteAttempt, pauseMs: number): AttemptProgress {
  const { provider, clock } = attempt;
  const leftMs = remainingMs(attempt);
  // The operation is checked once more at the limit.
  if (leftMs > 0) return { type: 'waiting', untilMs: clock.nowMs() + Math.min(pauseMs, leftMs) };
  throw new TimeoutError(
    'provider_timeout',
    `${provider.facts.id} did not finish within ${Math.round(provider.timeoutMs / 1000)} s.`,
  );
}

/** A take that is already paid for may take twice the provider's time limit. */
function remainingMs({ provider, reference, log, clock }: RemoteAttempt): number {
  const { operationAtMs, costMicros } = log.current;
  const limitMs = costMicros === null ? provider.timeoutMs : 2 * provider.timeoutMs;
  return (operationAtMs ?? reference.startedAtMs) + limitMs - clock.nowMs();
}

function done<Value>(value: Value): CallResult<Value> {
  return { type: 'done', value };
}
