import { LipsyncError } from '../errors/index.ts';
import { MediaProcess } from './ffmpeg-process.ts';
import { inputArguments } from './media-input.ts';

/** Ten hours at 120 frames per second. */
const maxPackets = 4_320_000;
/** Reading through a file of several gigabytes on a slow disk. */
const readThroughMs = 300_000;
/** How far behind the latest time another may come in and still be put in its place at once; codecs reorder a few frames. */
const reorderedPackets = 4_096;
const firstRoom = 16_384;

/** Times of a video stream's shown frames in seconds, ascending, and how long the last one lasts. */
export interface PacketTimes {
  readonly times: Float64Array;
  readonly lastDurationS: number | undefined;
  /** All packets, shown or not: what the container's own count counts. */
  readonly packetCount: number;
}

export interface PacketTimesOptions {
  /** Reading stops soon after the shown frames span more than this. */
  readonly maxDurationMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the times of the packets of one stream: the file is read through, nothing is decoded. Packets that the
 * container's edit list hides are left out. Holds eight bytes per frame and works in short pieces. Throws
 * `media_failed`, with `details.exitCode` when the file could not be read, `clip_unusable` when there are too many
 * packets, or the abort's error.
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
  const collector = createTimesCollector();
  const read = async (): Promise<void> => {
    let rest = '';
    for await (const chunk of running.stdout) {
      // Numbers, letters and commas: every chunk is whole characters.
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        addPacket(collector, line);
        // What was read proves it too long; the caller says so.
        if (collector.spanS * 1000 > maxDurationMs + 1_000) return;
      }
      if (collector.packetCount > maxPackets)
        throw new LipsyncError('clip_unusable', 'The clip holds too many frames. Use a shorter clip.');
    }
    addPacket(collector, rest);
    await running.ended;
  };
  try {
    await running.within(read(), readThroughMs);
  } finally {
    await running.stop();
  }
  return collector.finish();
}

function addPacket(collector: TimesCollector, line: string): void {
  const [pts = '', dts = '', duration, flags] = line.split(',');
  if (flags === undefined) return;
  // AVI has no presentation times; there the decoding times stand for them.
  const presented = Number.parseFloat(pts);
  const time = Number.isFinite(presented) ? presented : Number.parseFloat(dts);
  if (Number.isFinite(time)) collector.add(time, Number(duration), flags.includes('D'));
}

/** Puts times in order as they come. */
export interface TimesCollector {
  readonly packetCount: number;
  /** Between the earliest and the latest shown time so far, in seconds. */
  readonly spanS: number;
  add(timeS: number, durationS: number, hidden: boolean): void;
  finish(): PacketTimes;
}

export function createTimesCollector(): TimesCollector {
  let times = new Float64Array(firstRoom);
  let length = 0;
  let packetCount = 0;
  let earliest = Infinity;
  let latest = -Infinity;
  let lastDurationS = 0;
  let ordered = true;

  /** Where `time` belongs among those in order, looked for from the end. */
  const placeOf = (time: number): number => {
    const lowest = Math.max(0, length - reorderedPackets);
    let place = length;
    while (place > lowest && (times[place - 1] ?? 0) > time) place -= 1;
    if (place === lowest && place > 0 && (times[place - 1] ?? 0) > time) ordered = false;
    return place;
  };

  return {
    get packetCount() {
      return packetCount;
    },
    get spanS() {
      return length === 0 ? 0 : latest - earliest;
    },
    add(timeS, durationS, hidden) {
      packetCount += 1;
      if (hidden) return;
      if (length === times.length) times = grown(times);
      const place = ordered ? placeOf(timeS) : length;
      times.copyWithin(place + 1, place, length);
      times[place] = timeS;
      length += 1;
      earliest = Math.min(earliest, timeS);
      if (timeS >= latest) lastDurationS = durationS;
      latest = Math.max(latest, timeS);
    },
    finish() {
      const shown = times.slice(0, length);
      return {
        times: ordered ? shown : shown.sort(),
        lastDurationS: lastDurationS > 0 ? lastDurationS : undefined,
        packetCount,
      };
    },
  };
}

function grown(times: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(times.length * 2);
  larger.set(times);
  return larger;
}
