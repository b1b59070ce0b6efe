import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { abortError } from '../errors/index.ts';

export interface FileHash {
  readonly sizeBytes: number;
  /** In lower-case hex. */
  readonly sha256: string;
}

/** Large enough that reading costs little compared with hashing. */
export const hashChunkBytes = 1024 ** 2;

/** Hashes and counts content that arrives in chunks. */
export class ContentHash {
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;

  /** Bytes seen so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(chunk: Uint8Array): void {
    this.#sizeBytes += chunk.byteLength;
    this.#hash.update(chunk);
  }

  /** Ends the hash; call it once. */
  finish(): FileHash {
    return { sizeBytes: this.#sizeBytes, sha256: this.#hash.digest('hex') };
  }
}

/** Hashes a stream to its end. Throws the error of the stream, or the reason of an aborted signal. */
export async function hashStream(content: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<FileHash> {
  const hash = new ContentHash();
  try {
    for await (const chunk of content) {
      if (signal?.aborted) break;
      hash.update(chunk);
    }
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  }
  if (signal?.aborted) throw abortError(signal);
  return hash.finish();
}

/** Hashes a file. Throws the file system's error, or the reason of an aborted signal. */
export async function hashFile(path: string, signal?: AbortSignal): Promise<FileHash> {
  return hashStream(createReadStream(path, { highWaterMark: hashChunkBytes, ...(signal && { signal }) }), signal);
}
