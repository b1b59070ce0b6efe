import type { Fault } from '../faults/fault-types.ts';
import type { StandinSettings } from '../settings.ts';
import type { Operation, OperationStatus } from './operation.ts';

/** A job as the API returns it. `videoUrl` is null before there is a video. */
export function toLipsyncView(
  operation: Operation,
  videoUrl: string | null,
  settings: StandinSettings,
  faults: readonly Fault[],
): object {
  const { id, title, request, createdAtMs, failureMessage, output, ordinal } = operation;
  const view = {
    id,
    status: statusWord(operation.status, faults),
    title,
    callback_id: request.callback_id ?? null,
    created_at: Math.floor(createdAtMs / 1000),
    duration: output === null || hasFault(faults, 'no_duration') ? null : output.durationMs / 1000,
    video_url: visibleUrl(videoUrl, faults),
    caption_url: null,
    failure_message: failureMessage,
  };
  return omitsNulls(settings.emptyFields, ordinal) ? withoutNulls(view) : view;
}

/** The bulk status route has its own status words. */
const bulkWords: Readonly<Record<OperationStatus, string>> = {
  pending: 'queued',
  running: 'processing',
  completed: 'completed',
  failed: 'failed',
};

/** A job as the bulk status route returns it; undefined for an unknown id. */
export function toBulkStatus(id: string, operation: Operation | undefined, faults: readonly Fault[]): object {
  if (operation === undefined) return { video_id: id, status: 'not_found' };
  return { video_id: id, status: statusWord(bulkWords[operation.status], faults) };
}

function statusWord(status: string, faults: readonly Fault[]): string {
  return faults.find((fault) => fault.kind === 'status_word')?.word ?? status;
}

function visibleUrl(videoUrl: string | null, faults: readonly Fault[]): string | null {
  if (videoUrl === null || hasFault(faults, 'no_video_url')) return null;
  return faults.find((fault) => fault.kind === 'video_url')?.url ?? videoUrl;
}

function hasFault(faults: readonly Fault[], kind: Fault['kind']): boolean {
  return faults.some((fault) => fault.kind === kind);
}

function omitsNulls(emptyFields: StandinSettings['emptyFields'], ordinal: number): boolean {
  return emptyFields === 'absent' || (emptyFields === 'mixed' && ordinal % 2 === 1);
}

function withoutNulls(view: object): object {
  return Object.fromEntries(Object.entries(view).filter(([, value]) => value !== null));
}
