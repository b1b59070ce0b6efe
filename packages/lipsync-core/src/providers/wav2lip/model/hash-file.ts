import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import type { FileFacts } from '../../../inference/write-onnx-file.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';

/**
 * Size and digest of a model's or checkpoint's file. Throws `model_missing` when it is no regular file or cannot be read,
 * and what the signal was aborted with.
 */
export async function hashModelFile(path: string, signal: AbortSignal): Promise<FileFacts> {
  const { handle } = await openRegularFile(path, unreadable);
  const hash = createHash('sha256');
  let bytes = 0;
  const count = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  try {
    // The stream closes the handle.
    await pipeline(handle.createReadStream({ highWaterMark: 1024 * 1024 }), count, hash, { signal });
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    throw unreadable('cannot be read', cause);
  }
  return { bytes, sha256: hash.digest('hex') };
}

function unreadable(reason: string, cause: unknown): LipsyncError {
  return new LipsyncError('model_missing', `The file of the model ${reason}. Check its path and permissions.`, {
    cause,
  });
}
