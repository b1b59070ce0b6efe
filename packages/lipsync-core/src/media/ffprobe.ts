import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';
import { MediaProcess, runMediaTool } from './ffmpeg-process.ts';
import { inputArguments } from './ffmpeg-arguments.ts';

const maxReportBytes = 4 * 1024 * 1024;

/** Allows reading several gigabytes from a slow disk. */
const readLimitMs = 300_000;

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

/** Ten hours at 120 frames per second. */
const maxPackets = 4_320_000;
/** Largest number of places by which a time is inserted in order at once. Codecs reorder only a few frames. */
const maxReorderedPackets = 4_096;
const initialCapacity = 16_384;

/** Ascending times of the shown frames of a video stream in seconds, and the duration of the last one. */
export interface PacketTimes {
  readonly times: Float64Array;
  readonly lastDurationS: number | undefined;
  /** All packets, shown or hidden, as counted by the container. */
  readonly packetCount: number;
  /** Whether the first packet is a keyframe that no other one precedes in time: every shown frame can be decoded. */
  readonly startsWithKey: boolean;
}

export interface PacketTimesOptions {
  /** Reading stops soon after the shown frames span more than this. */
  readonly maxDurationMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the packet times of one stream without decoding. Omits packets that the edit list of the container hides. Uses
 * eight bytes per frame and never blocks the event loop for long. Throws `media_failed` (`isInputRejection` identifies
 * an unreadable file), `clip_unusable` for too many packets, or the abort error.
 */
export async function readPacketTimes(
  path: string,
  streamIndex: number,
  { maxDurationMs, signal }: PacketTimesOptions,
): Promise<PacketTimes> {
  const running = new MediaProcess({
    tool: 'ffprobe',
    arguments: [
      '-select_streams',
      String(streamIndex),
      '-show_entries',
      'packet=pts_time,dts_time,duration_time,flags',
      '-of',
      'csv=p=0',
      ...inputArguments(path),
    ],
    signal,
  });
  const collector = new TimesCollector();
  const read = async (): Promise<void> => {
    let rest = '';
    for await (const chunk of running.stdout) {
      // ASCII only, so chunks never split a character.
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        addPacket(collector, line);
        // The caller reports that the clip is too long.
        if (collector.spanS * 1000 > maxDurationMs + 1_000) return;
      }
      if (collector.packetCount > maxPackets)
        throw new LipsyncError('clip_unusable', 'The clip contains too many frames. Use a shorter clip.');
    }
    addPacket(collector, rest);
    await running.ended;
  };
  try {
    await running.within(read(), readLimitMs);
  } finally {
    await running.stop();
  }
  return collector.finish();
}

function addPacket(collector: TimesCollector, line: string): void {
  const [pts = '', dts = '', duration, flags] = line.split(',');
  if (flags === undefined) return;
  // AVI has only decoding times.
  const presentationTimeS = Number.parseFloat(pts);
  const timeS = Number.isFinite(presentationTimeS) ? presentationTimeS : Number.parseFloat(dts);
  if (Number.isFinite(timeS))
    collector.add(timeS, Number(duration), { hidden: flags.includes('D'), key: flags.includes('K') });
}

/** Sorts times on insertion. */
export class TimesCollector {
  #times = new Float64Array(initialCapacity);
  #length = 0;
  #packetCount = 0;
  #earliestS = Infinity;
  #latestS = -Infinity;
  #lastDurationS = 0;
  #firstS = Infinity;
  #startsWithKey = false;
  #isOrdered = true;

  get packetCount(): number {
    return this.#packetCount;
  }

  /** Seconds between the earliest and the latest shown time so far. */
  get spanS(): number {
    return this.#length === 0 ? 0 : this.#latestS - this.#earliestS;
  }

  add(timeS: number, durationS: number, { hidden = false, key = false } = {}): void {
    if (this.#packetCount === 0) [this.#firstS, this.#startsWithKey] = [timeS, key];
    this.#startsWithKey &&= timeS >= this.#firstS;
    this.#packetCount += 1;
    if (hidden) return;
    if (this.#length === this.#times.length) this.#times = doubled(this.#times);
    const index = this.#isOrdered ? this.#findIndex(timeS) : this.#length;
    this.#times.copyWithin(index + 1, index, this.#length);
    this.#times[index] = timeS;
    this.#length += 1;
    this.#earliestS = Math.min(this.#earliestS, timeS);
    if (timeS >= this.#latestS) this.#lastDurationS = durationS;
    this.#latestS = Math.max(this.#latestS, timeS);
  }

  finish(): PacketTimes {
    const shown = this.#times.slice(0, this.#length);
    return {
      times: this.#isOrdered ? shown : shown.sort(),
      lastDurationS: this.#lastDurationS > 0 ? this.#lastDurationS : undefined,
      packetCount: this.#packetCount,
      startsWithKey: this.#startsWithKey,
    };
  }

  /** Searches backwards for the sorted index of a time, and gives up order when it is too far from the end. */
  #findIndex(timeS: number): number {
    const lowest = Math.max(0, this.#length - maxReorderedPackets);
    let index = this.#length;
    while (index > lowest && (this.#times[index - 1] ?? 0) > timeS) index -= 1;
    if (index === lowest && index > 0 && (this.#times[index - 1] ?? 0) > timeS) this.#isOrdered = false;
    return index;
  }
}

function doubled(times: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(times.length * 2);
  larger.set(times);
  return larger;
}
