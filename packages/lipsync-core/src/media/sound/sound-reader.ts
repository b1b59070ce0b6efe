import { inputArguments, selectSound } from '../ffmpeg-arguments.ts';
import { isPicture, runProbe, type ProbeReport } from '../ffprobe.ts';
import type { SoundSource } from '../media-types.ts';
import { decodeSamples, silenceNonFinite } from '../sample-decoder.ts';
import { meanOfChannels, monoFilters } from './sound-mix.ts';
import { monoSamples } from './speech-samples.ts';
import { listSoundTracks, orderTracks } from './track-choice.ts';

/** Sample rate of speech analysis, equal to that of audio/speech-features.ts. */
const analysisRateHz = 16_000;
/** Far above full scale; larger values are damage. */
const largestSample = 16;
/** ffmpeg prints this for sound without a gated block: silence, or less than 0.4 s. */
const unmeasuredLufs = -70;

export interface SoundFormat {
  readonly sampleRateHz: number;
  readonly channels: number;
}

export interface SoundTrack extends SoundFormat, SoundSource {
  /**
   * How much later the sound starts than the picture, in milliseconds; negative when it starts earlier. Decoders of
   * sound alone drop this gap.
   */
  readonly delayMs: number;
}

/**
 * Returns the facts of the audio stream that players choose, or null without one that can be decoded. Throws
 * `media_failed` or the abort error.
 */
export async function probeSound(path: string, signal?: AbortSignal): Promise<SoundTrack | null> {
  return soundTrackOf(await runProbe(path, { signal }));
}

/** As `probeSound`, of a file that ffprobe has reported on. */
export function soundTrackOf(report: ProbeReport): SoundTrack | null {
  const [track] = orderTracks(listSoundTracks(report));
  const stream = track?.stream;
  if (!stream?.sample_rate || !stream.channels) return null;
  const picture = report.streams.find(isPicture)?.start_time;
  const delayMs = picture === undefined || stream.start_time === undefined ? 0 : (stream.start_time - picture) * 1000;
  return { streamIndex: stream.index, sampleRateHz: stream.sample_rate, channels: stream.channels, delayMs };
}

/** What identifies an audio stream, and the format in which it is read. */
type SourceFormat = Omit<SoundTrack, 'delayMs'>;

/** Sound, for a single iteration. */
export interface SoundStream extends AsyncIterable<Float32Array> {
  /** Integrated loudness (EBU R 128), known after the last chunk; null for silence and for less than 0.4 s. */
  readonly loudnessLufs: number | null;
}

/**
 * Decodes an audio stream at its own rate, with interleaved channels, from its first sample, and measures its
 * loudness. Gaps between its timestamps become silence, as in a player. Values above full scale are kept. Chunks hold
 * whole frames of all channels. Iteration throws `media_failed` or the abort error.
 */
export function readSound(path: string, track: SourceFormat, signal?: AbortSignal): SoundStream {
  let loudnessLufs: number | null = null;
  const onLog = (log: string): void => void (loudnessLufs = parseLoudness(log));
  return {
    [Symbol.asyncIterator]: () => readFrames(path, track, { signal, onLog }),
    get loudnessLufs() {
      return loudnessLufs;
    },
  };
}

async function* readFrames(
  path: string,
  { streamIndex, sampleRateHz, channels }: SourceFormat,
  { signal, onLog }: { readonly signal: AbortSignal | undefined; onLog(log: string): void },
): AsyncGenerator<Float32Array> {
  const format = ['-ar', String(sampleRateHz), '-ac', String(channels)];
  // One process decodes once for both.
  const decoding = [
    ...soundArguments(path, { streamIndex, filter: 'aresample=async=1' }),
    ...format,
    ...samplesToPipe,
    ...loudnessArguments(streamIndex),
  ];
  let rest = new Float32Array(0);
  for await (const samples of decodeSamples(decoding, signal, onLog)) {
    silenceNonFinite(samples, largestSample);
    const joined = rest.length === 0 ? samples : concatenate(rest, samples);
    const whole = joined.length - (joined.length % channels);
    rest = joined.slice(whole);
    if (whole > 0) yield joined.subarray(0, whole);
  }
}

/** A second output, which prints the loudness to standard error. */
function loudnessArguments(streamIndex: number): readonly string[] {
  const filter = `ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file='pipe\\:2'`;
  return [...selectSound(streamIndex), '-af', filter, '-f', 'null', '-'];
}

function parseLoudness(log: string): number | null {
  const values = [...log.matchAll(/^lavfi\.r128\.I=(-?[\d.]+)$/gm)];
  const loudness = Number(values.at(-1)?.[1] ?? unmeasuredLufs);
  return loudness > unmeasuredLufs ? loudness : null;
}

/**
 * Like `readSound`, but mono at 16 kHz: the mean of the channels, and not, as ffmpeg does by default for floating-point
 * samples, their sum at equal power.
 */
export async function* readMonoSound(
  path: string,
  source: SoundSource,
  signal?: AbortSignal,
): AsyncGenerator<Float32Array> {
  const { streamIndex, mix } = source;
  const filter = [...monoFilters(mix), `aresample=${analysisRateHz}:async=1:${meanOfChannels}`].join(',');
  const decoding = [...soundArguments(path, { streamIndex, filter }), ...samplesToPipe];
  for await (const samples of monoSamples(source, decoding, signal)) {
    silenceNonFinite(samples, largestSample);
    yield samples;
  }
}

/** Puts silence before sound that starts later than the picture, or drops what comes before it. Mono at 16 kHz. */
export async function* shiftSound(chunks: AsyncIterable<Float32Array>, delayMs: number): AsyncGenerator<Float32Array> {
  const delay = Math.round((delayMs * analysisRateHz) / 1000);
  if (delay > 0) yield new Float32Array(delay);
  let dropped = Math.min(0, delay);
  for await (const chunk of chunks) {
    yield dropped < 0 ? chunk.subarray(Math.min(chunk.length, -dropped)) : chunk;
    dropped = Math.min(0, dropped + chunk.length);
  }
}

const samplesToPipe = ['-f', 'f32le', 'pipe:1'] as const;

function soundArguments(
  path: string,
  { streamIndex, filter }: { readonly streamIndex: number; readonly filter: string },
): readonly string[] {
  return [...inputArguments(path), ...selectSound(streamIndex), '-af', filter];
}

function concatenate(first: Float32Array, second: Float32Array): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
