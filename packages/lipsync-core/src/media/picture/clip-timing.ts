import type { Warning } from '../../contract/provider-types.ts';
import { LipsyncError } from '../../errors/index.ts';
import { hasKeyframeIndex, playerZeroS } from '../containers/container-clock.ts';
import { findJoinedFiles } from '../containers/joined-files.ts';
import { chooseFrameRate, parseFrameRate } from './frame-rate.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';
import { framesPerSecond, type ClipClock, type ClipFacts, type FrameRate } from '../media-types.ts';
import { type PacketTimes } from '../containers/packet-times.ts';

type ClipTiming = Pick<
  ClipFacts,
  'frameRate' | 'frameCount' | 'durationMs' | 'variableFrameRate' | 'lowFrameRate' | 'clock' | 'startMs' | 'warnings'
>;

/** Formats without time stamps; ffprobe may count some. */
const untimedFormats = /^(?:h264|hevc|m4v|mpegvideo)$/;
/** Shorter losses and delays at the beginning are usual and not visible. */
const smallestReportedS = 0.1;

export interface ClipTimingOptions {
  readonly stream: ProbedStream;
  readonly report: ProbeReport;
  /** Time of the first frame that was decoded, in the container. */
  readonly firstFrameS: number;
  readonly packets: PacketTimes;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Determines when the frames of a clip are shown: at its packet times, from the first frame that can be decoded on.
 * Throws `clip_unusable`, `media_failed`, or the abort error.
 */
export async function readClipTiming(path: string, options: ClipTimingOptions): Promise<ClipTiming> {
  const { stream, report, packets, signal } = options;
  if (packets.packetCount > 0 && (packets.times.length === 0 || untimedFormats.test(report.format.format_name)))
    return countFrames(stream, packets);
  const timing = timeFrames(options);
  const joined = await findJoinedFiles(path, report.format.format_name, signal);
  return { ...timing, warnings: [...(timing.warnings ?? []), ...describeUnused(joined.length)] };
}

/** A stream without time stamps has the rate that its headers state, which ffmpeg replaces by 25 when they do not. */
function countFrames(stream: ProbedStream, { packetCount, packetsBeforeKey }: PacketTimes): ClipTiming {
  const frameRate = parseFrameRate(stream.r_frame_rate) ?? { numerator: 25, denominator: 1 };
  const frameCount = packetCount - packetsBeforeKey;
  const frameS = 1 / framesPerSecond(frameRate);
  return {
    frameRate,
    frameCount,
    durationMs: frameCount * frameS * 1000,
    variableFrameRate: false,
    clock: { type: 'counted' },
    warnings: [
      {
        code: 'time_stamps_missing',
        message: `The clip has no time stamps; it is shown at ${describeRate(frameRate)} frames per second. If it is too fast or too slow, put it into a container with its rate: ffmpeg -framerate RATE -i CLIP -c copy clip.mp4`,
      },
      ...describeLostStart(packetsBeforeKey * frameS),
    ],
  };
}

function timeFrames(options: ClipTimingOptions): ClipTiming {
  const { stream, report, packets } = options;
  const { index, decoderS } = findFirstFrame(options);
  const times = packets.times.subarray(index);
  const originS = times[0];
  if (originS === undefined)
    throw new LipsyncError('clip_unusable', 'The clip contains no frames. Use another copy of the file.');
  const { frameRate, variable, lowFrameRate } = chooseFrameRate(times, [
    parseFrameRate(stream.r_frame_rate),
    parseFrameRate(stream.avg_frame_rate),
  ]);
  const frameS = 1 / framesPerSecond(frameRate);
  const shownS = lowFrameRate === undefined ? frameS : 1 / lowFrameRate;
  const lastS = variable ? (packets.lastDurationS ?? shownS) : shownS;
  const spanS = (times.at(-1) ?? 0) - originS;
  const frameCount = Math.max(1, Math.round((spanS + lastS) / frameS));
  const startS = Math.max(0, originS - playerZeroS(report));
  return {
    frameRate,
    frameCount,
    durationMs: frameCount * frameS * 1000,
    variableFrameRate: variable,
    ...(lowFrameRate && { lowFrameRate }),
    clock: clockOf(packets, report, decoderS ?? originS),
    ...(startS > 0 && { startMs: startS * 1000 }),
    warnings: [
      ...describeJoins(packets),
      ...(originS > (packets.times[0] ?? originS)
        ? describeLostStart(originS - (packets.times[0] ?? originS))
        : describeLateStart(startS)),
    ],
  };
}

/** Where the shown frames begin. */
interface FirstFrame {
  /** Index of its time. */
  readonly index: number;
  /** Time that the decoder gives to the frame, if it is not that of the packet. */
  readonly decoderS?: number;
}

/**
 * Finds the first whole frame: frames before it refer to a keyframe that the clip does not contain. Decoders of HEVC,
 * MPEG-4 and others show gray remains of frames before the first keyframe; that of H.264 finds the first whole frame,
 * also where recordings have no keyframes.
 */
function findFirstFrame({ stream, firstFrameS, packets }: ClipTimingOptions): FirstFrame {
  const { lateKeyS = -Infinity, packetsBeforeKey, times } = packets;
  const showsRemains = stream.codec_name !== 'h264';
  if (packets.hasPresentationTimes)
    return { index: findTime(packets, showsRemains ? Math.max(firstFrameS, lateKeyS) : firstFrameS) };
  // A frame has the time of the packet with which it leaves the decoder, which delays each by a number of packets. All
  // other packets before are of frames that are never shown, such as those that a copied part shows before its
  // keyframe.
  const { has_b_frames: delayPackets = 0 } = stream;
  const keyLeaves = showsRemains && packetsBeforeKey > 0 ? packetsBeforeKey + delayPackets : 0;
  const firstLeaves = findTime(packets, firstFrameS);
  return {
    index: Math.max(0, Math.max(firstLeaves, keyLeaves) - delayPackets),
    decoderS: keyLeaves > firstLeaves ? (times[keyLeaves] ?? firstFrameS) : firstFrameS,
  };
}

function findTime({ times, lastDurationS = 0 }: PacketTimes, timeS: number): number {
  return Math.max(
    0,
    times.findIndex((time) => time >= timeS - lastDurationS / 2),
  );
}

function clockOf(packets: PacketTimes, report: ProbeReport, originS: number): ClipClock {
  return {
    type: 'container',
    originS,
    canSeek: packets.startsWithKey && hasKeyframeIndex(report),
    joins: packets.joins,
  };
}

function describeRate(rate: FrameRate): string {
  return String(Number(framesPerSecond(rate).toFixed(3)));
}

function describeJoins({ joins }: PacketTimes): readonly Warning[] {
  if (joins.length === 0) return [];
  const count = joins.length === 1 ? 'once' : `${joins.length} times`;
  return [
    {
      code: 'clock_jumps',
      message: `The clock of the clip jumps ${count}, as in recordings that were joined. The parts are shown one after the other.`,
    },
  ];
}

function describeUnused(fileCount: number): readonly Warning[] {
  if (fileCount === 0) return [];
  return [
    {
      code: 'clip_data_unused',
      message: `The clip consists of ${fileCount} files that were joined byte by byte; the first one is used, as players do. To use all, join them with the concat demuxer of ffmpeg.`,
    },
  ];
}

function describeLostStart(lostS: number): readonly Warning[] {
  if (lostS < smallestReportedS) return [];
  return [
    {
      code: 'clip_start_missing',
      message: `The first ${lostS.toFixed(1)} s of the picture cannot be decoded, because the recording begins between two keyframes. The clip is used from its first complete picture on.`,
    },
  ];
}

function describeLateStart(startS: number): readonly Warning[] {
  if (startS < smallestReportedS) return [];
  return [
    {
      code: 'picture_starts_late',
      message: `The picture of the clip starts at ${startS.toFixed(1)} s and is used from there on. start_ms and end_ms count from the start of the file.`,
    },
  ];
}
