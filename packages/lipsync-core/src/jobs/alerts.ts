import { errorPolicies, type LipsyncError } from '../errors/index.ts';
import type { Logger } from '../contract/ports.ts';
import type { JobRecord } from './job-record.ts';
import type { Attempt } from '../providers/attempt.ts';

/**
 * Writes an error line for each attempt that has ended since `before` with what a person has to mend, whatever becomes of
 * its job. To be called with what is recorded, once for each change of it.
 */
export function alertOfAttempts(
  logger: Logger,
  jobId: string,
  before: readonly Attempt[],
  after: readonly Attempt[],
): void {
  after.forEach(({ provider, code, message }, index) => {
    if (code === null || before[index]?.code === code || !errorPolicies[code].alert) return;
    logger.error(
      { jobId, provider, code, reason: message, alert: true },
      'an attempt ended with what a person has to mend',
    );
  });
}

/** As `alertOfAttempts`, for a job that ended with such an error outside of its attempts. */
export function alertOfJob(logger: Logger, { id: jobId, attempts }: JobRecord, error: LipsyncError): void {
  const { code } = error;
  if (!error.policy.alert || attempts.at(-1)?.code === code) return;
  logger.error(
    { jobId, provider: null, code, reason: error.message, error, alert: true },
    'a job ended with what a person has to mend',
  );
}
