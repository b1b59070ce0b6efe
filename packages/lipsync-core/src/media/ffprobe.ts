import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool } from './ffmpeg-process.ts';
import { inputArguments } from './ffmpeg-arguments.ts';

const maxReportBytes = 4 * 1024 * 1024;

/** Allows reading several gigabytes from a slow disk. */
export const readLimitMs = 300_000;

/** ffprobe prints numbers as text, and words for unknown values. */
const number = z.coerce.number().optional().catch(undefined);

const streamSchema = z.object({
  index: z.int(),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  width: z.int().optional(),
  height: z.int().optional(),
  pix_fmt: z.string().optional(),
  sample_aspect_ratio: z.string().optional(),
  r_frame_rate: z.string().default('0/0'),
  avg_frame_rate: z.string().default('0/0'),
  start_time: number,
  field_order: z.string().optional(),
  /** Frames that the decoder delays to put them in order. */
  has_b_frames: z.int().optional(),
  nb_frames: number,
  nb_read_packets: number,
  duration: number,
  sample_rate: number,
  channels: z.int().optional(),
  channel_layout: z.string().optional(),
  color_primaries: z.string().optional(),
  color_transfer: z.string().optional(),
  color_space: z.string().optional(),
  color_range: z.string().optional(),
  disposition: z
    .object({ attached_pic: z.int().default(0), default: z.int().default(0) })
    .default({ attached_pic: 0, default: 0 }),
  tags: z.record(z.string(), z.string()).default({}),
  side_data_list: z.array(z.object({ displaymatrix: z.string().optional() })).default([]),
});

const reportSchema = z.object({
  streams: z.array(streamSchema).default([]),
  format: z.object({
    format_name: z.string(),
    start_time: number,
    duration: number,
    probe_score: z.int().default(100),
  }),
});

export type ProbedStream = z.output<typeof streamSchema>;
export type ProbeReport = z.output<typeof reportSchema>;

export interface ProbeOptions {
  readonly demuxer?: string | undefined;
  /** Additional ffprobe arguments, e.g. to count packets. */
  readonly arguments?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Runs ffprobe on a file. Throws `media_failed`; `isInputRejection` identifies an unreadable file. */
export async function runProbe(path: string, options: ProbeOptions = {}): Promise<ProbeReport> {
  const text = await runMediaTool({
    tool: 'ffprobe',
    arguments: [
      '-show_streams',
      '-show_format',
      '-of',
      'json',
      ...(options.arguments ?? []),
      ...inputArguments(path, options.demuxer),
    ],
    maxBytes: maxReportBytes,
    idleLimitMs: readLimitMs,
    signal: options.signal,
  });
  try {
    return reportSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LipsyncError('media_failed', 'The report of ffprobe cannot be parsed. Install ffmpeg 5.1 or later.', {
      cause,
    });
  }
}

/** Whether a stream is a video or still picture, as opposed to sound or cover art. */
export function isPicture(stream: ProbedStream): boolean {
  return stream.codec_type === 'video' && stream.disposition.attached_pic === 0;
}
