import { stat } from 'node:fs/promises';
import type { FilePart } from '../ffmpeg-arguments.ts';
import type { ProbeReport, ProbedStream } from '../ffprobe.ts';
import { readPart, unknownSizeBytes } from './file-bytes.ts';

/** A file of PCM whose header does not state how long it is, because its writer did not know it. */
export interface OpenEndedSound {
  /** What ffprobe would report if it read such files. */
  readonly report: ProbeReport;
  /** Its samples, for a decoder of plain samples. */
  readonly part: FilePart;
}

interface PcmFormat {
  readonly sampleRateHz: number;
  readonly channels: number;
  /** ffmpeg's name of the sample format, such as `s16be`. */
  readonly samples: string;
}

interface Header {
  readonly format: PcmFormat | undefined;
  readonly samplesStart: number;
}

const headerBytes = 65_536;
const largest = { sampleRateHz: 768_000, channels: 64 } as const;
/** Score of a format that its contents identify. */
const knownScore = 100;
/** An unknown size in formats with sizes of 64 bits; no file is as large. */
const unknownLongSize = 2 ** 50;

/**
 * Reads the header of an AIFF, W64 or RF64 file without a length, which ffmpeg refuses or takes for empty, also when it
 * wrote the file itself. Undefined for all other files.
 */
export async function readOpenEndedSound(path: string): Promise<OpenEndedSound | undefined> {
  const bytes = await readPart(path, { start: 0, length: headerBytes });
  const [demuxer, header] = readHeader(bytes);
  if (!header?.format) return undefined;
  const { sampleRateHz, channels, samples } = header.format;
  const isCredible =
    sampleRateHz >= 1 && sampleRateHz <= largest.sampleRateHz && channels >= 1 && channels <= largest.channels;
  if (!isCredible) return undefined;
  const options = ['-ar', String(sampleRateHz), '-ac', String(channels)];
  return {
    report: {
      streams: [describeStream(header.format)],
      format: { format_name: demuxer, start_time: 0, duration: undefined, probe_score: knownScore },
    },
    part: { range: { start: header.samplesStart }, demuxer: samples, options },
  };
}

function readHeader(bytes: Buffer): readonly [string, Header | undefined] {
  const name = bytes.toString('latin1', 0, 4);
  if (name === 'FORM' && /^AIF[FC]$/.test(bytes.toString('latin1', 8, 12))) return ['aiff', readAiff(bytes)];
  if (bytes.subarray(0, 16).equals(w64.riff)) return ['w64', readW64(bytes)];
  if (name === 'RF64' || name === 'BW64') return ['wav', readRf64(bytes)];
  return ['', undefined];
}

function describeStream({ sampleRateHz, channels, samples }: PcmFormat): ProbedStream {
  return {
    index: 0,
    codec_type: 'audio',
    codec_name: `pcm_${samples}`,
    sample_rate: sampleRateHz,
    channels,
    r_frame_rate: '0/0',
    avg_frame_rate: '0/0',
    start_time: 0,
    nb_frames: undefined,
    nb_read_packets: undefined,
    duration: undefined,
    disposition: { attached_pic: 0, default: 0 },
    tags: {},
    side_data_list: [],
  };
}

function readAiff(bytes: Buffer): Header | undefined {
  let format: PcmFormat | undefined;
  for (let position = 12; position + 16 <= bytes.length;) {
    const name = bytes.toString('latin1', position, position + 4);
    const size = bytes.readUInt32BE(position + 4);
    const contents = position + 8;
    if (name === 'COMM' && contents + 22 <= bytes.length) format = readAiffFormat(bytes, contents, size);
    if (name === 'SSND')
      return size === 0 || size >= unknownSizeBytes ? { format, samplesStart: contents + 8 } : undefined;
    position = contents + size + (size % 2);
  }
  return undefined;
}

function readAiffFormat(bytes: Buffer, position: number, size: number): PcmFormat | undefined {
  const bits = bytes.readUInt16BE(position + 6);
  const compression = size >= 22 ? bytes.toString('latin1', position + 18, position + 22) : 'NONE';
  const samples = {
    NONE: `s${bits}be`,
    twos: `s${bits}be`,
    sowt: `s${bits}le`,
    fl32: 'f32be',
    FL32: 'f32be',
    fl64: 'f64be',
    alaw: 'alaw',
    ulaw: 'mulaw',
  }[compression];
  // A floating-point number of 80 bits; rates need no more than 32 bits of its fraction.
  const exponent = (bytes.readUInt16BE(position + 8) & 0x7f_ff) - 16_383;
  const sampleRateHz = Math.round(bytes.readUInt32BE(position + 10) * 2 ** (exponent - 31));
  const isKnown = samples !== undefined && /^(?:s8be|s(?:16|24|32)[bl]e|f(?:32|64)be|alaw|mulaw)$/.test(samples);
  if (!isKnown) return undefined;
  return {
    sampleRateHz,
    channels: bytes.readUInt16BE(position),
    samples: bits === 8 && samples === 's8be' ? 's8' : samples,
  };
}

const w64HeaderBytes = 24;
/** GUIDs of Sony Wave64. Sizes include the GUID and the size. */
const w64 = {
  riff: Buffer.from('726966662e91cf11a5d628db04c10000', 'hex'),
  format: Buffer.from('666d7420f3acd3118cd100c04f8edb8a', 'hex'),
  data: Buffer.from('64617461f3acd3118cd100c04f8edb8a', 'hex'),
} as const;

interface W64Samples extends Header {
  /** As stated, with the header of the chunk. */
  readonly sizeBytes: number;
}

function findW64Samples(bytes: Buffer): W64Samples | undefined {
  let format: PcmFormat | undefined;
  for (let position = 40; position + 48 <= bytes.length;) {
    const name = bytes.subarray(position, position + 16);
    const sizeBytes = Number(bytes.readBigUInt64LE(position + 16));
    const samplesStart = position + w64HeaderBytes;
    if (name.equals(w64.format)) format = readWaveFormat(bytes, samplesStart);
    if (name.equals(w64.data)) return { format, samplesStart, sizeBytes };
    if (sizeBytes < w64HeaderBytes) return undefined;
    position += Math.ceil(sizeBytes / 8) * 8;
  }
  return undefined;
}

function readW64(bytes: Buffer): Header | undefined {
  const found = findW64Samples(bytes);
  return found && hasKnownSize(found) ? undefined : found;
}

function hasKnownSize({ sizeBytes }: W64Samples): boolean {
  return sizeBytes > w64HeaderBytes && sizeBytes < unknownLongSize;
}

/** How much of the stated samples a W64 file lacks, in milliseconds; ffprobe reports what is left. */
export async function measureW64MissingMs(path: string): Promise<number> {
  const { size } = await stat(path);
  const found = findW64Samples(await readPart(path, { start: 0, length: headerBytes }));
  if (!found?.format || !hasKnownSize(found)) return 0;
  const { sampleRateHz, channels, samples } = found.format;
  const bits = Number(/\d+/.exec(samples)?.[0] ?? 8);
  const missingBytes = found.samplesStart + found.sizeBytes - w64HeaderBytes - size;
  return Math.max(0, (missingBytes * 8_000) / (bits * sampleRateHz * channels));
}

function readRf64(bytes: Buffer): Header | undefined {
  let format: PcmFormat | undefined;
  let dataBytes = 0;
  for (let position = 12; position + 40 <= bytes.length;) {
    const name = bytes.toString('latin1', position, position + 4);
    const size = bytes.readUInt32LE(position + 4);
    const contents = position + 8;
    if (name === 'ds64') dataBytes = Number(bytes.readBigUInt64LE(contents + 8));
    if (name === 'fmt ') format = readWaveFormat(bytes, contents);
    if (name === 'data')
      return dataBytes === 0 || dataBytes >= unknownLongSize ? { format, samplesStart: contents } : undefined;
    position = contents + size + (size % 2);
  }
  return undefined;
}

const extensibleTag = 0xff_fe;

/** The `fmt` chunk of WAV and W64. */
function readWaveFormat(bytes: Buffer, position: number): PcmFormat | undefined {
  if (position + 26 > bytes.length) return undefined;
  const stated = bytes.readUInt16LE(position);
  const tag = stated === extensibleTag ? bytes.readUInt16LE(position + 24) : stated;
  const bits = bytes.readUInt16LE(position + 14);
  const samples = { 1: bits === 8 ? 'u8' : `s${bits}le`, 3: `f${bits}le`, 6: 'alaw', 7: 'mulaw' }[tag];
  const isKnown = samples !== undefined && /^(?:u8|s16le|s24le|s32le|f32le|f64le|alaw|mulaw)$/.test(samples);
  if (!isKnown) return undefined;
  return { sampleRateHz: bytes.readUInt32LE(position + 4), channels: bytes.readUInt16LE(position + 2), samples };
}
