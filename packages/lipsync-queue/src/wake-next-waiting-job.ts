import { isUnderWay, type JobRecord, type JobStore } from '@lipsync/core';
import type { QueueEntries } from './queue-entries.ts';

/** Records that are read at a time. Among so many of the oldest, the more urgent go first. */
const pageSize = 100;
/** Records that are read at most. Those whose operation runs are among the oldest, and are seen past. */
const mostRead = 2_000;

/**
 * Wakes the one of those that stand in line for a provider whose turn it is: of the oldest the most urgent, of equally
 * urgent ones the oldest. Another that is woken at the same moment is passed over for the next, so that each call wakes
 * one of its own. False where nobody in line sleeps. Throws what Redis and the store throw.
 */
export async function wakeNextWaitingJob(
  store: Pick<JobStore, 'get'>,
  entries: Pick<QueueEntries, 'sleeping' | 'wake'>,
): Promise<boolean> {
  const oldestFirst = (await entries.sleeping('cloud')).slice(0, mostRead);
  for (let start = 0; start < oldestFirst.length; start += pageSize) {
    const records = await Promise.all(oldestFirst.slice(start, start + pageSize).map((id) => store.get(id)));
    const inLine = records.flatMap((record) => (record && isInLine(record) ? [record] : []));
    for (const { id } of inLine.toSorted((one, other) => priorityOf(one) - priorityOf(other))) {
      if (await entries.wake(id)) return true;
    }
  }
  return false;
}

function priorityOf({ spec }: JobRecord): number {
  return spec.options.priority;
}

function isInLine(record: JobRecord): boolean {
  return record.parkedUntilMs !== null && !isUnderWay(record);
}
