import { MediaProcess, type MediaTool } from './ffmpeg-process.ts';

/** Bytes of a 32-bit float. */
export const bytesPerSample = 4;

export interface ToolOutputOptions {
  readonly tool?: MediaTool;
  readonly signal?: AbortSignal | undefined;
  /** Receives the end of the standard error when the tool has succeeded. */
  readonly onLog?: ((log: string) => void) | undefined;
}

/**
 * Runs ffmpeg or ffprobe and yields its standard output as it arrives. Throws `media_failed` or the abort error.
 */
export async function* readToolOutput(
  toolArguments: readonly string[],
  { tool = 'ffmpeg', signal, onLog }: ToolOutputOptions,
): AsyncGenerator<Buffer> {
  const running = new MediaProcess({ tool, arguments: toolArguments, signal });
  const chunks = running.stdout.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const { value, done }: IteratorResult<Buffer> = await running.within(chunks.next());
      if (done) break;
      yield value;
    }
    await running.within(running.ended);
    onLog?.(running.log);
  } finally {
    await running.stop();
  }
}

/**
 * Runs ffmpeg with output format `f32le` and yields chunks of samples that the caller owns. Throws as `readToolOutput`.
 */
export async function* decodeSamples(
  decodeArguments: readonly string[],
  signal: AbortSignal | undefined,
  onLog?: (log: string) => void,
): AsyncGenerator<Float32Array> {
  yield* joinSamples(readToolOutput(decodeArguments, { signal, onLog }));
}

/** The 32-bit floats of chunks that may end within one. The caller owns the returned ones. */
export async function* joinSamples(chunks: AsyncIterable<Buffer>): AsyncGenerator<Float32Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % bytesPerSample);
    rest = bytes.subarray(whole);
    if (whole > 0) yield toSamples(bytes.subarray(0, whole));
  }
}

/** The 32-bit floats of a chunk; a copy only where the chunk is not aligned for them, as those of a pipe. */
export function viewSamples(chunk: Buffer): Float32Array {
  const count = Math.floor(chunk.length / bytesPerSample);
  const isAligned = chunk.byteOffset % bytesPerSample === 0;
  return isAligned
    ? new Float32Array(chunk.buffer, chunk.byteOffset, count)
    : new Float32Array(new Uint8Array(chunk).buffer, 0, count);
}

/** Copies, because chunks of a pipe are not aligned for 32-bit floats. */
function toSamples(bytes: Buffer): Float32Array {
  const copy = new Uint8Array(bytes);
  return new Float32Array(copy.buffer);
}

/**
 * Replaces non-finite samples by silence and limits the others to ±`limit`, in place. Returns the number of replaced
 * samples.
 */
export function silenceNonFinite(samples: Float32Array, limit: number): number {
  let replaced = 0;
  // Ten times as fast as an iterator over entries.
  for (let index = 0; index < samples.length; index += 1) {
    const sample = samples[index] ?? 0;
    if (Number.isFinite(sample)) {
      samples[index] = Math.max(-limit, Math.min(limit, sample));
    } else {
      samples[index] = 0;
      replaced += 1;
    }
  }
  return replaced;
}
