import type { Spoken } from './espeak.ts';
import type { Random } from './random.ts';
import { resample } from './resample.ts';

const echoCount = 60;

/** Varies vocal tract, room, microphone, noise and level of a recording. Phoneme times stay exact. */
export function augment(spoken: Spoken, random: Random): Spoken {
  const stretched = random.chance(0.8) ? stretch(spoken, random.between(0.84, 1.2)) : spoken;
  let samples = tilt(stretched.samples, random.between(-0.6, 0.8));
  if (random.chance(0.35)) samples = addRoom(samples, random);
  if (random.chance(0.2)) samples = lowPass(samples, random.between(3200, 6000));
  if (random.chance(0.7)) samples = addNoise(samples, random.between(12, 50), random);
  const gain = 10 ** (random.between(-25, 5) / 20);
  return { samples: samples.map((sample) => sample * gain), phonemes: stretched.phonemes };
}

/** Changes speed, pitch and formants together, like a tape. */
function stretch({ samples, phonemes }: Spoken, ratio: number): Spoken {
  return {
    samples: resample(samples, ratio),
    phonemes: phonemes.map(({ name, startMs, endMs }) => ({ name, startMs: startMs * ratio, endMs: endMs * ratio })),
  };
}

/** Positive amounts attenuate low frequencies, negative ones high frequencies. */
function tilt(samples: Float32Array, amount: number): Float32Array {
  return samples.map((sample, i) => sample - amount * (samples[i - 1] ?? 0));
}

function addRoom(samples: Float32Array, random: Random): Float32Array {
  const decaySamples = random.between(600, 2400);
  const strength = random.between(0.03, 0.12);
  const result = Float32Array.from(samples);
  for (let echo = 0; echo < echoCount; echo++) {
    const delay = Math.round(random.between(40, 3 * decaySamples));
    const gain = strength * random.normal() * Math.exp(-delay / decaySamples);
    for (let i = delay; i < samples.length; i++) result[i] = (result[i] ?? 0) + gain * (samples[i - delay] ?? 0);
  }
  return result;
}

function lowPass(samples: Float32Array, cutoffHz: number): Float32Array {
  const pole = Math.exp((-2 * Math.PI * cutoffHz) / 16_000);
  let first = 0;
  let second = 0;
  return samples.map((sample) => {
    first = (1 - pole) * sample + pole * first;
    second = (1 - pole) * first + pole * second;
    return second;
  });
}

/** White to brown noise, `ratioDb` below the mean power of the speech. */
function addNoise(samples: Float32Array, ratioDb: number, random: Random): Float32Array {
  const color = random.between(0, 0.97);
  let state = 0;
  const noise = samples.map(() => (state = color * state + random.normal()));
  const power = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0) / values.length;
  const gain = Math.sqrt(power(samples) / power(noise) / 10 ** (ratioDb / 10));
  return samples.map((sample, i) => sample + gain * (noise[i] ?? 0));
}
