import type { JobStatus } from '@lipsync/core/contract';

/** Redis keys of job records. Not under BullMQ's prefix: records outlive the queue's own bookkeeping. */
export const jobKeyPrefix = 'lipsync:jobs:';
export const allJobsKey = 'lipsync:jobs-by-time';
export const unfinishedJobsKey = 'lipsync:jobs-unfinished';
/** Stream of the ends of jobs, written in the same script as the end itself. */
export const outboxKey = 'lipsync:outbox';
/** Held by the process that mends what is amiss between records and queues. */
export const sweepLockKey = 'lipsync:sweep-lock';

export function jobKey(id: string): string {
  return `${jobKeyPrefix}${id}`;
}

export function statusKey(status: JobStatus): string {
  return `lipsync:jobs-${status}`;
}

/** Channel on which each change of a job is announced; the message is the new revision. */
export function jobChannel(id: string): string {
  return `lipsync:job:${id}`;
}

const timeDigits = 15;
const memberPattern = /^\d{15}:.{1,200}$/;

/**
 * Member of the indexes, which are sorted sets with equal scores: Redis then orders by member, so time first and id
 * second, and a page can begin exactly after any member, whether that one is still there or not.
 */
export function indexMember(createdAtMs: number, id: string): string {
  return `${String(createdAtMs).padStart(timeDigits, '0')}:${id}`;
}

export function idOfMember(member: string): string {
  return member.slice(timeDigits + 1);
}

export function toCursor(member: string): string {
  return Buffer.from(member).toString('base64url');
}

/** The member that a cursor stands for, or undefined when it is not one of ours. */
export function fromCursor(cursor: string): string | undefined {
  const member = Buffer.from(cursor, 'base64url').toString();
  return memberPattern.test(member) ? member : undefined;
}
