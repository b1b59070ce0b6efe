import { LipsyncError } from '../../errors/index.ts';
import { longestHoleS, type ClockJumps } from './container-clock.ts';
import { inputArguments } from '../ffmpeg-arguments.ts';
import { MediaProcess } from '../ffmpeg-process.ts';
import { readLimitMs } from '../ffprobe.ts';
import type { ClockJoin } from '../media-types.ts';

/** Ten hours at 120 frames per second. */
const maxPackets = 4_320_000;
/** Largest number of places by which a time is inserted in order at once. Codecs reorder only a few frames. */
const maxReorderedPackets = 4_096;
const initialCapacity = 1_024;
/** A clip with more joins has an unusable clock. */
const maxJoins = 100;
/** Decoding times increase in every container; presentation times of reordered frames decrease by a few frames. */
const backwardToleranceS = { decoding: 0.1, presentation: 2 } as const;

/** Times of the packets of a video stream on one clock without jumps, that of the first packet. */
export interface PacketTimes {
  /** Ascending times of the shown frames in seconds; empty for a stream without time stamps. */
  readonly times: Float64Array;
  readonly lastDurationS: number | undefined;
  /** All packets, shown or hidden, as counted by the container. */
  readonly packetCount: number;
  /** Packets before the first keyframe, and the time of the keyframe if there are any. */
  readonly packetsBeforeKey: number;
  readonly lateKeyS?: number | undefined;
  /** Whether the first packet is a keyframe that no other one precedes in time: every shown frame can be decoded. */
  readonly startsWithKey: boolean;
  /** Whether the container states when frames are shown, not only when they are decoded. */
  readonly hasPresentationTimes: boolean;
  readonly joins: readonly ClockJoin[];
}

export interface PacketTimesOptions {
  /** Reading stops soon after the shown frames span more than this. */
  readonly maxDurationMs: number;
  /** Jumps of the clock that are looked for: it may go back, and in streams that are broadcast also ahead. */
  readonly jumps?: ClockJumps;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the packet times of one stream without decoding. Omits packets that the edit list of the container hides. Uses
 * sixteen bytes per frame and never blocks the event loop for long. Throws `media_failed` (`isInputRejection` identifies
 * an unreadable file), `clip_unusable` for too many packets or joins, or the abort error.
 */
export async function readPacketTimes(
  path: string,
  streamIndex: number,
  { maxDurationMs, jumps = 'backward', signal }: PacketTimesOptions,
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
  const collector = new PacketCollector(jumps);
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

function addPacket(collector: PacketCollector, line: string): void {
  const [pts = '', dts = '', duration, flags] = line.split(',');
  if (flags === undefined) return;
  collector.add({
    presentationS: parseTime(pts),
    decodingS: parseTime(dts),
    durationS: Number(duration),
    hidden: flags.includes('D'),
    key: flags.includes('K'),
  });
}

/** ffprobe prints `N/A` for an unknown time. */
function parseTime(text: string): number | undefined {
  const timeS = Number.parseFloat(text);
  return Number.isFinite(timeS) ? timeS : undefined;
}

export interface Packet {
  readonly presentationS?: number | undefined;
  readonly decodingS?: number | undefined;
  readonly durationS: number;
  readonly hidden?: boolean;
  readonly key?: boolean;
}

/** Collects the packets of a stream in the order of the container, and divides them where the clock jumps. */
export class PacketCollector {
  readonly #jumps: ClockJumps;
  readonly #finished: Part[] = [];
  #part = newPart();
  #finishedS = 0;
  #packetCount = 0;
  #packetsBeforeKey = 0;
  #sawKey = false;
  #withoutPresentation = 0;
  #withoutDecoding = 0;
  #startsWithKey = false;
  #firstS = Infinity;
  #lateKeyS: number | undefined;
  /** Clock and duration of the packet before. */
  #previous: { readonly clockS: number; readonly isDecoding: boolean; readonly durationS: number } | undefined;

  constructor(jumps: ClockJumps = 'backward') {
    this.#jumps = jumps;
  }

  get packetCount(): number {
    return this.#packetCount;
  }

  /** Seconds that the shown frames span so far. */
  get spanS(): number {
    return this.#finishedS + this.#part.presented.spanS;
  }

  add(packet: Packet): void {
    const { presentationS, decodingS, durationS, hidden = false, key = false } = packet;
    this.#packetCount += 1;
    if (key && !this.#sawKey && this.#packetCount > 1) this.#lateKeyS = presentationS ?? decodingS;
    this.#sawKey ||= key;
    if (!this.#sawKey) this.#packetsBeforeKey += 1;
    if (presentationS === undefined) this.#withoutPresentation += 1;
    if (decodingS === undefined) this.#withoutDecoding += 1;
    const timeS = presentationS ?? decodingS;
    if (timeS === undefined) return;
    this.#findJoin(packet, timeS);
    if (this.#packetCount === 1) [this.#firstS, this.#startsWithKey] = [timeS, key];
    this.#startsWithKey &&= timeS >= this.#firstS;
    if (hidden) return;
    this.#part.presented.add(timeS, durationS);
    if (decodingS !== undefined) this.#part.decoded.add(decodingS, durationS);
  }

  finish(): PacketTimes {
    // AVI has only decoding times, and MPEG-PS states the times of the first frame in a packet only. Frames have the
    // distances of the decoding times then, which are complete.
    const hasPresentationTimes = this.#withoutPresentation === 0 || this.#withoutDecoding > 0;
    const parts = [...this.#finished, this.#part]
      .map(({ presented, decoded }) => (hasPresentationTimes ? presented : decoded))
      .filter(({ length }) => length > 0);
    const { times, joins } = joinParts(parts);
    const lastDurationS = parts.at(-1)?.lastDurationS ?? 0;
    return {
      times,
      joins,
      lastDurationS: lastDurationS > 0 ? lastDurationS : undefined,
      packetCount: this.#packetCount,
      packetsBeforeKey: this.#sawKey ? this.#packetsBeforeKey : 0,
      lateKeyS: this.#lateKeyS,
      startsWithKey: this.#startsWithKey && joins.length === 0,
      hasPresentationTimes,
    };
  }

  #findJoin({ decodingS, durationS }: Packet, timeS: number): void {
    const clockS = decodingS ?? timeS;
    const isDecoding = decodingS !== undefined;
    const previous = this.#previous;
    this.#previous = { clockS, isDecoding, durationS: durationS > 0 ? durationS : 0 };
    if (!previous || previous.isDecoding !== isDecoding) return;
    const toleranceS = backwardToleranceS[isDecoding ? 'decoding' : 'presentation'];
    const isBackward = this.#jumps !== 'none' && clockS < previous.clockS - toleranceS;
    const isJump = this.#jumps === 'both' && clockS > previous.clockS + previous.durationS + longestHoleS;
    if (!isBackward && !isJump) return;
    this.#finished.push(this.#part);
    this.#finishedS += this.#part.presented.spanS;
    this.#part = newPart();
    if (this.#finished.length > maxJoins)
      throw new LipsyncError(
        'clip_unusable',
        `The clock of the clip jumps more than ${maxJoins} times. Use another copy of the clip.`,
      );
  }
}

/** Times between two jumps of the clock. */
interface Part {
  readonly presented: PartTimes;
  readonly decoded: PartTimes;
}

function newPart(): Part {
  return { presented: new PartTimes(), decoded: new PartTimes() };
}

/** Places each part after the one before, on the clock of the first. */
function joinParts(parts: readonly PartTimes[]): Pick<PacketTimes, 'times' | 'joins'> {
  const [first, ...others] = parts;
  if (!first) return { times: new Float64Array(), joins: [] };
  if (others.length === 0) return { times: first.sorted(), joins: [] };
  const times = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  times.set(first.sorted());
  const joins: ClockJoin[] = [];
  let length = first.length;
  let before = first;
  for (const part of others) {
    const sorted = part.sorted();
    const endS = (times[length - 1] ?? 0) + before.frameS;
    const shiftS = endS - (sorted[0] ?? 0);
    joins.push({ afterS: before.latestS, shiftS });
    times.set(
      sorted.map((timeS) => timeS + shiftS),
      length,
    );
    length += part.length;
    before = part;
  }
  return { times, joins };
}

/** Times of shown frames, sorted on insertion. */
class PartTimes {
  #times = new Float64Array(initialCapacity);
  #length = 0;
  #earliestS = Infinity;
  #latestS = -Infinity;
  #lastDurationS = 0;
  #isOrdered = true;

  get length(): number {
    return this.#length;
  }

  get spanS(): number {
    return this.#length === 0 ? 0 : this.#latestS - this.#earliestS;
  }

  get latestS(): number {
    return this.#latestS;
  }

  get lastDurationS(): number {
    return this.#lastDurationS;
  }

  /** Time for which the last frame is shown. */
  get frameS(): number {
    if (this.#lastDurationS > 0) return this.#lastDurationS;
    return this.#length > 1 ? this.spanS / (this.#length - 1) : 0;
  }

  add(timeS: number, durationS: number): void {
    if (this.#length === this.#times.length) this.#times = doubled(this.#times);
    const index = this.#isOrdered ? this.#findIndex(timeS) : this.#length;
    this.#times.copyWithin(index + 1, index, this.#length);
    this.#times[index] = timeS;
    this.#length += 1;
    this.#earliestS = Math.min(this.#earliestS, timeS);
    if (timeS >= this.#latestS) this.#lastDurationS = durationS;
    this.#latestS = Math.max(this.#latestS, timeS);
  }

  sorted(): Float64Array {
    const shown = this.#times.slice(0, this.#length);
    return this.#isOrdered ? shown : shown.sort();
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
