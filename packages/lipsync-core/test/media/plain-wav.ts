import { writeFile } from 'node:fs/promises';

/** Samples of one channel, −1…1. */
export type Channel = Float64Array;

const integerFormat = 1;
const floatFormat = 3;

export interface PlainWavOptions {
  readonly sampleRateHz: number;
  readonly format?: 'int16' | 'float32' | 'float64' | undefined;
}

/** Writes a WAV file without ffmpeg, with a plain header, which has no channel layout. Returns its path. */
export async function writePlainWav(
  path: string,
  channels: readonly Channel[],
  { sampleRateHz, format = 'int16' }: PlainWavOptions,
): Promise<string> {
  const sampleBytes = { int16: 2, float32: 4, float64: 8 }[format];
  const length = channels[0]?.length ?? 0;
  const data = Buffer.alloc(length * channels.length * sampleBytes);
  let position = 0;
  for (let index = 0; index < length; index += 1)
    for (const channel of channels) {
      const value = channel[index] ?? 0;
      if (format === 'int16') data.writeInt16LE(Math.round(Math.max(-1, Math.min(1, value)) * 32_767), position);
      else if (format === 'float32') data.writeFloatLE(value, position);
      else data.writeDoubleLE(value, position);
      position += sampleBytes;
    }
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + data.length, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(format === 'int16' ? integerFormat : floatFormat, 20);
  header.writeUInt16LE(channels.length, 22);
  header.writeUInt32LE(sampleRateHz, 24);
  header.writeUInt32LE(sampleRateHz * channels.length * sampleBytes, 28);
  header.writeUInt16LE(channels.length * sampleBytes, 32);
  header.writeUInt16LE(sampleBytes * 8, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(data.length, 40);
  await writeFile(path, Buffer.concat([header, data]));
  return path;
}

export const sampleRateHz = 16_000;
const lengthS = 2;

function compute(valueAt: (timeS: number) => number): Channel {
  return Float64Array.from({ length: lengthS * sampleRateHz }, (_, index) => valueAt(index / sampleRateHz));
}

/** A tone whose level varies as that of speech: three syllables a second, and pauses. */
export function makeVoice(
  frequencyHz = 190,
  isTalking: (timeS: number) => boolean = (timeS) => timeS % 1 < 0.7,
): Channel {
  return compute((timeS) => {
    const level = isTalking(timeS) ? 0.4 * Math.sin(Math.PI * 3 * timeS) ** 2 : 0;
    const angle = 2 * Math.PI * frequencyHz * timeS;
    return level * (Math.sin(angle) + 0.5 * Math.sin(3 * angle));
  });
}

export function makeNoise(level: number): Channel {
  let state = 1;
  return compute(() => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return level * (state / 1_073_741_824 - 1);
  });
}

export const silence: Channel = new Float64Array(lengthS * sampleRateHz);

/** The weighted sum of channels. */
export function add(...terms: readonly (readonly [number, Channel])[]): Channel {
  return silence.map((_, index) => terms.reduce((sum, [weight, channel]) => sum + weight * (channel[index] ?? 0), 0));
}

/** How a sound differs from the expected one: its level, and what does not belong to it, both in decibels. */
export function compareSound(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { readonly levelDb: number; readonly restDb: number } {
  let [common, power] = [0, 0];
  for (let index = 0; index < expected.length; index += 1) {
    common += (actual[index] ?? 0) * (expected[index] ?? 0);
    power += (expected[index] ?? 0) ** 2;
  }
  const gain = common / power;
  let rest = 0;
  for (let index = 0; index < expected.length; index += 1)
    rest += ((actual[index] ?? 0) - gain * (expected[index] ?? 0)) ** 2;
  return { levelDb: 20 * Math.log10(Math.max(gain, 1e-9)), restDb: 10 * Math.log10(rest / (gain ** 2 * power)) };
}
