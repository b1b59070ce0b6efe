import { LipsyncError, type ErrorCode } from '../errors/index.ts';
import { convertedColor, hasAlpha, isRgb, toneMapFilters } from './decode-filter.ts';
import { hasFilters } from './ffmpeg-capabilities.ts';
import { isInputRejection, runMediaTool } from './ffmpeg-process.ts';
import { runProbe, type ProbedStream, type ProbeOptions, type ProbeReport } from './ffprobe.ts';
import { parseFrameRate, settleFrameRate, stillFrameRate } from './frame-rate.ts';
import { inputArguments, requireFile, sniffStillDemuxer } from './media-input.ts';
import {
  framesPerSecond,
  type ClipFacts,
  type ColorTags,
  type FrameRate,
  type MediaLimits,
  type SpeechFacts,
} from './media-types.ts';
import { readPacketTimes, type PacketTimes } from './packet-times.ts';
import { measureSpeechMs } from './speech-reader.ts';

/** Smaller pictures hold no face that a tracker could follow. */
const minDimensionPx = 64;
/** Share of the frames that a container promises which must be there; fewer mean that the file was cut off. */
const wholeShare = 0.98;

export interface ProbeContext {
  readonly limits: MediaLimits;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Learns what a clip is, by reading it through once and decoding its first frame.
 * Throws `not_found` (no such file), `clip_unusable` (with the reason and what to do), `media_failed`, or the abort's error.
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
  const stream = pictureStream(report);
  const shape = pictureShape(stream, report);
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
    };
  }
  return { ...common, kind: 'video', ...(await readTiming(path, stream, context)) };
}

/**
 * Learns what a speech is, by decoding it through once: lengths in headers are often wrong.
 * Throws `not_found`, `speech_unusable`, `media_failed`, or the abort's error.
 */
export async function probeSpeech(path: string, { limits, signal }: ProbeContext): Promise<SpeechFacts> {
  await requireFile(path, 'speech', 'speech_unusable');
  const report = await probeInput(path, 'speech', 'speech_unusable', { signal });
  const stream = report.streams.find(({ codec_type }) => codec_type === 'audio');
  if (!stream)
    throw new LipsyncError('speech_unusable', 'The speech has no sound stream. Upload a file with sound in it.');
  if (!stream.sample_rate || !stream.channels)
    throw new LipsyncError('speech_unusable', 'The sound of the speech cannot be read. Convert it to WAV.');
  requireDuration(stream.duration ?? 0, limits, 'speech', 'speech_unusable');
  const durationMs = await measureSpeechMs(path, { signal, maxDurationMs: limits.maxDurationMs });
  requireDuration(durationMs / 1000, limits, 'speech', 'speech_unusable');
  if (durationMs === 0)
    throw new LipsyncError('speech_unusable', 'The speech has no sound in it that can be decoded. Upload it again.');
  return {
    codec: stream.codec_name ?? 'unknown',
    sampleRateHz: stream.sample_rate,
    channels: stream.channels,
    durationMs,
  };
}

/** What a finished take holds; null where it has no sound. */
export interface TakeFacts {
  readonly frameCount: number;
  readonly videoDurationMs: number;
  readonly audioDurationMs: number | null;
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
}

/** Measures a take that was made here or came back from a provider. Throws `media_failed` when it is no whole video. */
export async function probeTake(
  path: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<TakeFacts> {
  const report = await runProbe(path, { arguments: ['-count_packets'], signal });
  const video = report.streams.find(isPicture);
  const audio = report.streams.find(({ codec_type }) => codec_type === 'audio');
  const frameRate = video && parseFrameRate(video.avg_frame_rate);
  if (!video?.width || !video.height || !frameRate || !video.nb_read_packets) {
    throw new LipsyncError('media_failed', 'The take holds no complete video. Try again.');
  }
  const durationS = video.duration ?? report.format.duration;
  const audioDurationS = audio && (audio.duration ?? report.format.duration);
  return {
    frameCount: video.nb_read_packets,
    videoDurationMs:
      durationS === undefined ? (video.nb_read_packets * 1000) / framesPerSecond(frameRate) : durationS * 1000,
    audioDurationMs: audioDurationS === undefined ? null : audioDurationS * 1000,
    width: video.width,
    height: video.height,
    frameRate,
  };
}

async function probeInput(
  path: string,
  what: 'clip' | 'speech',
  code: ErrorCode,
  options: ProbeOptions,
): Promise<ProbeReport> {
  return runProbe(path, options).catch((error: unknown) => {
    throw asUnusable(
      error,
      code,
      `The ${what} cannot be read as a media file: it is damaged, cut off, or of a kind that is not accepted. Upload it again, or convert it to ${what === 'clip' ? 'MP4' : 'WAV'} first.`,
    );
  });
}

/** A tool that ran and refused the file found the file wanting; everything else is a failure of ours. */
function asUnusable(error: unknown, code: ErrorCode, message: string): unknown {
  const refused = isInputRejection(error);
  return refused ? new LipsyncError(code, message, { cause: error }) : error;
}

function isPicture(stream: ProbedStream): boolean {
  return stream.codec_type === 'video' && stream.disposition.attached_pic === 0;
}

function pictureStream({ streams }: ProbeReport): ProbedStream {
  const stream = streams.find(isPicture);
  if (!stream)
    throw new LipsyncError(
      'clip_unusable',
      'The clip has no video stream. Upload a video or a picture that shows a face.',
    );
  return stream;
}

type PictureShape = Pick<ClipFacts, 'width' | 'height' | 'rotationDegrees'>;

function pictureShape(stream: ProbedStream, report: ProbeReport): PictureShape {
  const [wide = 1, high = 1] = (stream.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  const aspect = wide > 0 && high > 0 ? wide / high : 1;
  const width = even(Math.trunc((stream.width ?? 0) * Math.max(1, aspect)));
  const height = even(Math.trunc((stream.height ?? 0) * Math.max(1, 1 / aspect)));
  const rotationDegrees = rotationOf(stream, report);
  return rotationDegrees % 180 === 0
    ? { width, height, rotationDegrees }
    : { width: height, height: width, rotationDegrees };
}

function even(value: number): number {
  return value - (value % 2);
}

/** Degrees clockwise by which the stored picture is to be turned. */
function rotationOf(stream: ProbedStream, { frames }: ProbeReport): ClipFacts['rotationDegrees'] {
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
      `The picture is too small (${width} × ${height}). Use one of at least ${minDimensionPx} pixels each way.`,
    );
  }
  if (Math.max(width, height) > maxDimensionPx) {
    throw new LipsyncError(
      'clip_unusable',
      `The picture is too large (${width} × ${height}). Scale it to at most ${maxDimensionPx} pixels each way.`,
    );
  }
}

function requireDuration(durationS: number, { maxDurationMs }: MediaLimits, what: string, code: ErrorCode): void {
  if (durationS * 1000 <= maxDurationMs) return;
  throw new LipsyncError(
    code,
    `The ${what} lasts longer than ${maxDurationMs / 1000} s. Use a shorter one, or cut it into parts.`,
  );
}

async function readColor(stream: ProbedStream): Promise<{ color: ColorTags; hdr: boolean }> {
  const hdr = stream.color_transfer === 'smpte2084' || stream.color_transfer === 'arib-std-b67';
  if (hdr && !(await hasFilters(toneMapFilters))) {
    throw new LipsyncError(
      'clip_unusable',
      "The clip is HDR, and this machine's ffmpeg cannot convert that. Convert the clip to SDR (BT.709), or install an ffmpeg with the zscale filter.",
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
  'The first picture of the clip cannot be decoded: the file is damaged or its codec is unknown here. Convert it to MP4 (H.264) first.';

type ClipTiming = Pick<ClipFacts, 'frameRate' | 'frameCount' | 'durationMs' | 'variableFrameRate'>;

async function readTiming(path: string, stream: ProbedStream, { limits, signal }: ProbeContext): Promise<ClipTiming> {
  const packets = await readPacketTimes(path, stream.index, { maxDurationMs: limits.maxDurationMs, signal });
  const spanS = (packets.times.at(-1) ?? 0) - (packets.times[0] ?? 0);
  requireDuration(spanS, limits, 'clip', 'clip_unusable');
  requireWhole(stream, packets);
  const { frameRate, variable } = settleFrameRate(packets.times, [
    parseFrameRate(stream.r_frame_rate),
    parseFrameRate(stream.avg_frame_rate),
  ]);
  const frameS = 1 / framesPerSecond(frameRate);
  const lastS = variable ? (packets.lastDurationS ?? frameS) : frameS;
  const frameCount = Math.max(1, Math.round((spanS + lastS) / frameS));
  const durationMs = frameCount * frameS * 1000;
  requireDuration(durationMs / 1000, limits, 'clip', 'clip_unusable');
  return { frameRate, frameCount, durationMs, variableFrameRate: variable };
}

function requireWhole({ nb_frames: promised }: ProbedStream, { times, packetCount }: PacketTimes): void {
  if (times.length === 0)
    throw new LipsyncError('clip_unusable', 'The clip holds no pictures: its length is zero. Upload it again.');
  if (promised === undefined || packetCount >= promised * wholeShare - 1) return;
  throw new LipsyncError(
    'clip_unusable',
    `The clip is cut off: only ${packetCount} of ${promised} frames are there. Upload it again.`,
  );
}
