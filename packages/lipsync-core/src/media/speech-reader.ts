import { MediaProcess } from './ffmpeg-process.ts';
import { inputArguments } from './ffmpeg-arguments.ts';

/** Sample rate of speech analysis, equal to that of audio/speech-features.ts. */
const sampleRateHz = 16_000;
const bytesPerSample = 4;

export interface SpeechReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The samples of a speech recording, for a single iteration. Leaving the loop early stops the decoder. */
export interface SpeechStream extends AsyncIterable<Float32Array> {
  /** Number of non-finite samples so far (NaN, infinite), which are replaced by silence. */
  readonly nanSamples: number;
}

/**
 * Decodes a speech recording to mono at 16 kHz with samples from −1 to 1, in chunks of a few thousand samples that the
 * caller owns. Iteration throws `media_failed` or the abort error.
 */
export function readSpeech(path: string, { signal }: SpeechReadOptions = {}): SpeechStream {
  let nanSamples = 0;
  async function* read(): AsyncGenerator<Float32Array> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of decode(path, signal)) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const whole = bytes.length - (bytes.length % bytesPerSample);
      rest = bytes.subarray(whole);
      const samples = toSamples(bytes.subarray(0, whole));
      nanSamples += silenceNonFinite(samples);
      if (samples.length > 0) yield samples;
    }
  }
  return {
    [Symbol.asyncIterator]: read,
    get nanSamples() {
      return nanSamples;
    },
  };
}

/**
 * Measures the duration of a speech recording by decoding it; stops soon after `maxDurationMs`. Throws the errors of
 * `readSpeech`.
 */
export async function measureSpeechMs(
  path: string,
  { signal, maxDurationMs }: SpeechReadOptions & { readonly maxDurationMs: number },
): Promise<number> {
  let bytes = 0;
  const maxBytes = ((maxDurationMs + 1_000) * sampleRateHz * bytesPerSample) / 1000;
  for await (const chunk of decode(path, signal)) {
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return (Math.floor(bytes / bytesPerSample) * 1000) / sampleRateHz;
}

/** Yields the raw output of the decoder. */
async function* decode(path: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  const running = new MediaProcess({ tool: 'ffmpeg', arguments: decodeArguments(path), signal });
  const chunks = running.stdout.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const { value, done }: IteratorResult<Buffer> = await running.within(chunks.next());
      if (done) break;
      yield value;
    }
    await running.within(running.ended);
  } finally {
    await running.stop();
  }
}

function decodeArguments(path: string): readonly string[] {
  return [
    ...inputArguments(path),
    '-map',
    '0:a:0',
    '-vn',
    '-sn',
    '-dn',
    '-ac',
    '1',
    '-ar',
    String(sampleRateHz),
    '-f',
    'f32le',
    'pipe:1',
  ];
}

/** Copies, because chunks of a pipe are not aligned for 32-bit floats. */
function toSamples(bytes: Buffer): Float32Array {
  const copy = new Uint8Array(bytes);
  return new Float32Array(copy.buffer);
}

/** Replaces non-finite samples by silence and clips the others, in place. Returns the number of replaced samples. */
function silenceNonFinite(samples: Float32Array): number {
  let replaced = 0;
  // Ten times as fast as an iterator over entries.
  for (let index = 0; index < samples.length; index += 1) {
    const sample = samples[index] ?? 0;
    if (Number.isFinite(sample)) {
      samples[index] = Math.max(-1, Math.min(1, sample));
    } else {
      samples[index] = 0;
      replaced += 1;
    }
  }
  return replaced;
}
