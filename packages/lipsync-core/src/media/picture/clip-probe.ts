import { LipsyncError } from '../../errors/index.ts';
import { clockJumpsOf } from '../containers/container-clock.ts';
import { measureMissingMs } from '../containers/declared-duration.ts';
import {
  isAnimatedPng,
  isAnimatedWebp,
  readJpegEnd,
  readPngSize,
  sniffOtherImage,
  sniffStillDemuxer,
} from '../containers/still-image.ts';
import { readPacketTimes, type PacketTimes } from '../containers/packet-times.ts';
import { readClipTiming } from './clip-timing.ts';
import { completeHdrColor, convertedColor, isRgb, toneMapFilters } from './color-conversion.ts';
import { hasFilters } from '../filter-list.ts';
import { isPicture, type ProbedStream, type ProbeReport } from '../ffprobe.ts';
import { readFirstFrames, type FirstFrames, type FirstFramesOptions } from './first-frames.ts';
import { stillFrameRate } from './frame-rate.ts';
import { describeMissing, probeInput, requireDuration, requireFile, type ProbeContext } from '../input-checks.ts';
import { framesPerSecond, type ClipFacts, type ColorTags, type MediaLimits } from '../media-types.ts';
import { isTruncatedFile } from '../containers/truncated-file.ts';
import { isTransposed, parseDisplayMatrix, readExifOrientation, type Orientation } from './picture-orientation.ts';

/** Faces in smaller pictures cannot be tracked. */
const minDimensionPx = 64;

export interface ClipProbeContext extends ProbeContext {
  /** What to do about a file without a picture; completes the message. */
  readonly pictureAdvice?: string;
}

/**
 * Probes a clip: reads all its packets and decodes its first frames. Throws `not_found`, `clip_unusable` with the reason
 * and a remedy, `media_failed`, or the abort error.
 */
export async function probeClip(path: string, context: ClipProbeContext): Promise<ClipFacts> {
  return (await examineClip(path, context)).facts;
}

/** A probed clip, with the report of ffprobe on its streams. */
interface ExaminedClip {
  readonly facts: ClipFacts;
  readonly report: ProbeReport;
}

/** As `probeClip`, for callers that also need the other streams. */
export async function examineClip(path: string, context: ClipProbeContext): Promise<ExaminedClip> {
  await requireFile(path, 'clip', 'clip_unusable');
  const otherImage = await sniffOtherImage(path);
  if (otherImage !== undefined)
    throw new LipsyncError(
      'clip_unusable',
      `The clip is a ${otherImage} image, which is not accepted. Convert it to PNG or JPEG.`,
    );
  const demuxer = await sniffStillDemuxer(path);
  if (demuxer === 'webp_pipe' && (await isAnimatedWebp(path)))
    throw new LipsyncError('clip_unusable', 'Animated WebP images cannot be decoded. Convert the image to MP4 or GIF.');
  if (demuxer === 'png_pipe' && (await isAnimatedPng(path)))
    throw new LipsyncError('clip_unusable', 'Animated PNG images cannot be decoded. Convert the image to MP4 or GIF.');
  const { signal } = context;
  const report = await probeInput(path, 'clip', 'clip_unusable', {
    demuxer,
    signal,
  });
  const stream = requirePicture(report, context.pictureAdvice ?? 'Use a video or an image that shows a face.');
  const shape = await getShape(path, stream, await readOrientation(path, stream, demuxer));
  requireSize(shape, context.limits);
  const pixelFormat = getPixelFormat(stream);
  const color = await readColor(stream, pixelFormat);
  const { codec_name: codec = 'unknown', index: streamIndex } = stream;
  const isTruncated =
    demuxer === undefined
      ? await isTruncatedFile(path, report.format.format_name, signal)
      : await isTruncatedStill(path, demuxer, signal);
  const { height = 0 } = stream;
  const options = { streamIndex, demuxer, codec, pixelFormat, height, signal };
  const { decoded, packets } = await readStream(path, options, { report, limits: context.limits }).catch(
    (error: unknown) => {
      throw isTruncated && demuxer !== undefined && isUnusable(error) ? truncatedImage(error) : error;
    },
  );
  const { firstFrameS, ...firstFrames } = decoded;
  const common = {
    ...shape,
    ...color,
    hasSound: report.streams.some(({ codec_type }) => codec_type === 'audio'),
    ...firstFrames,
    codec,
    pixelFormat,
  };
  if (!packets) {
    const frameMs = 1000 / framesPerSecond(stillFrameRate);
    const missing = isTruncated ? { missing: 'the lower part of the picture' } : {};
    const timing = { frameRate: stillFrameRate, frameCount: 1, durationMs: frameMs, variableFrameRate: false };
    return { facts: { ...common, kind: 'still', ...timing, ...missing }, report };
  }
  const timing = await readClipTiming(path, { stream, report, firstFrameS, packets, signal });
  requireDuration(timing.durationMs / 1000, context.limits, 'clip', 'clip_unusable');
  const actualMs = (timing.startMs ?? 0) + timing.durationMs;
  const missing = describeMissing(await measureMissingMs(path, { stream, report, actualMs }));
  const facts = {
    ...common,
    kind: 'video' as const,
    ...timing,
    ...(isTruncated && { missing: 'its end' }),
    ...missing,
  };
  return { facts, report };
}

interface ReadStream {
  readonly decoded: FirstFrames;
  /** Undefined for stills. */
  readonly packets: PacketTimes | undefined;
}

/**
 * Decodes the first frames and reads the packet times at the same time, because each start of a tool takes longer than
 * its work on a short clip. Throws the error of the first frames when both fail.
 */
async function readStream(
  path: string,
  options: FirstFramesOptions,
  { report, limits }: { readonly report: ProbeReport; readonly limits: MediaLimits },
): Promise<ReadStream> {
  const { demuxer, streamIndex, signal } = options;
  if (demuxer !== undefined) return { decoded: await readFirstFrames(path, options), packets: undefined };
  const ended = new AbortController();
  const reading = readPacketTimes(path, streamIndex, {
    maxDurationMs: limits.maxDurationMs,
    jumps: clockJumpsOf(report),
    signal: signal ? AbortSignal.any([signal, ended.signal]) : ended.signal,
  });
  // Awaited below; a failure before must not count as unhandled.
  reading.catch(() => undefined);
  try {
    const decoded = await readFirstFrames(path, options);
    return { decoded, packets: await reading };
  } catch (error) {
    ended.abort();
    await reading.catch(() => undefined);
    throw error;
  }
}

async function isTruncatedStill(path: string, demuxer: string, signal?: AbortSignal): Promise<boolean> {
  if (demuxer !== 'jpeg_pipe') return isTruncatedFile(path, demuxer, signal);
  const { isTruncated, isSequence } = await readJpegEnd(path);
  if (isSequence)
    throw new LipsyncError(
      'clip_unusable',
      'The clip is raw MJPEG, which has no rate. Put it into a container: ffmpeg -f mjpeg -framerate RATE -i CLIP -c copy clip.mkv',
    );
  return isTruncated;
}

function isUnusable(error: unknown): boolean {
  return LipsyncError.isInstance(error) && error.code === 'clip_unusable';
}

function truncatedImage(cause: unknown): LipsyncError {
  const message = 'The image is truncated: it ends before its picture is complete. Use a complete copy of the file.';
  return new LipsyncError('clip_unusable', message, { cause });
}

function requirePicture({ streams }: ProbeReport, advice: string): ProbedStream {
  const stream = streams.find(isPicture);
  if (!stream) throw new LipsyncError('clip_unusable', `The clip has no video stream. ${advice}`);
  return stream;
}

type PictureShape = Pick<ClipFacts, 'width' | 'height' | 'orientation'>;

async function getShape(path: string, stream: ProbedStream, orientation: Orientation): Promise<PictureShape> {
  if (!stream.width || !stream.height) {
    const size = await readPngSize(path);
    if (size) return { ...size, orientation };
    throw new LipsyncError(
      'clip_unusable',
      'The size of the picture cannot be read: the file is damaged, truncated or much too large. Use another copy of the file.',
    );
  }
  const [wide = 1, high = 1] = (stream.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  const aspect = wide > 0 && high > 0 ? wide / high : 1;
  const width = even(Math.trunc(stream.width * Math.max(1, aspect)));
  const height = even(Math.trunc(stream.height * Math.max(1, 1 / aspect)));
  return isTransposed(orientation) ? { width: height, height: width, orientation } : { width, height, orientation };
}

function even(value: number): number {
  return value - (value % 2);
}

/** The matrix of a clip or the EXIF orientation of a still. */
async function readOrientation(path: string, stream: ProbedStream, demuxer: string | undefined): Promise<Orientation> {
  if (demuxer !== undefined) return readExifOrientation(path, demuxer);
  const matrix = stream.side_data_list.find(({ displaymatrix }) => displaymatrix !== undefined)?.displaymatrix;
  return matrix === undefined ? 1 : parseDisplayMatrix(matrix);
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

/** ffprobe ignores the transparency of VP8 and VP9, which is a second picture in each packet. */
function getPixelFormat({ codec_name: codec, pix_fmt: pixelFormat = 'unknown', tags }: ProbedStream): string {
  const hasSecondPicture = (codec === 'vp8' || codec === 'vp9') && tags['alpha_mode'] === '1';
  return hasSecondPicture ? 'yuva420p' : pixelFormat;
}

/** The color tags that a stream specifies. */
export function colorTagsOf(stream: ProbedStream, pixelFormat: string): ColorTags {
  const range = pixelFormat.startsWith('yuvj') ? 'pc' : stream.color_range;
  const tags = { primaries: stream.color_primaries, transfer: stream.color_transfer, space: stream.color_space, range };
  return Object.fromEntries(
    Object.entries(tags).filter(([, value]) => value !== undefined && value !== 'unknown' && value !== 'reserved'),
  );
}

async function readColor(stream: ProbedStream, pixelFormat: string): Promise<Pick<ClipFacts, 'color' | 'hdr'>> {
  const known = colorTagsOf(stream, pixelFormat);
  const hdr = completeHdrColor(known, pixelFormat);
  if (hdr && !(await hasFilters(toneMapFilters))) {
    throw new LipsyncError(
      'clip_unusable',
      'The clip is HDR, which this ffmpeg cannot convert. Convert the clip to SDR (BT.709), or install an ffmpeg with the zscale filter.',
    );
  }
  const color = hdr || isRgb(pixelFormat) ? convertedColor : known;
  return { color, ...(hdr && { hdr }) };
}
