import { isInputRejection } from '../ffmpeg-process.ts';
import { isPicture, runProbe, type ProbedStream, type ProbeReport } from '../ffprobe.ts';
import { framesPerSecond, type ClipFacts } from '../media-types.ts';
import { colorTagsOf, examineClip, type ClipProbeContext } from '../picture/clip-probe.ts';
import { completeHdrColor } from '../picture/color-conversion.ts';
import { parseFrameRate } from '../picture/frame-rate.ts';
import { soundTrackOf, type SoundTrack } from '../sound/sound-reader.ts';
import type { Timeline } from '../timeline.ts';

/** A probed video: its picture as `probeClip` and its sound as `probeSound` describe it. */
export interface VideoFacts {
  readonly picture: ClipFacts;
  /** Null without sound that can be decoded. */
  readonly sound: SoundTrack | null;
}

/** Picture of a take that follows its timeline. */
export type ExpectedPicture = Pick<ClipFacts, 'width' | 'height' | 'frameRate' | 'frameCount'>;

/** The picture of a take of `TakeEncoder`; undefined where it may differ from the clip and its timeline. */
export function expectedPictureOf(
  { width, height, interlacing }: ClipFacts,
  { frameRate, frameCount }: Pick<Timeline, 'frameRate' | 'frameCount'>,
): ExpectedPicture | undefined {
  return interlacing ? undefined : { width, height, frameRate, frameCount };
}

/**
 * Probes picture and sound by one run of ffprobe, because each start of a tool costs as much as decoding seconds of a
 * video. Its packets are read and its first frame is decoded only where the container does not state the picture that is
 * `expected`, which is for takes of `TakeEncoder` alone: the index of another file may state the rate of uneven frames.
 * Throws as `probeClip`.
 */
export async function probeVideo(
  path: string,
  context: ClipProbeContext,
  expected?: ExpectedPicture,
): Promise<VideoFacts> {
  if (expected) {
    const report = await runProbe(path, { signal: context.signal }).catch(undefinedIfRejected);
    const picture = report && describeExpected(report, expected);
    if (picture) return { picture, sound: soundTrackOf(report) };
  }
  const { facts, report } = await examineClip(path, context);
  return { picture: facts, sound: soundTrackOf(report) };
}

/** The complete probe reports why a file cannot be read. */
function undefinedIfRejected(error: unknown): undefined {
  if (!isInputRejection(error)) throw error;
}

/** The facts of a progressive H.264 stream in MP4 that has the expected frames from time 0 on; undefined for others. */
function describeExpected(report: ProbeReport, expected: ExpectedPicture): ClipFacts | undefined {
  const stream = report.streams.find(isPicture);
  const pixelFormat = stream?.pix_fmt ?? '';
  if (!stream || !/\bmp4\b/.test(report.format.format_name) || !/^yuvj?420p$/.test(pixelFormat)) return undefined;
  const color = colorTagsOf(stream, pixelFormat);
  if (!isPlain(stream) || !hasFrames(stream, expected) || completeHdrColor(color, pixelFormat)) return undefined;
  const { width, height, frameRate, frameCount } = expected;
  return {
    kind: 'video',
    width,
    height,
    frameRate,
    frameCount,
    durationMs: frameCount * (1 / framesPerSecond(frameRate)) * 1000,
    hasSound: report.streams.some(({ codec_type: type }) => type === 'audio'),
    orientation: 1,
    variableFrameRate: false,
    codec: 'h264',
    pixelFormat,
    color,
    clock: { type: 'container', originS: 0, canSeek: true, joins: [] },
    warnings: [],
  };
}

/** Whether pictures are shown as they are stored. */
function isPlain(stream: ProbedStream): boolean {
  const { codec_name: codec, field_order: order, sample_aspect_ratio: aspect = '1:1', side_data_list: data } = stream;
  const isTurned = data.some(({ displaymatrix }) => displaymatrix !== undefined);
  return codec === 'h264' && order === 'progressive' && aspect === '1:1' && !isTurned;
}

/** Whether the index of the container lists the expected frames at equal distances, and no others. */
function hasFrames(stream: ProbedStream, { width, height, frameRate, frameCount }: ExpectedPicture): boolean {
  const rates = [parseFrameRate(stream.r_frame_rate), parseFrameRate(stream.avg_frame_rate)];
  const isConstant = rates.every(
    (rate) => rate?.numerator === frameRate.numerator && rate.denominator === frameRate.denominator,
  );
  const shownFrames = (stream.duration ?? 0) * framesPerSecond(frameRate);
  return (
    isConstant &&
    stream.width === width &&
    stream.height === height &&
    stream.start_time === 0 &&
    stream.nb_frames === frameCount &&
    Math.round(shownFrames) === frameCount
  );
}
