import { stat } from 'node:fs/promises';
import { LipsyncError } from '../../errors/index.ts';
import { readPart } from '../containers/file-bytes.ts';

/** Parts of a file that are examined, spread over it because the beginning may be silent. */
const partCount = 8;
const partBytes = 12_288;
/** Shorter files are too short to recognize. */
const minBytes = 2_048;
/** Part of the power that neighboring samples do not share: near 0 for sound, near 1 for other data. */
const maxRoughness = 0.4;
/** From this ratio on, samples resemble the next but one more: two channels. */
const stereoRatio = 0.7;
/** From this ratio on, samples of a pair resemble each other more or less than neighboring pairs: two channels. */
const pairRatio = 1.5;
/** Pairs of 16-bit samples are smooth as 32-bit samples, too. */
const doubledPenalty = 1.5;
/** Larger floating-point numbers are no samples, not even of integer scale. */
const largestFloat = 65_536;
const rateOfSpeechApis = 24_000;
/** Files that begin with a name have a header, which is damaged or unknown; sound hardly begins like this. */
const headers = /^[A-Za-z0-9 #.+]{4}/;

interface RawFormat {
  /** As ffmpeg names it. */
  readonly name: string;
  readonly description: string;
  readonly sampleBytes: number;
  read(bytes: Buffer, position: number): number;
}

const formats: readonly RawFormat[] = [
  {
    name: 's16le',
    description: '16-bit, little-endian',
    sampleBytes: 2,
    read: (bytes, position) => bytes.readInt16LE(position),
  },
  {
    name: 's16be',
    description: '16-bit, big-endian',
    sampleBytes: 2,
    read: (bytes, position) => bytes.readInt16BE(position),
  },
  {
    name: 's24le',
    description: '24-bit, little-endian',
    sampleBytes: 3,
    read: (bytes, position) => bytes.readIntLE(position, 3),
  },
  {
    name: 's32le',
    description: '32-bit, little-endian',
    sampleBytes: 4,
    read: (bytes, position) => bytes.readInt32LE(position),
  },
  {
    name: 'f32le',
    description: '32-bit floating-point',
    sampleBytes: 4,
    read: (bytes, position) => bytes.readFloatLE(position),
  },
  { name: 'u8', description: '8-bit', sampleBytes: 1, read: (bytes, position) => bytes.readUInt8(position) },
  {
    name: 'mulaw',
    description: '8-bit, µ-law',
    sampleBytes: 1,
    read: (bytes, position) => decodeMuLaw(bytes.readUInt8(position)),
  },
];

interface RawPcm {
  readonly format: string;
  readonly description: string;
  readonly channels: 1 | 2;
}

/**
 * Recognizes samples without a header, as speech APIs return them, by neighboring samples that resemble each other.
 * Reads 96 KB. Returns undefined for other data and for text.
 */
async function recognizeRawPcm(path: string): Promise<RawPcm | undefined> {
  const { size } = await stat(path);
  if (size < minBytes) return undefined;
  const parts: Buffer[] = [];
  for (let index = 0; index < partCount; index += 1) {
    // A multiple of the size of every kind of sample, for one and two channels.
    const start = Math.floor((Math.max(0, size - partBytes) * index) / partCount / 24) * 24;
    parts.push(await readPart(path, { start, length: partBytes }));
  }
  if (parts.every(isText) || headers.test(parts[0]?.toString('latin1', 0, 4) ?? '')) return undefined;
  const measured = formats
    .map((format) => ({ format, ...measureRoughness(parts, format) }))
    .map((found) => (found.format.name === 's32le' ? { ...found, roughness: found.roughness * doubledPenalty } : found))
    .toSorted((first, second) => first.roughness - second.roughness);
  const [best] = measured;
  if (!best || best.roughness > maxRoughness) return undefined;
  const { name: format, description } = best.format;
  return { format, description, channels: best.isStereo ? 2 : 1 };
}

/** Throws `speech_unusable` with a remedy when a file that cannot be read is raw PCM. */
export async function refuseRawPcm(path: string): Promise<void> {
  const found = await recognizeRawPcm(path);
  if (found) throw new LipsyncError('speech_unusable', adviseOnRawPcm(found));
}

function adviseOnRawPcm({ format, description, channels }: RawPcm): string {
  const layout = `-f ${format} -ar ${rateOfSpeechApis} -ac ${channels}`;
  return (
    `The speech audio is raw PCM without a header (${description}), as speech APIs return it. Wrap it in a WAV file: ` +
    `ffmpeg ${layout} -i speech.pcm speech.wav, with its sample rate in place of ${rateOfSpeechApis}.`
  );
}

/** Roughness of the samples as one channel or as two, whichever is smaller. */
function measureRoughness(
  parts: readonly Buffer[],
  format: RawFormat,
): { readonly roughness: number; readonly isStereo: boolean } {
  const differences = [0, 0];
  const pairs = [0, 0];
  let power = 0;
  for (const part of parts) {
    const samples = Float64Array.from({ length: Math.floor(part.length / format.sampleBytes) }, (_, index) =>
      format.read(part, index * format.sampleBytes),
    );
    if (!samples.every((sample) => Number.isFinite(sample))) return { roughness: Infinity, isStereo: false };
    if (format.name === 'f32le' && samples.some((sample) => Math.abs(sample) > largestFloat))
      return { roughness: Infinity, isStereo: false };
    const mean = samples.reduce((sum, sample) => sum + sample, 0) / Math.max(1, samples.length);
    for (let index = 2; index < samples.length; index += 1) {
      const sample = samples[index] ?? 0;
      power += (sample - mean) ** 2;
      pairs[index % 2] = (pairs[index % 2] ?? 0) + (sample - (samples[index - 1] ?? 0)) ** 2;
      for (const lag of [1, 2])
        differences[lag - 1] = (differences[lag - 1] ?? 0) + (sample - (samples[index - lag] ?? 0)) ** 2;
    }
  }
  const [mono = 0, stereo = 0] = differences.map((difference) => difference / (2 * power));
  const isPaired = Math.max(...pairs) > pairRatio * Math.min(...pairs);
  const isStereo = isPaired || stereo < stereoRatio * mono;
  const roughness = isStereo ? stereo : mono;
  return { roughness: Number.isNaN(roughness) ? Infinity : roughness, isStereo };
}

/** ITU-T G.711. */
function decodeMuLaw(byte: number): number {
  const value = ~byte & 0xff;
  const size = (((value & 0x0f) << 3) + 0x84) << ((value & 0x70) >> 4);
  return value & 0x80 ? 0x84 - size : size - 0x84;
}

function isText(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127));
}
