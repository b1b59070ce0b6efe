/** Speaks with espeak-ng and computes the mouth shape of each frame. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { clamp, smoothStep } from './drawing-math.ts';
import type { MouthShape } from './face-space.ts';

const execute = promisify(execFile);
const LIMITS = { timeout: 60_000, maxBuffer: 1 << 20 };

export type Voice = {
  /** An espeak-ng voice with a variant, as in `en-us+female3`. */
  readonly name: string;
  readonly wordsPerMinute: number;
  /** 0–99. */
  readonly pitch: number;
  /** The text; can contain SSML breaks. */
  readonly text: string;
};

/**
 * Writes the voice as a mono 16-bit WAV at 22.05 kHz. The raw voice is thin and noisy, so it is band-limited,
 * equalized, given slight reverberation, and normalized in loudness.
 */
export async function speak(voice: Voice, rawPath: string, wavPath: string): Promise<void> {
  const { name, wordsPerMinute, pitch, text } = voice;
  await execute(
    'espeak-ng',
    ['-v', name, '-s', String(wordsPerMinute), '-p', String(pitch), '-m', '-w', rawPath, text],
    LIMITS,
  );
  const filters = [
    'highpass=f=85',
    'equalizer=f=220:t=q:w=0.9:g=3',
    'equalizer=f=3200:t=q:w=1.2:g=-3',
    'lowpass=f=7200',
    'aecho=0.9:0.5:17|29|41:0.10|0.07|0.05',
    'loudnorm=I=-19:TP=-2:LRA=7',
    'aresample=22050',
  ];
  const format = ['-ac', '1', '-ar', '22050', '-c:a', 'pcm_s16le', '-bitexact'];
  await execute('ffmpeg', ['-v', 'error', '-y', '-i', rawPath, '-af', filters.join(','), ...format, wavPath], LIMITS);
}

type Sound = { readonly samples: Float32Array; readonly sampleRateHz: number };

/** Reads a mono 16-bit WAV file. Throws for another format. */
export async function readWav(path: string): Promise<Sound> {
  const file = await readFile(path);
  const dataAt = file.indexOf('data', 12, 'latin1');
  if (
    file.toString('latin1', 0, 4) !== 'RIFF' ||
    dataAt < 0 ||
    file.readUInt16LE(22) !== 1 ||
    file.readUInt16LE(34) !== 16
  ) {
    throw new Error(`${path} is not a mono 16-bit WAV file.`);
  }
  const length = Math.floor(Math.min(file.readUInt32LE(dataAt + 4), file.length - dataAt - 8) / 2);
  const samples = Float32Array.from({ length }, (_, index) => file.readInt16LE(dataAt + 8 + index * 2) / 32768);
  return { samples, sampleRateHz: file.readUInt32LE(24) };
}

export type VoiceFrame = MouthShape & {
  /** 0 silence – 1 maximum of this voice. */
  readonly loudness: number;
};

/**
 * Computes mouth shapes for a voice. An open jaw raises the first formant, so energy near 700 Hz opens the mouth.
 * Spread lips raise the second one, so the ratio of 2.2 kHz to 900 Hz spreads or purses it. Nasals and stops have
 * little of both.
 */
export function computeVoiceFrames(
  { samples, sampleRateHz }: Sound,
  frameCount: number,
  framesPerSecond: number,
): VoiceFrame[] {
  const powerOf = (centerHz: number, width: number): number[] =>
    framePower(bandPass(samples, sampleRateHz, centerHz, width), sampleRateHz, frameCount, framesPerSecond);
  const open = powerOf(720, 1.1);
  const back = powerOf(900, 1.4);
  const front = powerOf(2250, 1.6);
  const all = framePower(samples, sampleRateHz, frameCount, framesPerSecond);
  const peakOpen = Math.max(...open, 1e-9);
  const peakAll = Math.max(...all, 1e-9);
  const raw = open.map((power, frame) => {
    const loudness = smoothStep(-34, -4, decibels((all[frame] ?? 0) / peakAll));
    const tilt = decibels(((front[frame] ?? 0) + 1e-9) / ((back[frame] ?? 0) + 1e-9));
    return {
      loudness,
      opening: smoothStep(-27, -1, decibels(power / peakOpen)),
      spread: loudness * clamp((tilt + 9) / 12, -1, 1),
    };
  });
  return raw.map((frame, index) => ({
    loudness: frame.loudness,
    opening: weighted(raw, index, (each) => each.opening, [0.14, 0.72, 0.14]),
    spread: weighted(raw, index, (each) => each.spread, [0.28, 0.44, 0.28]),
  }));
}

function weighted(
  frames: readonly VoiceFrame[],
  center: number,
  read: (frame: VoiceFrame) => number,
  weights: readonly number[],
): number {
  let sum = 0;
  for (const [index, weight] of weights.entries()) {
    const frame = frames[clamp(center + index - 1, 0, frames.length - 1)];
    sum += weight * (frame === undefined ? 0 : read(frame));
  }
  return sum;
}

/** Mean power of the sound in each frame. */
function framePower(
  samples: Float32Array,
  sampleRateHz: number,
  frameCount: number,
  framesPerSecond: number,
): number[] {
  const stretch = sampleRateHz / framesPerSecond;
  return Array.from({ length: frameCount }, (_, frame) => {
    const from = Math.round(frame * stretch);
    let sum = 0;
    for (let index = from; index < from + stretch; index++) sum += (samples[index] ?? 0) ** 2;
    return sum / stretch;
  });
}

/** Second-order band-pass with unity gain at its center (Bristow-Johnson's audio EQ cookbook). */
function bandPass(samples: Float32Array, sampleRateHz: number, centerHz: number, widthOctaves: number): Float32Array {
  const omega = (2 * Math.PI * centerHz) / sampleRateHz;
  const alpha = Math.sin(omega) * Math.sinh((Math.LN2 / 2) * widthOctaves * (omega / Math.sin(omega)));
  const scale = 1 / (1 + alpha);
  const result = new Float32Array(samples.length);
  for (let n = 0; n < samples.length; n++) {
    const input = alpha * ((samples[n] ?? 0) - (samples[n - 2] ?? 0));
    const echo = -2 * Math.cos(omega) * (result[n - 1] ?? 0) + (1 - alpha) * (result[n - 2] ?? 0);
    result[n] = (input - echo) * scale;
  }
  return result;
}

function decibels(ratio: number): number {
  return 10 * Math.log10(Math.max(ratio, 1e-12));
}
