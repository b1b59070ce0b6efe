import { writeFileSync } from 'node:fs';
import type { Spoken } from './espeak.ts';

const folder = new URL('../../packages/lipsync-core/test/audio/fixtures/', import.meta.url);
const sampleRateHz = 16_000;

/** Writes an utterance as a 16-bit WAV file and its phoneme times as JSON. */
export function writeFixture({ samples, phonemes }: Spoken): void {
  writeFileSync(new URL('known-phonemes.wav', folder), toWav(samples));
  const rounded = phonemes.map(({ name, startMs, endMs }) => ({
    name,
    startMs: Math.round(startMs),
    endMs: Math.round(endMs),
  }));
  writeFileSync(
    new URL('known-phonemes.json', folder),
    `[\n${rounded.map((phoneme) => `  ${JSON.stringify(phoneme)}`).join(',\n')}\n]\n`,
  );
}

/** Encodes 16-bit mono PCM with the 44-byte WAV header. */
function toWav(samples: Float32Array): Uint8Array {
  const wav = Buffer.alloc(44 + 2 * samples.length);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(36 + 2 * samples.length, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(sampleRateHz, 24);
  wav.writeUInt32LE(2 * sampleRateHz, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, i) => wav.writeInt16LE(Math.round(Math.max(-1, Math.min(1, sample)) * 32_767), 44 + 2 * i));
  return wav;
}
