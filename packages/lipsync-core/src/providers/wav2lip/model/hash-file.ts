import { abortError, LipsyncError } from '../../../errors/index.ts';
import type { FileFacts } from '../../../inference/onnx-writer.ts';
import { hashChunkBytes, hashStream } from '../../../storage/file-hash.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';

/**
 * Size and SHA-256 of a model or checkpoint file. Throws `model_missing` when it is not a readable regular file, and the
 * reason of an aborted signal.
 */
export async function hashModelFile(path: string, signal: AbortSignal): Promise<FileFacts> {
  const { handle } = await openRegularFile(path, unreadable);
  try {
    // The stream closes the handle.
    const { sizeBytes, sha256 } = await hashStream(
      handle.createReadStream({ highWaterMark: hashChunkBytes, signal }),
      signal,
    );
    return { bytes: sizeBytes, sha256 };
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    throw unreadable('cannot be read', cause);
  }
}

function unreadable(reason: string, cause: unknown): LipsyncError {
  return new LipsyncError('model_missing', `The model file ${reason}. Check its path and permissions.`, { cause });
}
