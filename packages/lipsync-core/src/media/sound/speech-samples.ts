import { createReadStream } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import { abortError, LipsyncError } from '../../errors/index.ts';
import type { SoundSource } from '../media-types.ts';
import { decodeSamples, joinSamples } from '../sample-decoder.ts';

/**
 * The samples of a sound as mono at 16 kHz, before their range is limited: those that `savedSamples` has written to its
 * `samplesPath`, or else decoded by ffmpeg with `decodeArguments`. Iteration throws `media_failed` or the abort error.
 */
export async function* monoSamples(
  { samplesPath }: SoundSource,
  decodeArguments: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Float32Array> {
  const isSaved = samplesPath !== undefined && (await isReadable(samplesPath));
  yield* isSaved ? readSamples(samplesPath, signal) : decodeSamples(decodeArguments, signal);
}

function isReadable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function* readSamples(path: string, signal: AbortSignal | undefined): AsyncGenerator<Float32Array> {
  try {
    yield* joinSamples(createReadStream(path, { signal }));
  } catch (cause) {
    if (signal?.aborted) throw abortError(signal);
    throw new LipsyncError('media_failed', 'The decoded speech cannot be read. Try again.', { cause });
  }
}

/**
 * Passes chunks on and writes them to a file, which appears at `path` when all have been read. Iteration throws the errors
 * of `chunks` and of the file system.
 */
export async function* savedSamples(chunks: AsyncIterable<Float32Array>, path: string): AsyncGenerator<Float32Array> {
  const partPath = `${path}.part`;
  const file = await open(partPath, 'w');
  try {
    for await (const chunk of chunks) {
      await file.appendFile(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      yield chunk;
    }
    await rename(partPath, path);
  } finally {
    await file.close();
    await rm(partPath, { force: true });
  }
}
