import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resample } from './resample.ts';
import type { Utterance } from './utterances.ts';

/** One speech sound; an empty `name` is a pause. `name` is IPA. */
export interface Phoneme {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

export interface Spoken {
  /** 16 kHz, mono. */
  readonly samples: Float32Array;
  readonly phonemes: readonly Phoneme[];
}

const timeLimitMs = 60_000;
const outputRateHz = 16_000;

/** Compiles the helper into `folder` and returns a function that speaks. The caller deletes the folder. */
export function prepareEspeak(folder: string): (utterance: Utterance) => Spoken {
  const helper = join(folder, 'espeak-phonemes');
  const source = fileURLToPath(new URL('espeak-phonemes.c', import.meta.url));
  execFileSync('cc', ['-O1', '-Wall', '-o', helper, source, '-lespeak-ng'], { timeout: timeLimitMs });
  const soundPath = join(folder, 'sound.raw');
  const phonemePath = join(folder, 'phonemes.tsv');

  return ({ voice, wordsPerMinute, pitch, text }) => {
    execFileSync(helper, [voice, String(wordsPerMinute), String(pitch), soundPath, phonemePath], {
      input: text,
      timeout: timeLimitMs,
    });
    const bytes = readFileSync(soundPath);
    const [rateLine = '', ...lines] = readFileSync(phonemePath, 'utf8').split('\n');
    const samples = Float32Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readInt16LE(2 * i) / 32_768);
    const durationMs = (samples.length * 1000) / Number(rateLine);
    return { samples: resample(samples, outputRateHz / Number(rateLine)), phonemes: parsePhonemes(lines, durationMs) };
  };
}

function parsePhonemes(lines: readonly string[], durationMs: number): Phoneme[] {
  const events = lines
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
    .map(([time = '', name = '']) => ({ startMs: Number(time), name }));
  return events
    .map(({ startMs, name }, index) => ({ name, startMs, endMs: events[index + 1]?.startMs ?? durationMs }))
    .filter(({ startMs, endMs }) => endMs > startMs);
}
