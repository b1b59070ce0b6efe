import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { ContentHash } from '../file-hash.ts';
import { storeError, toStoreError } from './s3-errors.ts';

export interface BodyOptions {
  /** Bytes of the body before the requested ones, because servers may ignore or extend a range. */
  readonly skipBytes: number;
  /** Requested bytes. */
  readonly sizeBytes: number;
  /** Longest time of waiting in which fewer than `minBytesPerSecond` arrive on average. */
  readonly responseTimeoutMs: number;
  readonly minBytesPerSecond: number;
  /** URL of the bucket, for messages. */
  readonly url: string;
}

/**
 * Yields the requested bytes of a response. Only the time in which content is awaited counts, not that of a slow
 * reader. Throws `store_timeout` when content arrives too slowly, and `store_unavailable` when it ends early. Destroys
 * the body.
 */
export async function* readBody(body: Readable, options: BodyOptions): AsyncGenerator<Buffer> {
  const { skipBytes, sizeBytes, url } = options;
  let [toSkip, missing] = [skipBytes, sizeBytes];
  const chunks = body.iterator({ destroyOnReturn: true });
  const next = createTimedReader(chunks, options);
  try {
    while (missing > 0) {
      const chunk = await next();
      if (!chunk) throw storeError('store_unavailable', url, new Error(`The body ended ${missing} bytes early.`));
      const requested = chunk.subarray(toSkip, toSkip + missing);
      toSkip = Math.max(0, toSkip - chunk.byteLength);
      missing -= requested.byteLength;
      if (requested.byteLength > 0) yield requested;
    }
  } finally {
    body.destroy();
  }
}

/** Returns a function that reads the next chunk; undefined at the end. */
function createTimedReader(
  chunks: AsyncIterator<Buffer>,
  { responseTimeoutMs, minBytesPerSecond, url }: BodyOptions,
): () => Promise<Buffer | undefined> {
  let [waitedMs, receivedBytes] = [0, 0];
  const minBytes = (minBytesPerSecond * responseTimeoutMs) / 1_000;
  return async () => {
    const startedAtMs = performance.now();
    const timer = new AbortController();
    const tooSlow = delay(Math.max(0, responseTimeoutMs - waitedMs), undefined, { signal: timer.signal });
    try {
      const result = await Promise.race([chunks.next(), tooSlow.then(() => undefined)]);
      if (!result) throw storeError('store_timeout', url);
      if (result.done) return undefined;
      waitedMs += performance.now() - startedAtMs;
      receivedBytes += result.value.byteLength;
      // A window that has enough bytes is over; the next one begins.
      if (receivedBytes >= minBytes) [waitedMs, receivedBytes] = [0, 0];
      return result.value;
    } catch (error) {
      throw toStoreError(error, url);
    } finally {
      timer.abort();
      tooSlow.catch(() => undefined);
    }
  };
}

/**
 * Returns `stream`, whose end destroys `source`. A generator that reads the source does not, if the stream is destroyed
 * before its first read: its connection would never be free again.
 */
export function closingWith(stream: Readable, source: Readable): Readable {
  return stream.once('close', () => source.destroy());
}

/**
 * Yields the content of an object and throws `store_corrupted` at its end unless it has this SHA-256. The last chunk
 * follows the comparison, so that no reader has received as many bytes as a right object has.
 */
export async function* verifyBody(body: Readable, sha256: string, url: string): AsyncGenerator<Buffer> {
  const hash = new ContentHash();
  let last: Buffer | undefined;
  // `as`: a stream without an encoding yields buffers.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    if (last) yield last;
    last = chunk;
  }
  if (hash.finish().sha256 !== sha256) throw storeError('store_corrupted', url);
  if (last) yield last;
}
