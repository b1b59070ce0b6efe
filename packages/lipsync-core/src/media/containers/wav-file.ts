import { open, rm, type FileHandle } from 'node:fs/promises';
import { bytesPerSample } from '../sample-decoder.ts';

/** The format tag of WAVE_FORMAT_EXTENSIBLE. */
const extensibleTag = 0xff_fe;
/** The GUID of floating-point samples. */
const floatFormat = Buffer.from('0300000000001000800000aa00389b71', 'hex');
const formatBytes = 40;
const headerBytes = 80;
/** The largest size that a WAV header can state; readers take it for an unknown size. */
const unknownSize = 0xff_ff_ff_ff;

/** Speakers of the layouts of ffmpeg as bits of the channel mask; other layouts have no mask. */
const channelMasks: Readonly<Record<string, number>> = {
  mono: 0x4,
  stereo: 0x3,
  '2.1': 0xb,
  '3.0': 0x7,
  '4.0': 0x107,
  quad: 0x33,
  'quad(side)': 0x603,
  '5.0': 0x37,
  '5.0(side)': 0x607,
  '5.1': 0x3f,
  '5.1(side)': 0x60f,
  '6.1': 0x70f,
  '7.1': 0x63f,
};

export interface WavFormat {
  readonly sampleRateHz: number;
  readonly channels: number;
  /** As ffmpeg names it. */
  readonly channelLayout?: string | undefined;
}

/** Writes interleaved 32-bit floats to a WAV file. Returns their number of bytes. A failure leaves no file. */
export async function writeWav(path: string, format: WavFormat, chunks: AsyncIterable<Buffer>): Promise<number> {
  const file = await open(path, 'w');
  try {
    const sizeBytes = await writeSamples(file, chunks);
    await writeAll(file, wavHeader(format, sizeBytes), 0);
    await file.close();
    return sizeBytes;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw error;
  }
}

async function writeSamples(file: FileHandle, chunks: AsyncIterable<Buffer>): Promise<number> {
  let position = headerBytes;
  for await (const chunk of chunks) {
    await writeAll(file, chunk, position);
    position += chunk.length;
  }
  return position - headerBytes;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

function wavHeader({ sampleRateHz, channels, channelLayout = '' }: WavFormat, sizeBytes: number): Buffer {
  const frameBytes = channels * bytesPerSample;
  const header = Buffer.alloc(headerBytes);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(Math.min(unknownSize, headerBytes - 8 + sizeBytes), 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(formatBytes, 16);
  header.writeUInt16LE(extensibleTag, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(sampleRateHz, 24);
  header.writeUInt32LE(sampleRateHz * frameBytes, 28);
  header.writeUInt16LE(frameBytes, 32);
  header.writeUInt16LE(bytesPerSample * 8, 34);
  header.writeUInt16LE(22, 36);
  header.writeUInt16LE(bytesPerSample * 8, 38);
  header.writeUInt32LE(channelMasks[channelLayout] ?? 0, 40);
  floatFormat.copy(header, 44);
  header.write('fact', 60, 'latin1');
  header.writeUInt32LE(4, 64);
  header.writeUInt32LE(Math.min(unknownSize, Math.floor(sizeBytes / frameBytes)), 68);
  header.write('data', 72, 'latin1');
  header.writeUInt32LE(Math.min(unknownSize, sizeBytes), 76);
  return header;
}
