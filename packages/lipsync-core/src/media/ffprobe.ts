import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool } from './ffmpeg-process.ts';
import { inputArguments } from './media-input.ts';

const maxReportBytes = 4 * 1024 * 1024;

/** Reading through a file of several gigabytes on a slow disk. */
const readThroughMs = 300_000;

/** ffprobe writes numbers as text, and words where it knows none. */
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
  nb_frames: number,
  nb_read_packets: number,
  duration: number,
  sample_rate: number,
  channels: z.int().optional(),
  color_primaries: z.string().optional(),
  color_transfer: z.string().optional(),
  color_space: z.string().optional(),
  color_range: z.string().optional(),
  disposition: z.object({ attached_pic: z.int().default(0) }).default({ attached_pic: 0 }),
  tags: z.record(z.string(), z.string()).default({}),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).default([]),
});

const reportSchema = z.object({
  streams: z.array(streamSchema).default([]),
  format: z.object({ format_name: z.string(), duration: number }),
  frames: z.array(z.object({ tags: z.record(z.string(), z.string()).default({}) })).default([]),
});

export type ProbedStream = z.output<typeof streamSchema>;
export type ProbeReport = z.output<typeof reportSchema>;

export interface ProbeOptions {
  readonly demuxer?: string | undefined;
  /** More ffprobe arguments, e.g. to count packets. */
  readonly arguments?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** What ffprobe says about a file. Throws `media_failed`, with `details.exitCode` when it could not read the file. */
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
    idleLimitMs: readThroughMs,
    signal: options.signal,
  });
  try {
    return reportSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LipsyncError('media_failed', 'ffprobe answered in an unknown form. Install ffmpeg 5.1 or later.', {
      cause,
    });
  }
}
