import { createInterface } from 'node:readline';
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { runMediaTool, startMediaProcess } from './ffmpeg-process.ts';
import { inputArguments } from './media-input.ts';

/** Ten hours at 120 frames per second. */
const maxPackets = 4_320_000;
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
    arguments: ['-show_streams', '-show_format', '-of', 'json', ...(options.arguments ?? []), ...inputArguments(path, options.demuxer)],
    maxBytes: maxReportBytes,
    idleLimitMs: readThroughMs,
    signal: options.signal,
  });
  try {
    return reportSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new LipsyncError('media_failed', 'ffprobe answered in an unknown form. Install ffmpeg 5.1 or later.', { cause });
  }
}

/** Times of a video stream's shown frames in seconds, ascending, and how long the last one lasts. */
export interface PacketTimes {
  readonly times: Float64Array;
  readonly lastDurationS: number | undefined;
  /** All packets, shown or not: what the container's own count counts. */
  readonly packetCount: number;
}

/**
 * Reads the times of every packet of one stream: the file is read through, nothing is decoded. Packets that the
 * container's edit list hides are left out. Throws like `runProbe`.
 */
export async function readPacketTimes(path: string, streamIndex: number, signal?: AbortSignal): Promise<PacketTimes> {
  const running = startMediaProcess({
    tool: 'ffprobe',
    arguments: [
      '-select_streams', String(streamIndex), '-show_entries', 'packet=pts_time,dts_time,duration_time,flags',
      '-of', 'csv=p=0', ...inputArguments(path),
    ],
    signal,
  });
  const shown: { time: number; durationS: number }[] = [];
  let packetCount = 0;
  const read = async (): Promise<void> => {
    for await (const line of createInterface({ input: running.stdout })) {
      const packet = parsePacket(line);
      if (!packet) continue;
      packetCount += 1;
      if (packetCount > maxPackets) throw new LipsyncError('clip_unusable', 'The clip holds too many frames. Use a shorter clip.');
      if (!packet.hidden) shown.push(packet);
    }
    await running.ended;
  };
  try {
    await running.within(read(), readThroughMs);
  } catch (error) {
    await running.stop();
    throw error;
  }
  shown.sort((one, other) => one.time - other.time);
  const last = shown.at(-1)?.durationS;
  return {
    times: Float64Array.from(shown, ({ time }) => time),
    lastDurationS: last !== undefined && last > 0 ? last : undefined,
    packetCount,
  };
}

function parsePacket(line: string): { time: number; durationS: number; hidden: boolean } | undefined {
  const [pts, dts, duration, flags] = line.split(',');
  // AVI has no presentation times; there the decoding times stand for them.
  const time = [pts, dts].map(Number).find(Number.isFinite);
  if (time === undefined || flags === undefined) return undefined;
  return { time, durationS: Number(duration), hidden: flags.includes('D') };
}
