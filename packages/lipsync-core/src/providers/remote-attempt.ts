import { abortError, errorPolicies, LipsyncError, TimeoutError, toLipsyncError } from '../errors/index.ts';
import type { Clock } from '../contract/ports.ts';
import { StoreFailure } from '../storage/store-failure.ts';
import type { Admission, AttemptReference } from './admission.ts';
import { leftMicros, unacknowledgedRequest, type AttemptLog } from './attempt-log.ts';
import { decide, pauseBeforeTryMs } from './chain-decision.ts';
import type { RemoteProvider, Take, TakeContext, TakeRequest } from './provider.ts';
import type { Operation, OperationRequest } from '../contract/provider-types.ts';

/** Nothing is to be done here until then. */
export interface Waiting {
  readonly kind: 'waiting';
  readonly untilMs: number;
}

export interface RemoteAttempt {
  readonly provider: RemoteProvider;
  readonly reference: AttemptReference;
  readonly log: AttemptLog;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly context: TakeContext;
  /** What all attempts together may cost; null for any. */
  readonly maxCostMicros: number | null;
  /** The request, made when it is first needed. */
  prepare(): Promise<TakeRequest>;
}

/**
 * Takes a remote attempt as far as it goes without waiting: starts its operation, asks for it, collects it. The order is
 * saved before the operation is started, the operation before it is asked for, its cost before it is collected. Trouble
 * that may pass is waited out within the attempt, so that the same order settles whether a call that went unanswered was
 * heard.
 * Throws a `LipsyncError` when the attempt has failed.
 */
export async function advanceRemote(attempt: RemoteAttempt): Promise<Take | Waiting> {
  const { log } = attempt;
  const operation = log.current.operation ?? (await orWait(attempt, 'start', () => start(attempt)));
  if (isWaiting(operation)) return operation;
  // Also of an earlier run's, which may not have come to say so.
  await attempt.admission.accepted(attempt.provider);
  // An answer that does not come says nothing about the operation: it is asked for as long as there is time.
  const status = await orWait(attempt, 'check', () => attempt.provider.check(operation, attempt.context));
  if ('kind' in status) return status;
  switch (status.status) {
    case 'pending':
      if (status.billedMicros !== undefined) await log.setCost(status.billedMicros);
      return waitFor(attempt, { pauseMs: status.checkAgainInMs });
    case 'failed':
      await log.setCost(status.costMicros);
      throw new LipsyncError(status.code, status.message);
    case 'done':
      await log.setCost(status.costMicros);
      return orWait(attempt, 'collect', () => collect(attempt, status.operation, status.costMicros));
  }
}

async function start(attempt: RemoteAttempt): Promise<Operation> {
  const { request: kept } = attempt.log.current;
  await attempt.admission.reserveAgain(attempt.reference);
  if (!kept) return place(attempt, await makeOrder(attempt, null));
  try {
    return await place(attempt, kept);
  } catch (error) {
    if (!saysOf(error, 'isOrderGone')) throw error;
    return place(attempt, await makeOrder(attempt, kept));
  }
}

async function makeOrder(
  { provider, reference, log, admission, context, maxCostMicros, prepare }: RemoteAttempt,
  replaced: OperationRequest | null,
): Promise<OperationRequest> {
  const request = await prepare();
  await admission.reserve(provider, reference, provider.quote(request), leftMicros(log.attempts, maxCostMicros));
  return provider.prepareRequest(request, {
    ...context,
    replaced,
    idempotencyKey: `${reference.jobId}-${reference.index}`,
  });
}

/** From before it is asked for until an answer settles it, the attempt says that there may be an operation. */
async function place(
  { provider, log, clock, context }: RemoteAttempt,
  { idempotencyKey, state }: OperationRequest,
): Promise<Operation> {
  const order = { idempotencyKey, state };
  const doubtSinceMs = unacknowledgedRequest(log.current)?.unacknowledgedSinceMs ?? null;
  if (doubtSinceMs !== null && clock.nowMs() - doubtSinceMs >= provider.requestLifetimeMs) {
    throw new TimeoutError(
      'provider_timeout',
      `An order went unanswered for so long that ${provider.facts.id} would take it for another one.`,
    );
  }
  if (context.signal.aborted) throw abortError(context.signal);
  await log.setRequest({ ...order, unacknowledgedSinceMs: doubtSinceMs ?? clock.nowMs() });
  let isSent = false;
  try {
    // Whoever saved it may have learned that the job is not wanted any more.
    if (context.signal.aborted) throw abortError(context.signal);
    isSent = true;
    const operation = await provider.start(order, context);
    await log.setOperation(operation);
    return operation;
  } catch (error) {
    // A refusal says nothing about an earlier time at which the same was asked for in vain.
    if (doubtSinceMs === null && (!isSent || saysOf(error, 'isRefused')))
      await log.setRequest({ ...order, unacknowledgedSinceMs: null });
    throw error;
  }
}

function saysOf(error: unknown, detail: 'isOrderGone' | 'isRefused'): boolean {
  return LipsyncError.isInstance(error) && error.details[detail] === true;
}

async function collect(
  { provider, context, prepare }: RemoteAttempt,
  operation: Operation,
  costMicros: number,
): Promise<Take> {
  return { ...(await provider.collect(operation, await prepare(), context)), costMicros };
}

type Step = 'start' | 'check' | 'collect';

/** The outcome of `work`, or a pause before it is done again: as often as its fault is worth, or for as long as there is time. */
async function orWait<Outcome>(
  attempt: RemoteAttempt,
  step: Step,
  work: () => Promise<Outcome>,
): Promise<Outcome | Waiting> {
  const { log, context } = attempt;
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof StoreFailure || context.signal.aborted) throw thrown;
    const error = toLipsyncError(thrown);
    const hintMs = hintOf(error);
    if (errorPolicies[error.code].decision === 'wait')
      return waitFor(attempt, { pauseMs: hintMs ?? pauseWithoutHintMs, trouble: error, step });
    // A take that is paid for is not given up because there is no room for it just now.
    if (step === 'collect' && error.code === 'resource_exhausted')
      return waitFor(attempt, { pauseMs: pauseForRoomMs, trouble: error, step });
    const tries = log.current.transientFailures + 1;
    const isOver =
      errorPolicies[error.code].decision !== 'again' || (step !== 'check' && decide(error.code, tries) !== 'again');
    if (isOver) throw error;
    // Nor because its vendor was silent before.
    if (step !== 'check' || log.current.costMicros === null) await log.recordTransientFailure(error.message);
    return waitFor(attempt, { pauseMs: hintMs ?? pauseBeforeTryMs(tries), trouble: error, step });
  }
}

const pauseWithoutHintMs = 5_000;
const shortestHintMs = 1_000;
const pauseForRoomMs = 30_000;

/** How long the vendor asked us to wait, where it did; "not at all" is no leave to ask without end. */
function hintOf({ details }: LipsyncError): number | undefined {
  const hintMs = details['retryAfterMs'];
  return typeof hintMs === 'number' ? Math.max(shortestHintMs, hintMs) : undefined;
}

interface Pause {
  readonly pauseMs: number;
  /** What stood in the way of which step; none where there is only nothing to do yet. */
  readonly trouble?: LipsyncError;
  readonly step?: Step;
}

/** Throws `provider_timeout`, or what stood in the way last, when the attempt's time is up by then. */
function waitFor(
  { provider, reference, log, clock }: RemoteAttempt,
  { pauseMs, trouble, step = 'check' }: Pause,
): Waiting {
  const { operationAtMs, costMicros } = log.current;
  const nowMs = clock.nowMs();
  // What is paid for already is fetched for as long again.
  const patienceMs = costMicros === null ? provider.timeoutMs : 2 * provider.timeoutMs;
  const limitMs = (operationAtMs ?? reference.startedAtMs) + patienceMs;
  // What was ordered is looked at once more at its limit, however long the vendor wants not to be asked.
  if (nowMs < limitMs && (step !== 'start' || nowMs + pauseMs < limitMs))
    return { kind: 'waiting', untilMs: Math.min(nowMs + pauseMs, limitMs) };
  throw (
    trouble ??
    new TimeoutError(
      'provider_timeout',
      `${provider.facts.id} was not done after ${Math.round(provider.timeoutMs / 1000)} s.`,
    )
  );
}

function isWaiting(value: Operation | Waiting): value is Waiting {
  return 'kind' in value;
}
