import { playerZeroS } from '../containers/container-clock.ts';
import { inputArguments, isFloatingPoint, partArguments, selectSound, type FilePart } from '../ffmpeg-arguments.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';
import { MatroskaBlockParser } from '../containers/matroska-blocks.ts';
import { keepChannels } from './sound-mix.ts';
import { bytesPerSample, readToolOutput } from '../sample-decoder.ts';
import { findSoundParts } from './sound-parts.ts';

/** A sound stream of a file, and when a player plays its samples. */
export interface SoundTrackPlan {
  readonly path: string;
  readonly streamIndex: number;
  /** Number among the sound streams, counted from 0. */
  readonly soundIndex: number;
  readonly codec: string;
  /** Parts that are played one after another; empty for a file of one part. */
  readonly parts: readonly FilePart[];
  /**
   * Seconds in the clock of the container at which a player starts, or null for a format without a clock, whose samples
   * follow each other.
   */
  readonly origin: { readonly startS: number; readonly fileStartS: number } | null;
}

/** Formats without a clock: ffmpeg counts their times from frame sizes, wrongly when the rate changes. */
const formatsWithoutClock = /^(?:mp3|aac|ac3|eac3|amr\w*|flac|wav|w64|aiff|caf|au)$/;

/** Determines when a player plays the samples of a stream. Throws `media_failed` or the abort error. */
export async function planSoundTrack(
  path: string,
  stream: ProbedStream,
  report: ProbeReport,
  signal?: AbortSignal,
): Promise<SoundTrackPlan> {
  const { index: streamIndex, codec_name: codec = '' } = stream;
  const soundIndex = report.streams.filter(({ codec_type }) => codec_type === 'audio').indexOf(stream);
  const parts = await findSoundParts(path, stream, report, signal);
  return { path, streamIndex, soundIndex, codec, parts, origin: findOrigin(report) };
}

function findOrigin(report: ProbeReport): SoundTrackPlan['origin'] {
  const { format_name: name, start_time: fileStartS = 0 } = report.format;
  return formatsWithoutClock.test(name) ? null : { startS: playerZeroS(report), fileStartS };
}

export interface DecodedSound {
  readonly sampleRateHz: number;
  readonly channels: number;
  /** As ffprobe names it. */
  readonly channelLayout?: string | undefined;
}

/** A later packet leaves a hole; smaller differences are rounding of the container. */
const smallestHoleMs = 10;
const longestSilenceChunkMs = 1_000;

/**
 * Decodes a track to interleaved 32-bit floats as a player plays it, from the start of the file: what starts late and
 * holes between packets are silence, and parts of another rate or layout keep their duration. Chunks hold whole samples
 * of all channels and are owned by the caller. Throws `media_failed` or the abort error.
 */
export async function* decodeSoundTrack(
  plan: SoundTrackPlan,
  format: DecodedSound,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  for (const part of plan.parts.length === 0 ? [undefined] : plan.parts) {
    const decoded = readToolOutput(decodeArguments({ ...plan, part }, format), { signal });
    yield* wholeFrames(plan.origin === null ? decoded : placeInTime(decoded, format), format.channels * bytesPerSample);
  }
}

function decodeArguments(
  { path, part, streamIndex, soundIndex, codec, origin }: SoundTrackPlan & { readonly part: FilePart | undefined },
  { sampleRateHz, channels, channelLayout }: DecodedSound,
): readonly string[] {
  const filters = [...(isFloatingPoint(codec) ? [finiteSamples] : []), ...keepChannels(channelLayout)];
  return [
    ...(origin === null ? [] : ['-itsoffset', (origin.fileStartS - origin.startS || leastOffsetS).toFixed(6)]),
    ...(part ? partArguments(path, part) : inputArguments(path)),
    ...selectSound(part ? `a:${soundIndex}` : streamIndex),
    ...(filters.length === 0 ? [] : ['-af', filters.join(',')]),
    // A default layout would merge or move channels of another one.
    ...(keepChannels(channelLayout).length === 0 ? ['-ac', String(channels)] : []),
    '-ar',
    String(sampleRateHz),
    '-c:a',
    'pcm_f32le',
    '-f',
    origin === null ? 'f32le' : 'matroska',
    'pipe:1',
  ];
}

/** Floats of integer scale are smaller; larger ones are damage. */
const largestSample = 65_536;

/** A resampler spreads each sample that is not finite over its neighbors. */
const finiteSamples = `aeval=exprs='if(isnan(val(ch))+isinf(val(ch)),0,clip(val(ch),-${largestSample},${largestSample}))':channel_layout=same`;

/** Without any offset, ffmpeg lets MPEG-TS and others start with the first selected stream instead of the file. */
const leastOffsetS = 0.000_001;

/** Fills the time between packets with silence. The clock of the container is monotonic after ffmpeg has read it. */
async function* placeInTime(
  chunks: AsyncIterable<Buffer>,
  { sampleRateHz, channels }: DecodedSound,
): AsyncGenerator<Buffer> {
  const frameBytes = channels * bytesPerSample;
  const parser = new MatroskaBlockParser();
  let position = 0;
  for await (const chunk of chunks) {
    for (const { timeMs, data } of parser.push(chunk)) {
      const gap = Math.round((timeMs * sampleRateHz) / 1000) - position;
      const isHole = position === 0 ? gap > 0 : gap * 1000 > smallestHoleMs * sampleRateHz;
      if (isHole) yield* silence(gap, frameBytes, sampleRateHz);
      position += (isHole ? gap : 0) + Math.floor(data.length / frameBytes);
      yield data;
    }
  }
}

function* silence(frames: number, frameBytes: number, sampleRateHz: number): Generator<Buffer> {
  const longest = (longestSilenceChunkMs * sampleRateHz) / 1000;
  for (let rest = frames; rest > 0; rest -= longest) yield Buffer.alloc(Math.min(rest, longest) * frameBytes);
}

async function* wholeFrames(chunks: AsyncIterable<Buffer>, frameBytes: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % frameBytes);
    rest = bytes.subarray(whole);
    if (whole > 0) yield bytes.subarray(0, whole);
  }
}
