import { annotateSpan, failSpan, traced, type SpanAttributes } from '../tracing/spans.ts';
import { isTerminal, type JobRecord } from './job-record.ts';
import { microsToUsdOrNull } from '../billing/micros.ts';
import { costOf } from './job-view.ts';

/**
 * Runs `work` inside the span of a run of a job. It belongs to the trace of the request and links to the run before,
 * which a crash may have interrupted. `work` gets the traceparent of the span, which the next run needs.
 */
export function traceRun(
  record: JobRecord,
  work: (traceparent: string | undefined) => Promise<JobRecord>,
): Promise<JobRecord> {
  const options = {
    parent: record.traceparent,
    link: record.runTraceparent,
    attributes: {
      'lipsync.job.id': record.id,
      'lipsync.job.kind': record.kind,
      'lipsync.request.id': record.requestId,
      'lipsync.run': record.runs + 1,
    },
  };
  return traced(`run ${record.kind} job`, options, async (span) => {
    const left = await work(span?.traceparent);
    annotateSpan(describeState(left));
    if (left.error) failSpan(left.error.code);
    return left;
  });
}

function describeState(record: JobRecord): SpanAttributes {
  const state = { 'lipsync.job.status': record.status, 'lipsync.crashes': record.crashes };
  if (record.kind !== 'lipsync' || !isTerminal(record.status)) return state;
  return {
    ...state,
    'lipsync.provider': record.result?.methodUsed ?? record.attempts.at(-1)?.provider,
    'lipsync.cost_usd': microsToUsdOrNull(costOf(record)),
    'lipsync.output_ms': record.result?.durationMs,
  };
}
