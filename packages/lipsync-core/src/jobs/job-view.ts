import { microsToUsdOrNull } from '../billing/micros.ts';
import { basename } from 'node:path';
import { listProviderIds } from '../scheduling/execution-plan.ts';
import {
  renameKeys,
  toSnakeCase,
  type AttemptView,
  type JobView,
  type LipsyncOptions,
  type QualityJobView,
} from '../contract/index.ts';
import type { Warning } from '../contract/provider-types.ts';
import { toQualityView, toRangesView } from '../contract/quality.ts';
import { errorPolicies } from '../errors/index.ts';
import { inputFields, isTerminal, type InputReference, type JobRecord, type RequestKind } from './job-record.ts';
import type { Attempt } from '../providers/attempt.ts';

/** Returns the job as callers of the API see it. */
export function toJobView(record: JobRecord<'lipsync'>, outputUrl: string | null): JobView {
  const { result } = record;
  return {
    ...viewState(record),
    request: viewRequest(record) as JobView['request'],
    method: record.spec.options.method,
    plan: record.plan && listProviderIds(record.plan),
    method_used: result?.methodUsed ?? null,
    degraded: result?.degraded ?? false,
    cached: result?.cached ?? false,
    batch: record.batch ? { id: record.batch.id, item: record.batch.item } : null,
    duration: result ? result.durationMs / 1000 : null,
    cost_usd: microsToUsdOrNull(costOf(record)),
    output_url: result && record.outputDeletedAtMs === undefined ? outputUrl : null,
    output_deleted_at: record.outputDeletedAtMs === undefined ? null : toTimestamp(record.outputDeletedAtMs),
    quality: result?.quality ? toQualityView(result.quality) : null,
    attempts: record.attempts.map(toAttemptView),
    ...viewOutcome(record),
  };
}

/** Returns a quality job as callers of the API see it. */
export function toQualityJobView(record: JobRecord<'quality'>): QualityJobView {
  const { result } = record;
  return {
    ...viewState(record),
    request: viewRequest(record) as QualityJobView['request'],
    duration: result ? result.durationMs / 1000 : null,
    quality: result ? toQualityView(result.quality) : null,
    ...viewOutcome(record),
  };
}

function viewState({ id, status, stage, progress, message }: JobRecord) {
  return { id, status, stage, progress, message };
}

/** Callers use `as`: the schema of the view has the fields of the options, renamed in the same way. */
function viewRequest({ spec }: JobRecord<RequestKind>): unknown {
  const { metadata: _, ...options } = spec.options;
  const inputs = inputFields.flatMap((field) => {
    const input: InputReference | undefined = spec[field];
    return input ? [[field, nameOfInput(input)] as const] : [];
  });
  const shown = {
    ...options,
    ...(options.webhookUrl !== undefined && { webhookUrl: publicUrl(options.webhookUrl) }),
    ...('providerOptions' in options && { providerOptions: viewProviderOptions(options) }),
    ...('consent' in options && options.consent && { consent: renameKeys(options.consent, toSnakeCase) }),
  };
  return { ...Object.fromEntries(inputs), ...renameKeys(shown, toSnakeCase) };
}

function viewProviderOptions({ providerOptions }: Pick<LipsyncOptions, 'providerOptions'>) {
  return Object.fromEntries(
    Object.entries(providerOptions).map(([id, options]) => [id, renameKeys(options, toSnakeCase)]),
  );
}

/** Returns the name of an input, which holds no secret: a URL is shown without credentials and query. */
export function nameOfInput(input: InputReference): string {
  switch (input.kind) {
    case 'artifact':
      return input.name;
    case 'file':
      return basename(input.path);
    case 'url':
      return publicUrl(input.url);
  }
}

/** Returns a URL without credentials and query, which may be secrets; an empty text for what is no URL. */
export function publicUrl(text: string): string {
  const url = URL.parse(text);
  // Not the origin, which only a web address has.
  return url ? `${url.protocol}//${url.host}${url.pathname}` : '';
}

function viewOutcome(record: JobRecord<RequestKind>) {
  return {
    warnings: record.warnings.map(toWarningView),
    error: record.error && { ...record.error, retryable: errorPolicies[record.error.code].retryable },
    user_id: record.spec.options.userId ?? null,
    metadata: { ...record.spec.options.metadata },
    created_at: toTimestamp(record.createdAtMs),
    started_at: record.startedAtMs === null ? null : toTimestamp(record.startedAtMs),
    expected_completion_at: viewExpectation(record),
    completed_at: record.completedAtMs === null ? null : toTimestamp(record.completedAtMs),
    inputs_deleted_at: record.inputsDeletedAtMs === undefined ? null : toTimestamp(record.inputsDeletedAtMs),
  };
}

function viewExpectation({ status, expectedCompletionAtMs }: JobRecord): string | null {
  return isTerminal(status) || expectedCompletionAtMs === undefined ? null : toTimestamp(expectedCompletionAtMs);
}

function toWarningView({ code, message, ranges }: Warning): JobView['warnings'][number] {
  return { code, message, ...(ranges && { ranges: toRangesView(ranges) }) };
}

function toAttemptView(attempt: Attempt): AttemptView {
  return {
    provider: attempt.provider,
    outcome: attempt.outcome,
    code: attempt.code,
    message: attempt.message,
    started_at: toTimestamp(attempt.startedAtMs),
    ended_at: attempt.endedAtMs === null ? null : toTimestamp(attempt.endedAtMs),
    cost_usd: microsToUsdOrNull(attempt.costMicros),
    operation_id: attempt.operation?.id ?? null,
    model_precision: attempt.modelPrecision ?? null,
    quality: attempt.quality ? toQualityView(attempt.quality) : null,
  };
}

/**
 * Returns the cost of a job in millionths of a dollar; null until the job has ended and every attempt is settled. Pure.
 */
export function costOf({ status, attempts }: Pick<JobRecord<'lipsync'>, 'status' | 'attempts'>): number | null {
  const costs = attempts.map(({ costMicros }) => costMicros).filter((costMicros) => costMicros !== null);
  return isTerminal(status) && costs.length === attempts.length
    ? costs.reduce((sum, costMicros) => sum + costMicros, 0)
    : null;
}

/** Returns a time as in every view: ISO 8601, in UTC. */
export function toTimestamp(ms: number): string {
  return new Date(ms).toISOString();
}
