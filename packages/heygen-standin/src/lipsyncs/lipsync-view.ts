import type { Fault } from '../faults/fault-types.ts';
import type { StandinSettings } from '../settings.ts';
import type { Operation, OperationStatus } from './operation.ts';

/** A job as `GET` tells it. `videoUrl` is a link that was made for this answer, null while there is no video. */
export function toLipsyncView(
  operation: Operation,
  videoUrl: string | null,
  settings: StandinSettings,
  faults: readonly Fault[] = [],
): object {
  const { id, title, request, createdAtMs, failureMessage, output, ordinal } = operation;
  const view = {
    id,
    status: toldStatus(operation.status, faults),
    title,
    callback_id: request.callback_id ?? null,
    created_at: Math.floor(createdAtMs / 1000),
    duration: output === null || hasFault(faults, 'no_duration') ? null : output.durationMs / 1000,
    video_url: toldUrl(videoUrl, faults),
    caption_url: null,
    failure_message: failureMessage,
  };
  return isAbsentKind(settings.emptyFields, ordinal) ? withoutNulls(view) : view;
}

/** The words of the bulk status route, which are others than those of a job. */
const bulkWords: Readonly<Record<OperationStatus, string>> = {
  pending: 'queued',
  running: 'processing',
  completed: 'completed',
  failed: 'failed',
};

/** A job as the bulk status route tells it; undefined stands for an id that is not known. */
export function toBulkStatus(id: string, operation: Operation | undefined, faults: readonly Fault[]): object {
  if (operation === undefined) return { video_id: id, status: 'not_found' };
  return { video_id: id, status: toldStatus(bulkWords[operation.status], faults) };
}

function toldStatus(status: string, faults: readonly Fault[]): string {
  return faults.find((fault) => fault.kind === 'status_word')?.word ?? status;
}

function toldUrl(videoUrl: string | null, faults: readonly Fault[]): string | null {
  if (videoUrl === null || hasFault(faults, 'no_video_url')) return null;
  return faults.find((fault) => fault.kind === 'video_url')?.url ?? videoUrl;
}

function hasFault(faults: readonly Fault[], kind: Fault['kind']): boolean {
  return faults.some((fault) => fault.kind === kind);
}

function isAbsentKind(emptyFields: StandinSettings['emptyFields'], ordinal: number): boolean {
  return emptyFields === 'absent' || (emptyFields === 'mixed' && ordinal % 2 === 1);
}

function withoutNulls(view: object): object {
  return Object.fromEntries(Object.entries(view).filter(([, value]) => value !== null));
}
