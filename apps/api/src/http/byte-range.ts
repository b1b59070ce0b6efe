import type { Request } from 'express';

/** A byte range, both ends inclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The requested byte range; undefined for the complete file. Multiple ranges, a malformed header and an `If-Range` that
 * does not match select the complete file, as RFC 9110 allows or requires.
 */
export function chooseRange(
  request: Request,
  sizeBytes: number,
  etag: string,
): ByteRange | 'unsatisfiable' | undefined {
  const condition = request.get('If-Range');
  if (condition !== undefined && condition !== etag) return undefined;
  if (isLongSuffix(request.get('Range'), sizeBytes)) return { start: 0, end: sizeBytes - 1 };
  const ranges = request.range(sizeBytes, { combine: true });
  if (ranges === undefined || ranges === -2) return undefined;
  if (ranges === -1) return 'unsatisfiable';
  const [range] = ranges;
  if (ranges.type !== 'bytes' || ranges.length !== 1 || !range) return undefined;
  return { start: range.start, end: range.end };
}

/** A suffix range longer than the file selects all of it (RFC 9110, 14.1.2); Express reports it as unsatisfiable. */
function isLongSuffix(range: string | undefined, sizeBytes: number): boolean {
  const suffixLength = /^bytes=\s*-(\d+)$/.exec(range ?? '')?.[1];
  return suffixLength !== undefined && Number(suffixLength) > sizeBytes;
}
