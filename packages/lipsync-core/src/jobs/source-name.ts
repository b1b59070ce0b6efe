import { parse } from 'content-disposition';
import type { GuardedResponse } from '../net/index.ts';
import { toDisplayName } from '../storage/display-name.ts';

/**
 * The file name of a downloaded input: the one that the server states, else the last segment of the requested or the
 * final URL, whichever looks like a file. Safe to display, never used as a path.
 */
export function sourceName(
  url: string,
  { contentDisposition, finalUrl }: Pick<GuardedResponse, 'contentDisposition' | 'finalUrl'>,
  fallback: string,
): string {
  const stated = contentDisposition === null ? undefined : parse(contentDisposition).parameters['filename'];
  if (stated !== undefined && stated !== '') return toDisplayName(stated, fallback);
  const names = [url, finalUrl].map(lastSegment);
  return toDisplayName(names.find((name) => /.\.\w{1,5}$/.test(name)) ?? names[0] ?? '', fallback);
}

function lastSegment(url: string): string {
  const segment =
    URL.parse(url)
      ?.pathname.split('/')
      .findLast((part) => part !== '') ?? '';
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
