import { writeFile } from 'node:fs/promises';
import { probeSound, readSound } from '../media/index.ts';

/** Interleaved samples; 1 is full scale. */
export interface Sound {
  readonly samples: Float32Array;
  readonly sampleRateHz: number;
  readonly channels: number;
}

export async function loadSound(path: string): Promise<Sound> {
  const format = await probeSound(path);
  if (!format) throw new Error(`${path} has no sound.`);
  const chunks: Float32Array[] = [];
  for await (const chunk of readSound(path, format)) chunks.push(chunk.slice());
  return { samples: joinSamples(chunks), ...format };
}

export function joinSamples(chunks: readonly Float32Array[]): Float32Array {
  const samples = new Float32Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let position = 0;
  for (const chunk of chunks) {
    samples.set(chunk, position);
    position += chunk.length;
  }
  return samples;
}

/** Writes a WAV file of 32-bit floats, which holds values above full scale. */
export async function writeSound(path: string, { samples, sampleRateHz, channels }: Sound): Promise<string> {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(3, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(sampleRateHz, 24);
  header.writeUInt32LE(sampleRateHz * channels * 4, 28);
  header.writeUInt16LE(channels * 4, 32);
  header.writeUInt16LE(32, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(samples.byteLength, 40);
  await writeFile(path, Buffer.concat([header, Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)]));
  return path;
}

/** Reproducible values, uniform in −1…1. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => ((state = (state * 16_807) % 2_147_483_647) / 2_147_483_647) * 2 - 1;
}

/** Faults of a mono sound, each with a strength; pure. */
export const soundFaults = {
  noise: {
    unit: 'dB',
    part: 'speech_to_noise',
    levels: [40, 30, 20, 10, 0],
    make: (sound: Sound, ratioDb: number): Sound => addNoise(sound, ratioDb),
  },
  clipping: {
    unit: 'gain',
    part: 'clipped_samples',
    levels: [1.5, 2, 3, 5, 8],
    make: (sound: Sound, gain: number): Sound => clip(sound, gain),
  },
  'low-pass': {
    unit: 'Hz',
    part: 'bandwidth',
    levels: [7000, 5000, 3400, 2000, 1000],
    make: (sound: Sound, hertz: number): Sound => lowPass(sound, hertz),
  },
  dropouts: {
    unit: 'ratio',
    part: 'sound_gaps',
    levels: [0.02, 0.05, 0.1, 0.2],
    make: (sound: Sound, share: number): Sound => silencePackets(sound, share),
  },
  'removed packets': {
    unit: 'ratio',
    part: 'speech_skips',
    levels: [0.01, 0.03, 0.06, 0.12],
    make: (sound: Sound, share: number): Sound => removePackets(sound, share),
  },
} as const;

function addNoise(sound: Sound, ratioDb: number): Sound {
  const random = createRandom(3);
  const power = sound.samples.reduce((sum, sample) => sum + sample ** 2, 0) / sound.samples.length;
  const scale = Math.sqrt((3 * power) / 10 ** (ratioDb / 10));
  return { ...sound, samples: sound.samples.map((sample) => sample + scale * random()) };
}

function clip(sound: Sound, gain: number): Sound {
  const peak = sound.samples.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
  return { ...sound, samples: sound.samples.map((sample) => Math.max(-1, Math.min(1, (sample * gain) / peak))) };
}

/** A windowed sinc of 255 taps. */
function lowPass(sound: Sound, hertz: number): Sound {
  const center = 127;
  const cutoff = hertz / sound.sampleRateHz;
  const taps = Float64Array.from({ length: 2 * center + 1 }, (_, i) => {
    const x = 2 * Math.PI * cutoff * (i - center);
    const sinc = i === center ? 2 * cutoff : Math.sin(x) / (Math.PI * (i - center));
    return sinc * (0.54 - 0.46 * Math.cos((Math.PI * i) / center));
  });
  const samples = sound.samples.map((_, n) => {
    let sum = 0;
    for (let i = 0; i < taps.length; i += 1) sum += (taps[i] ?? 0) * (sound.samples[n - i + center] ?? 0);
    return sum;
  });
  return { ...sound, samples };
}

/** Silences packets of 20 ms. The packets of a smaller share are among those of a larger one. */
function silencePackets(sound: Sound, share: number): Sound {
  const random = createRandom(7);
  const samples = sound.samples.slice();
  const packet = Math.round(sound.sampleRateHz / 50) * sound.channels;
  for (let start = 0; start + packet <= samples.length; start += packet)
    if ((random() + 1) / 2 < share) samples.fill(0, start, start + packet);
  return { ...sound, samples };
}

/** Removes packets of 20 ms, so that all later sound comes earlier. */
function removePackets(sound: Sound, share: number): Sound {
  const random = createRandom(7);
  const packet = Math.round(sound.sampleRateHz / 50) * sound.channels;
  const kept: Float32Array[] = [];
  for (let start = 0; start < sound.samples.length; start += packet)
    if ((random() + 1) / 2 >= share) kept.push(sound.samples.subarray(start, start + packet));
  return { ...sound, samples: joinSamples(kept) };
}
