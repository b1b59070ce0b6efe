import { hasKeyframeIndex, playerZeroS } from './container-clock.ts';
import type { ProbedStream, ProbeReport } from '../ffprobe.ts';
import { readPart, unknownSizeBytes } from './file-bytes.ts';

/**
 * Formats without a declared duration: ffprobe estimates it from the size of the file or from its last packets. In
 * AVI it counts empty chunks, which are not played as sound.
 */
const estimatedFormats = /^(?:aac|ac3|avi|eac3|amr|mpegts|mpeg|ogg)$/;

/** Formats that declare one duration for the file, which ffprobe reports for each stream. */
const sharedDurationFormats = /^asf$/;

/** Headers state their duration up to the delay and the padding of an encoder. */
const toleranceMs = 150;

/**
 * How much of the duration that a file declares is missing from it, in milliseconds; 0 when nothing is missing, or when
 * the file declares no duration, such as an MP3 without a header frame.
 */
export async function measureMissingMs(
  path: string,
  {
    stream,
    report,
    actualMs,
  }: { readonly stream: ProbedStream; readonly report: ProbeReport; readonly actualMs: number },
): Promise<number> {
  const isMp3 = report.format.format_name === 'mp3';
  const declaredMs = isMp3 ? await readMp3Ms(path, stream) : readDeclaredMs(stream, report);
  const missingMs = declaredMs - actualMs;
  return missingMs > toleranceMs ? missingMs : 0;
}

function readDeclaredMs(stream: ProbedStream, report: ProbeReport): number {
  const { format, streams } = report;
  if (estimatedFormats.test(format.format_name) || hasUnknownLength(stream)) return 0;
  // The number of frames of PCM is its number of samples.
  const samplesMs =
    stream.codec_name?.startsWith('pcm_') && stream.nb_frames !== undefined && stream.sample_rate
      ? (stream.nb_frames / stream.sample_rate) * 1000
      : 0;
  // The duration of a file with several streams is that of the longest one.
  const fileS = streams.length === 1 ? (format.duration ?? 0) : 0;
  const declaredS = ownDurationS(stream, format) ?? parseTime(stream.tags['DURATION']) ?? fileS;
  // These formats state the time of the end.
  const zeroS = hasKeyframeIndex(report) ? playerZeroS(report) : 0;
  return Math.max(samplesMs, (declaredS - zeroS) * 1000);
}

/** Until the end of a stream, which may start later than the file if that has a clock. */
function ownDurationS(
  { start_time: startS = 0, duration }: ProbedStream,
  { format_name: name }: ProbeReport['format'],
): number | undefined {
  if (duration === undefined || sharedDurationFormats.test(name)) return undefined;
  return duration + (/\bmp4\b/.test(name) ? Math.max(0, startS) : 0);
}

/** Whether the stated number of samples of PCM is that of a writer that did not know it. */
function hasUnknownLength({ codec_name: codec = '', nb_frames: frames = 0, channels = 1 }: ProbedStream): boolean {
  const bits = Number(/^pcm_[suf](\d+)/.exec(codec)?.[1] ?? 0);
  return bits > 0 && (frames * channels * bits) / 8 >= unknownSizeBytes - channels * bits;
}

/** Parses the duration that Matroska writes for each stream, such as `00:00:06.914000000`. */
function parseTime(text: string | undefined): number | undefined {
  const [, hours, minutes, seconds] = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(text?.trim() ?? '') ?? [];
  if (hours === undefined) return undefined;
  return Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds);
}

/**
 * The duration that the first frame of an MP3 declares after an ID3 tag, in milliseconds; 0 without one. ffprobe instead
 * estimates it from the size of a file that is longer, such as joined ones.
 */
async function readMp3Ms(path: string, { sample_rate: sampleRateHz = 0 }: ProbedStream): Promise<number> {
  const tag = await readPart(path, { start: 0, length: 10 });
  const isTagged = tag.length === 10 && tag.toString('latin1', 0, 3) === 'ID3';
  // Seven bits per byte.
  const tagBytes = isTagged ? 10 + tag.subarray(6).reduce((size, byte) => size * 128 + (byte & 0x7f), 0) : 0;
  const frame = await readPart(path, { start: tagBytes, length: 2_048 });
  const frames = readMp3Frames(frame);
  // MPEG-2 and 2.5 have lower rates and half the samples per frame.
  return sampleRateHz > 0 ? (frames * (sampleRateHz >= 32_000 ? 1_152 : 576) * 1000) / sampleRateHz : 0;
}

function readMp3Frames(frame: Buffer): number {
  const { index: xing, 0: name } = /Xing|Info/.exec(frame.toString('latin1')) ?? {};
  const vbri = frame.indexOf('VBRI', 0, 'latin1');
  if (xing !== undefined && name !== undefined && xing + 12 <= frame.length)
    return (frame.readUInt32BE(xing + 4) & 1) === 1 ? frame.readUInt32BE(xing + 8) : 0;
  return vbri >= 0 && vbri + 18 <= frame.length ? frame.readUInt32BE(vbri + 14) : 0;
}
