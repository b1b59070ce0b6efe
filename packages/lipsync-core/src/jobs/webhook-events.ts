import type { Clock } from '../contract/ports.ts';
import type { JobView, QualityJobView } from '../contract/index.ts';
import type { QualityView } from '../contract/quality.ts';
import { toBatchView } from './batch-view.ts';
import type { JobRecord } from './job-record.ts';
import type { JobStore, OutboxEntry } from './job-store.ts';
import { toJobView, toQualityJobView, toTimestamp } from './job-view.ts';
import type { OutboxConsumer } from './outbox-dispatcher.ts';
import { progressEvent, toWebhookBody } from './webhook-delivery.ts';
import { newWebhookRecord } from './webhook-record.ts';

export interface WebhookEventsOptions {
  readonly store: Pick<JobStore, 'get' | 'listOutcomes'>;
  /** Stores and queues a delivery. Throws if its id is taken. */
  submit(record: JobRecord<'webhook'>): Promise<void>;
  /** Erases a delivery; does nothing for an unknown id. */
  erase(id: string): Promise<unknown>;
  readonly clock: Clock;
  /** Prefix of URLs in messages, without a trailing slash. */
  readonly publicBaseUrl: string;
}

/** Metadata may take 16 kB of the 20 kB of a message. */
const maxTextLength = 500;

/**
 * Returns the outbox consumer that creates a delivery for the end of each job with a `webhook_url`. The id of a delivery
 * is derived from the entry, so an entry that is delivered twice creates one.
 */
export function createWebhookEvents(options: WebhookEventsOptions): OutboxConsumer {
  const { store, submit, erase, clock, publicBaseUrl } = options;
  return async (entry) => {
    const id = webhookIdOf(entry);
    const record = await store.get(entry.jobId);
    if (!record) {
      // The job was erased, perhaps while an earlier call created the delivery.
      if (await store.get(id)) await erase(id);
      return;
    }
    if (record.kind === 'webhook') return;
    const { webhookUrl: url } = record.spec.options;
    if (url === undefined || (await store.get(id))) return;
    const event = `${record.kind}.${entry.status}`;
    const timestamp = toTimestamp(entry.atMs);
    const body = toWebhookBody({ type: event, timestamp, data: await summarize(record, { store, publicBaseUrl }) });
    const { id: subjectId, owner, requestId, traceparent } = record;
    await submit(
      newWebhookRecord({ id, owner, requestId, traceparent, nowMs: clock.nowMs(), url, event, subjectId, body }),
    );
    if (!(await store.get(entry.jobId))) await erase(id);
  };
}

/** Shortest time between two messages about the progress of one job. */
const progressIntervalMs = 30_000;

/**
 * Returns a function that creates a delivery for the progress of a running job with `webhook_progress`, at most one per
 * interval. It does not throw: `onError` gets what went wrong, and the next message replaces the lost one.
 */
export function createProgressEvents({
  submit,
  clock,
  onError,
}: Pick<WebhookEventsOptions, 'submit' | 'clock'> & {
  onError(error: unknown): void;
}): (record: JobRecord) => void {
  /** Time of the last message, by job. */
  const sent = new Map<string, number>();
  const send = async (record: JobRecord<'lipsync'>, url: string, nowMs: number): Promise<void> => {
    const { id: subjectId, owner, requestId, traceparent } = record;
    const { attempts: _attempts, request: _request, ...view } = toJobView(record, null);
    const data = { ...view, ...summarizeFindings(view) };
    const body = toWebhookBody({ type: progressEvent, timestamp: toTimestamp(nowMs), data });
    // Another worker that resumes the job in this interval creates no second one.
    const id = `msg_${subjectId}_p${Math.floor(nowMs / progressIntervalMs)}`;
    const event = progressEvent;
    await submit(newWebhookRecord({ id, owner, requestId, traceparent, nowMs, url, event, subjectId, body }));
  };
  return (record) => {
    if (record.kind !== 'lipsync' || record.status !== 'processing') return;
    const { webhookUrl: url, webhookProgress } = record.spec.options;
    const nowMs = clock.nowMs();
    if (!webhookProgress || url === undefined) return;
    for (const [id, lastMs] of sent) if (nowMs - lastMs >= progressIntervalMs) sent.delete(id);
    if (sent.has(record.id)) return;
    sent.set(record.id, nowMs);
    send(record, url, nowMs).catch(onError);
  };
}

/** The id of the message about the end of a job. A job that is retried ends once more. Pure. */
export function webhookIdOf({ jobId, retries }: Pick<OutboxEntry, 'jobId' | 'retries'>): string {
  return `msg_${jobId}_${retries}`;
}

/** The job without the parts that may be large: a message is limited to 20 kB. */
async function summarize(
  record: JobRecord<'lipsync' | 'quality' | 'batch'>,
  { store, publicBaseUrl }: Pick<WebhookEventsOptions, 'store' | 'publicBaseUrl'>,
): Promise<Readonly<Record<string, unknown>>> {
  switch (record.kind) {
    case 'lipsync': {
      const { attempts: _, ...view } = toJobView(record, `${publicBaseUrl}/lipsync/${record.id}/output`);
      return summarizeView(view);
    }
    case 'quality':
      return summarizeView(toQualityJobView(record));
    case 'batch': {
      const outcomes = [...(await store.listOutcomes(record.id)).values()];
      const { results: _, ...view } = toBatchView(record, { jobs: [], outcomes }, () => '');
      return view;
    }
  }
}

function summarizeView<View extends Omit<JobView, 'attempts'> | QualityJobView>({
  request: _request,
  stage: _stage,
  progress: _progress,
  message: _message,
  expected_completion_at: _expected,
  ...view
}: View) {
  return { ...view, ...summarizeFindings(view) };
}

function summarizeFindings({ quality, warnings, error }: Pick<JobView, 'quality' | 'warnings' | 'error'>) {
  return {
    quality: quality && summarizeQuality(quality),
    warnings: [...new Set(warnings.map(({ code }) => code))],
    error: error && { ...error, message: error.message.slice(0, maxTextLength) },
  };
}

function summarizeQuality({ sync_score, audio_quality, video_quality, grade, labels }: QualityView) {
  return { sync_score, audio_quality, video_quality, grade, labels: labels.map(({ code }) => code) };
}
