import { createWriteStream } from 'node:fs';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LipsyncError } from '../errors/index.ts';
import type { ByteRange } from './artifact-store.ts';
import { ContentHash, type FileHash } from './file-hash.ts';

/**
 * Writes content to a new file and hashes it. Throws `payload_too_large` above `maxBytes`; the caller deletes the file.
 */
export async function writeHashed(
  content: Readable,
  path: string,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal | undefined },
): Promise<FileHash> {
  const hash = new ContentHash();
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      if (hash.sizeBytes > maxBytes) done(tooLarge(maxBytes));
      else done(null, chunk);
    },
  });
  await pipeline(content, meter, createWriteStream(path, { flags: 'wx' }), signal ? { signal } : {});
  return hash.finish();
}

function tooLarge(maxBytes: number): LipsyncError {
  return new LipsyncError(
    'payload_too_large',
    `The file exceeds the limit of ${maxBytes} bytes. Send a smaller file.`,
    { details: { maxBytes } },
  );
}

/** Throws `request_invalid` for a range that is not within an object of that size. */
export function requireInside(range: ByteRange | undefined, sizeBytes: number): void {
  if (!range) return;
  const { start, end } = range;
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end < sizeBytes) return;
  throw new LipsyncError('request_invalid', `The range is not within the ${sizeBytes} bytes of the file.`, {
    details: { sizeBytes },
  });
}

/** The error of a missing object. */
export function notStored(cause?: unknown): LipsyncError {
  return new LipsyncError('not_found', 'The file is no longer stored. Run the job again.', { cause });
}
