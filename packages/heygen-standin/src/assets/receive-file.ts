import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface ReceivedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** The first bytes, which tell the type. */
  readonly head: Buffer;
}

const headBytes = 16;

/**
 * Writes what `source` brings to `path`. Undefined when that is more than `maxBytes`: nothing is kept then, and the
 * source is destroyed. Throws what the source or the disk throws; nothing is kept then either.
 */
export async function receiveFile(source: Readable, path: string, maxBytes: number): Promise<ReceivedFile | undefined> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let head: Buffer = Buffer.alloc(0);
  const tooLarge = new Error('too large');
  async function* measured(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw tooLarge;
      if (head.length < headBytes) head = Buffer.concat([head, chunk]).subarray(0, headBytes);
      hash.update(chunk);
      yield chunk;
    }
  }
  try {
    await pipeline(source, measured, createWriteStream(path));
  } catch (error) {
    await rm(path, { force: true });
    if (error === tooLarge) return undefined;
    throw error;
  }
  return { path, sizeBytes, sha256: hash.digest('hex'), head };
}
