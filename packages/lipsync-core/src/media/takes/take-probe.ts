import { LipsyncError } from '../../errors/index.ts';
import { inputArguments } from '../ffmpeg-arguments.ts';
import { isInputRejection, runMediaTool } from '../ffmpeg-process.ts';
import { isPicture, runProbe, type ProbeReport } from '../ffprobe.ts';
import { parseFrameRate } from '../picture/frame-rate.ts';
import { framesPerSecond, type FrameRate } from '../media-types.ts';

/** Allows decoding an hour of large frames on a busy machine. */
const decodeLimitMs = 900_000;
const maxReportBytes = 4 * 1024 * 1024;
/** Smallest share of the expected duration that must decode. */
const minDurationShare = 0.98;
/** A vendor may render at another frame rate, or end with a complete audio packet. */
const toleranceShare = 0.02;
const toleranceFloorMs = 400;

/** Measurements of a take. */
export interface TakeFacts {
  readonly frameCount: number;
  readonly videoDurationMs: number;
  /** Null for a take without sound. */
  readonly audioDurationMs: number | null;
  readonly width: number;
  readonly height: number;
  readonly frameRate: FrameRate;
}

/** Measures a rendered or received take. Throws `media_failed` when it is not a complete video, or the abort error. */
export async function probeTake(
  path: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<TakeFacts> {
  const report = await runProbe(path, { arguments: ['-count_packets'], signal });
  const video = report.streams.find(isPicture);
  const audio = report.streams.find(({ codec_type }) => codec_type === 'audio');
  const frameRate = video && parseFrameRate(video.avg_frame_rate);
  if (!video?.width || !video.height || !frameRate || !video.nb_read_packets) {
    throw new LipsyncError('media_failed', 'The take does not contain a complete video. Try again.');
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

export interface ReceivedTakeOptions {
  /** Expected duration of the take. */
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/**
 * Validates a take from a remote vendor by decoding its video completely: H.264 in MP4, with sound, playable to its
 * end, and of the expected duration. Returns the fault, or null. Throws `media_failed` when it cannot be validated, or
 * the abort error.
 */
export async function findTakeFault(path: string, { durationMs, signal }: ReceivedTakeOptions): Promise<string | null> {
  const report = await runProbe(path, { signal }).catch(nullIfRejected);
  if (report === null) return 'It is not a readable video.';
  const streamFault = findStreamFault(report, durationMs);
  if (streamFault !== null) return streamFault;
  const playedMs = await measureDecodedMs(path, signal).catch(nullIfRejected);
  if (playedMs === null) return 'It cannot be decoded completely.';
  return playedMs >= durationMs * minDurationShare - toleranceFloorMs
    ? null
    : `It contains only ${Math.round(playedMs)} of ${Math.round(durationMs)} ms.`;
}

function findStreamFault({ streams, format }: ProbeReport, durationMs: number): string | null {
  const video = streams.find(isPicture);
  if (!video) return 'It has no video stream.';
  if (!format.format_name.split(',').includes('mp4') || video.codec_name !== 'h264')
    return 'It is not an H.264 video in MP4.';
  if (!streams.some(({ codec_type }) => codec_type === 'audio')) return 'It has no audio stream.';
  const statedMs = (video.duration ?? format.duration ?? 0) * 1000;
  const toleranceMs = Math.max(toleranceFloorMs, durationMs * toleranceShare);
  if (Math.abs(statedMs - durationMs) <= toleranceMs) return null;
  return `Its duration is ${Math.round(statedMs)} ms instead of ${Math.round(durationMs)} ms.`;
}

/** Decodes a video and returns its duration in milliseconds. Throws `media_failed` at the first undecodable frame. */
async function measureDecodedMs(path: string, signal: AbortSignal): Promise<number> {
  const printed = await runMediaTool({
    tool: 'ffmpeg',
    arguments: [
      '-xerror',
      '-nostats',
      '-progress',
      'pipe:1',
      '-stats_period',
      '5',
      ...inputArguments(path),
      '-map',
      '0:v:0',
      '-f',
      'null',
      '-',
    ],
    maxBytes: maxReportBytes,
    idleLimitMs: decodeLimitMs,
    signal,
  });
  const times = [...printed.matchAll(/^out_time_us=(\d+)$/gm)];
  return Number(times.at(-1)?.[1] ?? 0) / 1000;
}

/** Maps the rejection of a file by the tool to null and rethrows other errors. */
function nullIfRejected(error: unknown): null {
  if (isInputRejection(error)) return null;
  throw error;
}
