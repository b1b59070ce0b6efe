import type { Logger, TraceContext } from '../contract/ports.ts';
import type { ErrorPolicy, LipsyncError } from '../errors/index.ts';
import { withoutUrls } from '../net/url-policy.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { microsToUsdOrNull } from '../billing/micros.ts';
import { costOf } from './job-view.ts';

/** Returns the fields that connect a log line with the job and with the request that created it. */
export function logFields({ id, requestId, traceparent }: Pick<JobRecord, 'id' | keyof TraceContext>): object {
  const traceId = traceIdOf(traceparent);
  return { jobId: id, ...(requestId !== null && { requestId }), ...(traceId !== undefined && { traceId }) };
}

/** Returns the trace id of a W3C Trace Context header; undefined without a header. */
export function traceIdOf(traceparent: string | null): string | undefined {
  return traceparent?.split('-')[1];
}

/** Logs the one line about the first run of a job. */
export function logStartedJob(logger: Logger, record: JobRecord): void {
  const { createdAtMs, startedAtMs } = record;
  const waitMs = startedAtMs === null ? null : startedAtMs - createdAtMs;
  logger.info({ ...logFields(record), ...describe(record), waitMs }, 'the job started');
}

/**
 * Logs the one line about the end of a job: an alert for an error that an operator has to fix, unless the last attempt
 * has reported it. Errors that the request caused have no stack, because nothing in the code is wrong.
 */
export function logEndedJob(logger: Logger, record: JobRecord, error?: LipsyncError): void {
  const fields = { ...logFields(record), ...describe(record), ...describeEnd(record) };
  if (!error)
    return logger.info(fields, record.status === 'completed' ? 'the job completed' : 'the job did not complete');
  const { code, message, policy } = error;
  const failed = { ...fields, code, reason: withoutUrls(message) };
  if (policy.alert && (record.kind !== 'lipsync' || record.attempts.at(-1)?.code !== code)) {
    const alert = { ...failed, provider: null, error: rootCause(error), alert: true };
    logger.error(alert, 'a job failed with an error that an operator has to fix');
  } else if (isCausedByRequest(policy)) logger.info(failed, 'the job did not complete');
  else logger.warn({ ...failed, error: rootCause(error) }, 'the job did not complete');
}

function describe(record: JobRecord): object {
  return { kind: record.kind, owner: record.owner, provider: providerOf(record) };
}

/** The provider that made the output, else the one that was tried last, else the first of the plan. */
function providerOf(record: JobRecord): string | null {
  if (record.kind !== 'lipsync') return null;
  const { attempts, plan, result, status } = record;
  if (result) return result.methodUsed;
  return attempts.at(-1)?.provider ?? (isTerminal(status) ? null : (plan?.[0]?.provider ?? null));
}

function describeEnd(record: JobRecord): object {
  const { createdAtMs, startedAtMs, completedAtMs, status } = record;
  const endMs = completedAtMs ?? createdAtMs;
  return {
    status,
    durationMs: startedAtMs === null ? null : endMs - startedAtMs,
    costUsd: record.kind === 'lipsync' ? microsToUsdOrNull(costOf(record)) : null,
    code: record.error?.code ?? null,
  };
}

/** Whether only another request can succeed. */
function isCausedByRequest({ httpStatus, retryable }: ErrorPolicy): boolean {
  return httpStatus < 500 && !retryable;
}

/** The innermost cause, whose stack names the code that failed. */
function rootCause(error: Error): Error {
  return error.cause instanceof Error ? rootCause(error.cause) : error;
}
