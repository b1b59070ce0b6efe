import { isInputRejection, runMediaTool } from './ffmpeg-process.ts';
import { runProbe, type ProbedStream, type ProbeReport } from './ffprobe.ts';
import { inputArguments } from './media-input.ts';

/** Decoding an hour of large pictures on a busy machine. */
const decodeLimitMs = 900_000;
const maxReportBytes = 4 * 1024 * 1024;
/** Share of the promised length that must decode. */
const wholeShare = 0.98;
/** A vendor may render at another rate and round to it, or end with a whole packet of sound. */
const toleranceShare = 0.02;
const toleranceFloorMs = 400;

export interface ReceivedTakeOptions {
  /** How long the take was to be. */
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/**
 * Looks through a take that came from elsewhere, decoding its whole picture: is it an H.264 video in MP4 with sound, does it
 * play from end to end, and does it last as long as it should? Returns what is wrong with it, or null. Throws `media_failed` when
 * that could not be found out, or the abort's error.
 */
export async function findTakeFault(path: string, { durationMs, signal }: ReceivedTakeOptions): Promise<string | null> {
  const report = await runProbe(path, { signal }).catch(nullWhenRefused);
  if (report === null) return 'It is no video that can be read.';
  const seen = findStreamFault(report, durationMs);
  if (seen !== null) return seen;
  const playedMs = await decodedMs(path, signal).catch(nullWhenRefused);
  if (playedMs === null) return 'It cannot be decoded to its end.';
  return playedMs >= durationMs * wholeShare - toleranceFloorMs
    ? null
    : `Only ${Math.round(playedMs)} of its ${Math.round(durationMs)} ms are there.`;
}

function findStreamFault({ streams, format }: ProbeReport, durationMs: number): string | null {
  const picture = streams.find(isPicture);
  if (!picture) return 'It has no picture.';
  if (!format.format_name.split(',').includes('mp4') || picture.codec_name !== 'h264')
    return 'It is no H.264 video in MP4.';
  if (!streams.some(({ codec_type }) => codec_type === 'audio')) return 'It has no sound.';
  const toldMs = (picture.duration ?? format.duration ?? 0) * 1000;
  const toleranceMs = Math.max(toleranceFloorMs, durationMs * toleranceShare);
  if (Math.abs(toldMs - durationMs) <= toleranceMs) return null;
  return `It lasts ${Math.round(toldMs)} ms instead of ${Math.round(durationMs)}.`;
}

function isPicture(stream: ProbedStream): boolean {
  return stream.codec_type === 'video' && stream.disposition.attached_pic === 0;
}

/** How long a video's picture plays. Throws `media_failed` at the first frame that cannot be decoded. */
async function decodedMs(path: string, signal: AbortSignal): Promise<number> {
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

/** A tool that ran and refused the file has answered; everything else is a failure of ours. */
function nullWhenRefused(error: unknown): null {
  if (isInputRejection(error)) return null;
  throw error;
}
