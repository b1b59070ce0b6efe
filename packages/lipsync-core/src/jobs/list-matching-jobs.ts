import type { JobKind, JobRecord } from './job-record.ts';
import type { JobPage, JobPageQuery, JobStore } from './job-store.ts';

const readSize = 100;
const maxReads = 10;

/**
 * A page of the jobs that match, newest first. Reads at most `maxReads` times `readSize` records, so a page may be
 * short, or empty, although its `nextCursor` leads to further matches. Throws the errors of `JobStore.list`.
 */
export async function listMatchingJobs<Kind extends JobKind>(
  store: Pick<JobStore, 'list'>,
  query: JobPageQuery<Kind>,
  matches: (record: JobRecord<Kind>) => boolean,
): Promise<JobPage<Kind>> {
  const found: JobRecord<Kind>[] = [];
  let { cursor } = query;
  let unreadable = 0;
  let limit = readSize;
  for (let reads = 0; reads < maxReads && found.length < query.limit; reads += 1) {
    const page = await store.list({ ...query, limit, ...(cursor !== undefined && { cursor }) });
    const matching = page.records.filter(matches);
    const last = matching[query.limit - found.length - 1];
    if (last && matching.at(-1) !== last) {
      // A cursor leads behind a whole page, so the page is read again up to the last record that fits.
      limit = page.records.indexOf(last) + 1;
      continue;
    }
    found.push(...matching);
    unreadable += page.unreadable;
    if (page.nextCursor === null) return { records: found, unreadable, nextCursor: null };
    cursor = page.nextCursor;
    limit = readSize;
  }
  return { records: found, unreadable, nextCursor: cursor ?? null };
}
