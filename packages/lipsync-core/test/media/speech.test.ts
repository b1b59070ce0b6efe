import { execFile } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { probeSpeech, probeTake, readMonoSound, readSpeech } from '../../src/media/index.ts';
import type { SpeechReadOptions } from '../../src/media/sound/speech-reader.ts';
import { writeFloatWav } from '../../src/testing/synthetic-inputs.ts';
import { limits, makeMedia, makeSpeech, passThrough, temporaryFolder, x264 } from './make-media.ts';

async function joined(stream: AsyncIterable<Float32Array>): Promise<{ samples: Float32Array; largestChunk: number }> {
  const chunks: Float32Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const samples = new Float32Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    samples.set(chunk, offset);
    offset += chunk.length;
  }
  return { samples, largestChunk: Math.max(...chunks.map(({ length }) => length)) };
}

async function collect(path: string, options: Partial<SpeechReadOptions> = {}) {
  const stream = readSpeech(path, { streamIndex: 0, ...options });
  return { ...(await joined(stream)), nanSamples: stream.nanSamples };
}

/** The sound of a take as samples at its original rate. */
async function soundOf(path: string): Promise<Float32Array> {
  const { stdout } = await promisify(execFile)(
    'ffmpeg',
    ['-loglevel', 'error', '-i', path, '-f', 'f32le', '-ac', '1', '-'],
    { encoding: 'buffer', maxBuffer: 2 ** 26 },
  );
  return new Float32Array(new Uint8Array(stdout).buffer);
}

const loudest = (samples: Float32Array): number =>
  samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);

describe('readSpeech', () => {
  it('Speech is decoded to mono at 16 kHz in small chunks from every source format.', async () => {
    const folder = await temporaryFolder();
    const path = await makeSpeech(join(folder, 'speech.flac'), 3, '-ar', '44100', '-ac', '2');
    const { samples, nanSamples, largestChunk } = await collect(path);
    expect(Math.abs(samples.length - 48_000)).toBeLessThanOrEqual(16);
    expect(nanSamples).toBe(0);
    expect(largestChunk).toBeLessThanOrEqual(65_536);
    expect(loudest(samples)).toBeGreaterThan(0.05);
  });

  it('Non-finite samples are replaced by silence and counted.', async () => {
    const folder = await temporaryFolder();
    const source = Float32Array.from({ length: 16_000 }, (_, index) => 0.5 * Math.sin(index / 10));
    source.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], 1_000);
    source[5] = 7;
    await writeFloatWav(join(folder, 'broken.wav'), source, 16_000);
    const { samples, nanSamples } = await collect(join(folder, 'broken.wav'));
    expect(samples).toHaveLength(16_000);
    expect(nanSamples).toBe(3);
    expect(samples.slice(1_000, 1_003)).toEqual(new Float32Array(3));
    expect(samples[5]).toBe(1);
  });

  it('Saved speech is read without decoding, with the same samples, and only if it was read to its end.', async () => {
    const folder = await temporaryFolder();
    const [path, samplesPath] = [join(folder, 'speech.wav'), join(folder, 'samples')];
    const source = Float32Array.from({ length: 90_000 }, (_, index) => 1.5 * Math.sin(index / 10));
    source[1_000] = Number.NaN;
    await writeFloatWav(path, source, 16_000);
    for await (const _ of readSpeech(path, { streamIndex: 0, saveTo: samplesPath })) break;
    expect(await readdir(folder)).toEqual(['speech.wav']);
    const decoded = await collect(path, { saveTo: samplesPath });
    const mono = await joined(readMonoSound(path, { streamIndex: 0 }));
    await rm(path);
    const saved = { streamIndex: 0, samplesPath };
    expect(await collect(path, saved)).toEqual({ ...decoded, largestChunk: expect.any(Number) });
    expect((await joined(readMonoSound(path, saved))).samples).toEqual(mono.samples);
  });

  it('The duration of an MP3 without a table of contents is measured by decoding.', async () => {
    const folder = await temporaryFolder();
    const path = await makeSpeech(join(folder, 'speech.mp3'), 3, '-write_xing', '0', '-q:a', '9');
    expect((await probeSpeech(path, { limits })).durationMs / 1000).toBeCloseTo(3, 0);
  });
});

describe('Sound of a take', () => {
  it('A take of speech audio with non-finite samples has finite sound.', async () => {
    const folder = await temporaryFolder();
    const source = Float32Array.from({ length: 22_050 }, (_, index) =>
      index % 100 === 50 ? Number.NaN : 0.3 * Math.sin(index / 10),
    );
    source[7] = Number.POSITIVE_INFINITY;
    await writeFloatWav(join(folder, 'broken.wav'), source, 22_050);
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=128x96:r=25:d=0.4',
      ...x264,
      join(folder, 'clip.mp4'),
    );
    const { takePath } = await passThrough(folder, clipPath, join(folder, 'broken.wav'));
    const sound = await soundOf(takePath);
    expect(sound.every(Number.isFinite)).toBe(true);
    expect(loudest(sound)).toBeGreaterThan(0.2);
    expect(loudest(sound)).toBeLessThan(0.6);
  });

  it('The sound of a take starts with the speech and is silent after its end.', async () => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=128x96:r=25:d=2',
      ...x264,
      join(folder, 'clip.mp4'),
    );
    const { takePath } = await passThrough(
      folder,
      clipPath,
      await makeSpeech(join(folder, 'speech.wav'), 1),
      'silence',
    );
    const sound = await soundOf(takePath);
    const { audioDurationMs } = await probeTake(takePath);
    expect(audioDurationMs).toBeCloseTo(2_000, -1);
    expect(loudest(sound.slice(0, 2_400))).toBeGreaterThan(0.05);
    expect(loudest(sound.slice(52_800))).toBeLessThan(0.001);
  });
});
