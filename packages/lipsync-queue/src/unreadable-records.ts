import { UnreadableRecordError, type Logger, type UnreadableRecordListener } from '@lipsync/core/host';

const maxRemembered = 1_000;

/**
 * Logs each job with an unreadable record once, because maintenance tasks read it again and again. After a rollback,
 * jobs of the later version are expected: they are only information.
 */
export function logUnreadableRecords(logger: Logger): UnreadableRecordListener {
  const logged = new Set<string>();
  return (jobId, error) => {
    if (logged.has(jobId)) return;
    if (logged.size >= maxRemembered) logged.clear();
    logged.add(jobId);
    if (error instanceof UnreadableRecordError && error.isNewer)
      logger.info({ jobId }, 'job left to the later version of the service that stored it');
    else logger.warn({ jobId, error }, 'stored job record not readable');
  };
}
