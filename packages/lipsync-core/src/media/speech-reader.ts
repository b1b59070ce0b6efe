import { MediaProcess } from './ffmpeg-process.ts';
import { inputArguments } from './media-input.ts';

/** The rate at which speech is analyzed; audio/speech-features.ts states it for its readers. */
const sampleRateHz = 16_000;
const bytesPerSample = 4;

export interface SpeechReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The sound of a speech. Can be read once; ending the loop early ends the decoder. */
export interface SpeechStream extends AsyncIterable<Float32Array> {
  /** Samples so far that were no numbers (NaN, infinite) and were replaced by silence. */
  readonly nanSamples: number;
}

/**
 * Decodes a speech to mono at 16 kHz, −1…1, in chunks of at most a few thousand samples that the caller may keep.
 * Iterating throws `media_failed` or the abort's error.
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
      nanSamples += silenceUnreal(samples);
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
 * How long a speech really is, by decoding it without looking at a sample; stops soon after `maxDurationMs`.
 * Throws like `readSpeech`.
 */
export async function measureSpeechMs(
  path: string,
  { signal, maxDurationMs }: SpeechReadOptions & { readonly maxDurationMs: number },
): Promise<number> {
  let bytes = 0;
  const most = ((maxDurationMs + 1_000) * sampleRateHz * bytesPerSample) / 1000;
  for await (const chunk of decode(path, signal)) {
    bytes += chunk.length;
    if (bytes > most) break;
  }
  return (Math.floor(bytes / bytesPerSample) * 1000) / sampleRateHz;
}

/** The decoder's bytes, as they come out of its pipe. */
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

/** A copy, because a chunk of the pipe begins at any byte and typed arrays begin at multiples of four. */
function toSamples(bytes: Buffer): Float32Array {
  const copy = new Uint8Array(bytes);
  return new Float32Array(copy.buffer);
}

/** Replaces what is no number by silence and clips the rest, in place; returns how many samples were replaced. */
function silenceUnreal(samples: Float32Array): number {
  let replaced = 0;
  // An iterator's pair for each sample would take ten times as long.
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
