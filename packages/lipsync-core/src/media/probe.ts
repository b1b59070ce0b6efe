import { LipsyncError } from '../errors/index.ts';
import { measureMissingMs } from './declared-duration.ts';
import { isTruncatedJpeg, readPngSize, sniffStillDemuxer } from './still-image.ts';
import { convertedColor, hasAlpha, isRgb, toneMapFilters } from './decode-filter.ts';
import { hasFilters, runMediaTool } from './ffmpeg-process.ts';
import { isPicture, readPacketTimes, type PacketTimes, type ProbedStream, type ProbeReport } from './ffprobe.ts';
import { chooseFrameRate, parseFrameRate, stillFrameRate } from './frame-rate.ts';
import { inputArguments } from './ffmpeg-arguments.ts';
import {
  asUnusable,
  describeMissing,
  probeInput,
  requireDuration,
  requireFile,
  type ProbeContext,
} from './input-checks.ts';
import { framesPerSecond, type ClipFacts, type ColorTags, type MediaLimits } from './media-types.ts';

/** Faces in smaller pictures cannot be tracked. */
const minDimensionPx = 64;
/** Smallest share of the declared frames; a file with fewer is truncated. */
const minFrameShare = 0.98;

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
