import { stat } from 'node:fs/promises';
import { InputNotFoundError, LipsyncError, type ErrorCode } from '../errors/index.ts';
import { measureMissingMs } from './declared-duration.ts';
import { isTruncatedJpeg, readPngSize, sniffStillDemuxer } from './still-image.ts';
import { convertedColor, hasAlpha, isRgb, toneMapFilters } from './decode-filter.ts';
import { hasFilters, isInputRejection, runMediaTool } from './ffmpeg-process.ts';
import {
  isPicture,
  readPacketTimes,
  runProbe,
  type PacketTimes,
  type ProbedStream,
  type ProbeOptions,
  type ProbeReport,
} from './ffprobe.ts';
import { chooseFrameRate, parseFrameRate, stillFrameRate } from './frame-rate.ts';
import { inputArguments } from './ffmpeg-arguments.ts';
import { framesPerSecond, type ClipFacts, type ColorTags, type MediaLimits, type SpeechFacts } from './media-types.ts';
import { measureSpeechMs } from './speech-reader.ts';

/** Faces in smaller pictures cannot be tracked. */
const minDimensionPx = 64;
/** Smallest share of the declared frames; a file with fewer is truncated. */
const minFrameShare = 0.98;

export interface ProbeContext {
  readonly limits: MediaLimits;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Probes a clip: reads all its packets and decodes its first frame. Throws `not_found`, `clip_unusable` with the reason
 * and a remedy, `media_failed`, or the abort error.
 */
export async function probeClip(path: string, context: ProbeContext): Promise<ClipFacts> {
  await requireFile(path, 'clip', 'clip_unusable');
  const demuxer = await sniffStillDemuxer(path);
  const { signal } = context;
  const report = await probeInput(path, 'clip', 'clip_unusable', {
    demuxer,
    arguments: demuxer === undefined ? [] : ['-show_frames'],
    signal,
  });
  const stream = requirePicture(report);
  const shape = await getShape(path, stream, report);
  requireSize(shape, context.limits);
  requireDuration(report.format.duration ?? 0, context.limits, 'clip', 'clip_unusable');
  const color = await readColor(stream);
  await requireDecodable(path, stream, demuxer, signal);
  const common = {
    ...shape,
    ...color,
    hasSound: report.streams.some(({ codec_type }) => codec_type === 'audio'),
    codec: stream.codec_name ?? 'unknown',
    pixelFormat: stream.pix_fmt ?? 'unknown',
  };
  if (demuxer !== undefined) {
    const frameMs = 1000 / framesPerSecond(stillFrameRate);
    return {
      ...common,
      kind: 'still',
      frameRate: stillFrameRate,
      frameCount: 1,
      durationMs: frameMs,
      variableFrameRate: false,
      ...(demuxer === 'jpeg_pipe' && (await isTruncatedJpeg(path)) ? { missing: 'the lower part of the picture' } : {}),
    };
  }
  const timing = await readTiming(path, { stream, report }, context);
  const missingMs = await measureMissingMs(path, { stream, report, actualMs: timing.durationMs });
  return { ...common, kind: 'video', ...timing, ...describeMissing(missingMs) };
}

/**
 * Probes a speech recording by decoding it completely, because durations in headers are often wrong. Throws
 * `not_found`, `speech_unusable`, `media_failed`, or the abort error.
 */
export async function probeSpeech(path: string, { limits, signal }: ProbeContext): Promise<SpeechFacts> {
  await requireFile(path, 'speech audio', 'speech_unusable');
  const report = await probeInput(path, 'speech audio', 'speech_unusable', { signal });
  const stream = report.streams.find(({ codec_type }) => codec_type === 'audio');
  if (!stream) throw new LipsyncError('speech_unusable', 'The audio file has no audio stream. Use a file with sound.');
  const { sample_rate: sampleRateHz, channels, codec_name: codec = unknownCodec } = stream;
  if (!sampleRateHz || !channels || codec === unknownCodec) throw undecodableSpeech(stream);
  requireDuration(stream.duration ?? 0, limits, 'speech audio', 'speech_unusable');
  const durationMs = await measureSpeechMs(path, { signal, maxDurationMs: limits.maxDurationMs }).catch(
    (error: unknown) => {
      throw isInputRejection(error) ? undecodableSpeech(stream, error) : error;
    },
  );
  requireDuration(durationMs / 1000, limits, 'speech audio', 'speech_unusable');
  if (durationMs === 0) throw undecodableSpeech(stream);
  const missingMs = await measureMissingMs(path, { stream, report, actualMs: durationMs });
  return { codec, sampleRateHz, channels, durationMs, ...describeMissing(missingMs) };
}

/** The name that ffprobe gives to a codec without a decoder. */
const unknownCodec = 'unknown';

function undecodableSpeech({ codec_name: codec, channels = 0 }: ProbedStream, cause?: unknown): LipsyncError {
  const format = codec === undefined || codec === unknownCodec ? 'an unknown format' : `the format ${codec}`;
  return new LipsyncError(
    'speech_unusable',
    `The speech audio cannot be decoded (${format}, ${channels} ${channels === 1 ? 'channel' : 'channels'}). Convert it to WAV, mono or stereo.`,
    { cause },
  );
}

function describeMissing(missingMs: number): { readonly missing?: string } {
  return missingMs > 0 ? { missing: `${(missingMs / 1000).toFixed(1)} s that the file declares` } : {};
}

async function probeInput(
  path: string,
  what: 'clip' | 'speech audio',
  code: ErrorCode,
  options: ProbeOptions,
): Promise<ProbeReport> {
  return runProbe(path, options).catch((error: unknown) => {
    throw asUnusable(
      error,
      code,
      `The ${what} cannot be read: it is damaged, truncated, or of an unsupported format. Convert it to ${what === 'clip' ? 'MP4' : 'WAV'}, or use another copy of the file.`,
    );
  });
}

/** Replaces the rejection of a file by the tool with an error that the user can act on; keeps other errors. */
function asUnusable(error: unknown, code: ErrorCode, message: string): unknown {
  return isInputRejection(error) ? new LipsyncError(code, message, { cause: error }) : error;
}

function requirePicture({ streams }: ProbeReport): ProbedStream {
  const stream = streams.find(isPicture);
  if (!stream)
    throw new LipsyncError('clip_unusable', 'The clip has no video stream. Use a video or an image that shows a face.');
  return stream;
}

type PictureShape = Pick<ClipFacts, 'width' | 'height' | 'rotationDegrees'>;

async function getShape(path: string, stream: ProbedStream, report: ProbeReport): Promise<PictureShape> {
  if (!stream.width || !stream.height) {
    const size = await readPngSize(path);
    if (size) return { ...size, rotationDegrees: 0 };
    throw new LipsyncError(
      'clip_unusable',
      'The size of the picture cannot be read: the file is damaged, truncated or much too large. Use another copy of the file.',
    );
  }
  const [wide = 1, high = 1] = (stream.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  const aspect = wide > 0 && high > 0 ? wide / high : 1;
  const width = even(Math.trunc(stream.width * Math.max(1, aspect)));
  const height = even(Math.trunc(stream.height * Math.max(1, 1 / aspect)));
  const rotationDegrees = getRotation(stream, report);
  return rotationDegrees % 180 === 0
    ? { width, height, rotationDegrees }
    : { width: height, height: width, rotationDegrees };
}

function even(value: number): number {
  return value - (value % 2);
}

/** Clockwise rotation from the stored to the upright picture, in degrees. */
function getRotation(stream: ProbedStream, { frames }: ProbeReport): ClipFacts['rotationDegrees'] {
  const sideData = stream.side_data_list.find(({ rotation }) => rotation !== undefined)?.rotation;
  const orientation = frames[0]?.tags['Orientation']?.trim();
  const exif = { 3: 180, 6: 90, 8: 270 }[Number(orientation)];
  const degrees = sideData === undefined ? (exif ?? Number(stream.tags['rotate'] ?? 0)) : -sideData;
  const quarter = (((Math.round(degrees / 90) % 4) + 4) % 4) * 90;
  return quarter === 90 || quarter === 180 || quarter === 270 ? quarter : 0;
}

function requireSize({ width, height }: PictureShape, { maxDimensionPx }: MediaLimits): void {
  if (Math.min(width, height) < minDimensionPx) {
    throw new LipsyncError(
      'clip_unusable',
      `The picture is too small (${width} × ${height}). Use at least ${minDimensionPx} pixels in width and height.`,
    );
  }
  if (Math.max(width, height) > maxDimensionPx) {
    throw new LipsyncError(
      'clip_unusable',
      `The picture is too large (${width} × ${height}). Scale it to at most ${maxDimensionPx} pixels in width and height.`,
    );
  }
}

function requireDuration(durationS: number, { maxDurationMs }: MediaLimits, what: string, code: ErrorCode): void {
  if (durationS * 1000 <= maxDurationMs) return;
  throw new LipsyncError(
    code,
    `The ${what} is longer than ${maxDurationMs / 1000} s. Use a shorter file, or split it.`,
  );
}

async function readColor(stream: ProbedStream): Promise<{ color: ColorTags; hdr: boolean }> {
  const hdr = stream.color_transfer === 'smpte2084' || stream.color_transfer === 'arib-std-b67';
  if (hdr && !(await hasFilters(toneMapFilters))) {
    throw new LipsyncError(
      'clip_unusable',
      'The clip is HDR, which this ffmpeg cannot convert. Convert the clip to SDR (BT.709), or install an ffmpeg with the zscale filter.',
    );
  }
  const pixelFormat = stream.pix_fmt ?? '';
  if (hdr || isRgb(pixelFormat) || hasAlpha(pixelFormat)) return { color: convertedColor, hdr };
  const range = pixelFormat.startsWith('yuvj') ? 'pc' : stream.color_range;
  const tags = { primaries: stream.color_primaries, transfer: stream.color_transfer, space: stream.color_space, range };
  const known = Object.entries(tags).filter(
    ([, value]) => value !== undefined && value !== 'unknown' && value !== 'reserved',
  );
  return { color: Object.fromEntries(known), hdr };
}

async function requireDecodable(
  path: string,
  { index }: ProbedStream,
  demuxer: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const picture = await runMediaTool({
    tool: 'ffmpeg',
    arguments: [
      ...inputArguments(path, demuxer),
      '-map',
      `0:${index}`,
      '-frames:v',
      '1',
      '-vf',
      'scale=2:2,format=gray',
      '-f',
      'rawvideo',
      'pipe:1',
    ],
    maxBytes: 4,
    signal,
  }).catch((error: unknown) => {
    throw asUnusable(error, 'clip_unusable', undecodable);
  });
  if (picture.length === 0) throw new LipsyncError('clip_unusable', undecodable);
}

const undecodable =
  'The first frame of the clip cannot be decoded: the file is damaged or its codec is not supported. Convert it to MP4 (H.264) first.';

type ClipTiming = Pick<ClipFacts, 'frameRate' | 'frameCount' | 'durationMs' | 'variableFrameRate' | 'seekOriginS'>;

/** Containers with an index of their keyframes, in which ffmpeg seeks to the frame that was requested. */
const seekableFormats = /\b(mp4|matroska)\b/;

async function readTiming(
  path: string,
  { stream, report }: { readonly stream: ProbedStream; readonly report: ProbeReport },
  { limits, signal }: ProbeContext,
): Promise<ClipTiming> {
  const packets = await readPacketTimes(path, stream.index, { maxDurationMs: limits.maxDurationMs, signal });
  const spanS = (packets.times.at(-1) ?? 0) - (packets.times[0] ?? 0);
  requireDuration(spanS, limits, 'clip', 'clip_unusable');
  requireComplete(stream, packets);
  const { frameRate, variable } = chooseFrameRate(packets.times, [
    parseFrameRate(stream.r_frame_rate),
    parseFrameRate(stream.avg_frame_rate),
  ]);
  const frameS = 1 / framesPerSecond(frameRate);
  const lastS = variable ? (packets.lastDurationS ?? frameS) : frameS;
  const frameCount = Math.max(1, Math.round((spanS + lastS) / frameS));
  const durationMs = frameCount * frameS * 1000;
  requireDuration(durationMs / 1000, limits, 'clip', 'clip_unusable');
  const canSeek = packets.startsWithKey && seekableFormats.test(report.format.format_name);
  const seekOriginS = canSeek ? packets.times[0] : undefined;
  const timing = { frameRate, frameCount, durationMs, variableFrameRate: variable };
  return seekOriginS === undefined ? timing : { ...timing, seekOriginS };
}

function requireComplete({ nb_frames: declared }: ProbedStream, { times, packetCount }: PacketTimes): void {
  if (times.length === 0)
    throw new LipsyncError('clip_unusable', 'The clip contains no frames. Use another copy of the file.');
  if (declared === undefined || packetCount >= declared * minFrameShare - 1) return;
  throw new LipsyncError(
    'clip_unusable',
    `The clip is truncated: it contains only ${packetCount} of ${declared} frames. Use a complete copy of the file.`,
  );
}

/**
 * Throws `InputNotFoundError` unless `path` is a readable file, and `emptyCode` for an empty file. `what` names the
 * input in the message.
 */
async function requireFile(path: string, what: string, emptyCode: ErrorCode): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw new InputNotFoundError(`The ${what} does not exist or cannot be read. Check its path.`, { cause });
  });
  if (!stats.isFile()) throw new InputNotFoundError(`The ${what} is not a file. Specify the path of a media file.`);
  if (stats.size === 0)
    throw new LipsyncError(emptyCode, `The ${what} is an empty file. Use another copy of the file.`);
}
