import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import type { FileFacts } from '../../../inference/write-onnx-file.ts';

/**
 * Size and digest of a model's or checkpoint's file. Throws `model_missing` when it cannot be read, and what the signal
 * was aborted with.
 */
export async function hashModelFile(path: string, signal: AbortSignal): Promise<FileFacts> {
  const hash = createHash('sha256');
  let bytes = 0;
  const count = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), count, hash, { signal });
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    throw new LipsyncError('model_missing', `The file "${path}" is missing or cannot be read. Check the path of the model or checkpoint.`, { cause });
  }
  return { bytes, sha256: hash.digest('hex') };
}
