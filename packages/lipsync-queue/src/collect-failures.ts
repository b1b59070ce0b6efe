import { UnreadableRecordError } from '@lipsync/core/host';

/** Jobs that are queued, canceled or erased at once. */
const chunkSize = 25;

/**
 * Calls `work` for every item, some at once, and returns its results in the order of the items. An item that fails does
 * not stop the others, unless all at once fail, as without Redis. The first error is thrown at the end.
 */
export async function inChunks<Result>(count: number, work: (item: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  for (let start = 0; start < count; start += chunkSize) {
    const size = Math.min(chunkSize, count - start);
    const chunk = Array.from({ length: size }, (_, offset) => work(start + offset));
    const before = results.length;
    for (const outcome of await Promise.allSettled(chunk)) {
      if (outcome.status === 'fulfilled') results.push(outcome.value);
      else failures.push(outcome.reason);
    }
    if (results.length === before) break;
  }
  if (failures.length > 0) throw failures[0];
  return results;
}

/** Adds an error to those that are thrown at the end. A record of a later version is left to its workers. */
export function collectFailure(failures: unknown[], error: unknown): undefined {
  if (!(error instanceof UnreadableRecordError && error.isNewer)) failures.push(error);
}
