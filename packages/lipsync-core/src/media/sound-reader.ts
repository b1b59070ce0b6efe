import { inputArguments } from './ffmpeg-arguments.ts';
import { decodeBytes, decodeSamples, silenceNonFinite } from './sample-decoder.ts';
import { runProbe } from './ffprobe.ts';

/** Sample rate of speech analysis, equal to that of audio/speech-features.ts. */
const analysisRateHz = 16_000;
/** Far above full scale; larger values are damage. */
const largestSample = 16;
/** ffmpeg prints this for sound without a gated block: silence, or less than 0.4 s. */
const unmeasuredLufs = -70;
/** Holds the last line of the loudness meter. */
const keptCharacters = 4_096;

export interface SoundFormat {
  readonly sampleRateHz: number;
  readonly channels: number;
}

/** Returns rate and channels of the first audio stream, or null without one. Throws `media_failed`. */
export async function probeSound(path: string, signal?: AbortSignal): Promise<SoundFormat | null> {
  const { streams } = await runProbe(path, { signal });
  const stream = streams.find(({ codec_type }) => codec_type === 'audio');
  if (!stream?.sample_rate || !stream.channels) return null;
  return { sampleRateHz: stream.sample_rate, channels: stream.channels };
}

/**
 * Decodes the first audio stream at its own rate, with interleaved channels, from its first sample. Gaps between its
 * timestamps become silence, as in a player. Values above full scale are kept. Chunks hold whole frames of all channels.
 * Throws `media_failed` or the abort error.
 */
export async function* readSound(
  path: string,
  { sampleRateHz, channels }: SoundFormat,
  signal?: AbortSignal,
): AsyncGenerator<Float32Array> {
  const format = ['-ar', String(sampleRateHz), '-ac', String(channels)];
  let rest = new Float32Array(0);
  for await (const samples of decodeSamples(soundArguments(path, 'aresample=async=1', format), signal)) {
    silenceNonFinite(samples, largestSample);
    const joined = rest.length === 0 ? samples : concatenate(rest, samples);
    const whole = joined.length - (joined.length % channels);
    rest = joined.slice(whole);
    if (whole > 0) yield joined.subarray(0, whole);
  }
}

/**
 * Like `readSound`, but mono at 16 kHz: the mean of the channels, and not, as ffmpeg does by default for floating-point
 * samples, their sum at equal power.
 */
export async function* readMonoSound(path: string, signal?: AbortSignal): AsyncGenerator<Float32Array> {
  const filter = `aresample=${analysisRateHz}:async=1:rematrix_maxval=1:ochl=mono`;
  for await (const samples of decodeSamples(soundArguments(path, filter, []), signal)) {
    silenceNonFinite(samples, largestSample);
    yield samples;
  }
}

function soundArguments(path: string, filter: string, format: readonly string[]): readonly string[] {
  return [
    ...inputArguments(path),
    '-map',
    '0:a:0',
    '-vn',
    '-sn',
    '-dn',
    '-af',
    filter,
    ...format,
    '-f',
    'f32le',
    'pipe:1',
  ];
}

function concatenate(first: Float32Array, second: Float32Array): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/**
 * Measures the integrated loudness of the first audio stream (EBU R 128), in LUFS; null for silence and for less than
 * 0.4 s. Throws `media_failed` or the abort error.
 */
export async function measureLoudness(path: string, signal?: AbortSignal): Promise<number | null> {
  const meter = 'ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file=-';
  const meterArguments = [
    ...inputArguments(path),
    '-map',
    '0:a:0',
    '-vn',
    '-sn',
    '-dn',
    '-af',
    meter,
    '-f',
    'null',
    '-',
  ];
  let tail = '';
  for await (const chunk of decodeBytes(meterArguments, signal))
    tail = (tail + chunk.toString('latin1')).slice(-keptCharacters);
  const values = [...tail.matchAll(/^lavfi\.r128\.I=(-?[\d.]+)$/gm)];
  const loudness = Number(values.at(-1)?.[1] ?? unmeasuredLufs);
  return loudness > unmeasuredLufs ? loudness : null;
}
