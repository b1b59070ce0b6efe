import { readFile } from 'node:fs/promises';
import { makeMedia } from './make-media.ts';

const burstS = 0.06;
/** Bursts are separated by longer pauses. */
const longestGapS = 0.03;
const threshold = 0.05;

/** An ffmpeg source of tone bursts that begin at the given times. */
export function burstSource(timesS: readonly number[], lengthS: number, sampleRateHz = 48_000): readonly string[] {
  const gate = timesS.map((time) => `between(t,${time},${time + burstS})`).join('+');
  return ['-f', 'lavfi', '-i', `aevalsrc=exprs='0.5*sin(2*PI*1500*t)*(${gate})':s=${sampleRateHz}:d=${lengthS}`];
}

export interface BurstOptions {
  readonly timesS: readonly number[];
  readonly lengthS: number;
  /** Output options of ffmpeg. */
  readonly more?: readonly string[];
}

/** Writes a sound file of tone bursts. */
export function makeBursts(path: string, { timesS, lengthS, more = [] }: BurstOptions): Promise<string> {
  return makeMedia(...burstSource(timesS, lengthS), ...more, path);
}

/** The samples of a file. */
export interface PlainSound {
  readonly sampleRateHz: number;
  readonly channels: number;
  /** The first channel. */
  readonly samples: Float32Array;
}

/** Reads a WAV file of 32-bit floats or 16-bit integers without ffmpeg. */
export async function readPlainWav(path: string): Promise<PlainSound> {
  const bytes = await readFile(path);
  const channels = bytes.readUInt16LE(22);
  const sampleRateHz = bytes.readUInt32LE(24);
  const bits = bytes.readUInt16LE(34);
  const data = bytes.subarray(bytes.indexOf('data', 36, 'latin1') + 8);
  const frameBytes = (channels * bits) / 8;
  const samples = new Float32Array(Math.floor(data.length / frameBytes));
  for (let index = 0; index < samples.length; index += 1) {
    const position = index * frameBytes;
    samples[index] = bits === 32 ? data.readFloatLE(position) : data.readInt16LE(position) / 32_768;
  }
  return { sampleRateHz, channels, samples };
}

/** The times at which bursts begin, in seconds. */
export function findBursts({ samples, sampleRateHz }: Pick<PlainSound, 'samples' | 'sampleRateHz'>): readonly number[] {
  const starts: number[] = [];
  let lastLoud = -Infinity;
  samples.forEach((sample, index) => {
    if (Math.abs(sample) < threshold) return;
    if (index - lastLoud > longestGapS * sampleRateHz) starts.push(index / sampleRateHz);
    lastLoud = index;
  });
  return starts;
}
