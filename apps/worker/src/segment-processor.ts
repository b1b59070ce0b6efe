import type { SegmentHelper } from '@lipsync/core/host';
import { recordedJobPayload, type LipsyncProducer } from '@lipsync/queue';
import { DelayedError, UnrecoverableError, WaitingError } from 'bullmq';
import type { EntryProcessor } from './job-processor.ts';

/** How long an offer is put back while jobs wait for this worker. */
const interruptedDelayMs = 1_000;

export interface SegmentProcessorOptions {
  readonly helper: Pick<SegmentHelper, 'help'>;
  readonly producer: Pick<LipsyncProducer, 'hasWaitingRender'>;
  /** As in `JobProcessorOptions`. */
  readonly verifyRedis: () => Promise<void>;
  readonly stopping: AbortSignal;
}

/**
 * Renders segments of the job of another worker, until none is left or a job waits that has at least the priority of
 * the offer. The offer then goes behind that job.
 */
export function createSegmentProcessor({
  helper,
  producer,
  verifyRedis,
  stopping,
}: SegmentProcessorOptions): EntryProcessor {
  return async (job, token, lockLost) => {
    const payload = recordedJobPayload.safeParse(job.data);
    if (!payload.success) throw new UnrecoverableError('The payload of the queue entry has no job id.');
    await verifyRedis();
    const signal = AbortSignal.any([stopping, lockLost]);
    const isNeededElsewhere = (): Promise<boolean> => producer.hasWaitingRender(job.opts.priority ?? 0);
    try {
      const outcome = await helper.help(payload.data.jobId, { signal, isNeededElsewhere });
      if (outcome === 'done') return { status: outcome };
    } catch (error) {
      if (!stopping.aborted) throw error;
      await job.moveToWait(token);
      throw new WaitingError();
    }
    await job.moveToDelayed(Date.now() + interruptedDelayMs, token);
    throw new DelayedError();
  };
}
