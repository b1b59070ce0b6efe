import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { phonemeFigures, type PhonemeFigures } from '../../../../scripts/fit-mouth/phoneme-figures.ts';
import { loadSession, type OnnxSession } from '../../src/inference/onnx-session.ts';
import { readSpeech } from '../../src/media/speech-reader.ts';
import {
  analyzeSpeech,
  loadMouthModel,
  voiceModelPath,
  type MouthModel,
  type SpeechAnalysis,
} from '../../src/audio/index.ts';
import { bestLag, energyPerFrame } from '../../src/testing/lip-judge.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const sampleRateHz = 16_000;
const clips = process.env['LIPSYNC_TEST_CLIPS_DIR'];

let voiceSession: OnnxSession;
let mouthModel: MouthModel;
let speech: Float32Array;

beforeAll(async () => {
  voiceSession = await loadSession(voiceModelPath(), { threads: 1 });
  mouthModel = await loadMouthModel();
  speech = await readAll(join(fixtures, 'known-phonemes.wav'));
});

afterAll(() => voiceSession.release());

async function readAll(path: string): Promise<Float32Array> {
  const chunks: Float32Array[] = [];
  for await (const chunk of readSpeech(path)) chunks.push(chunk);
  return joined(...chunks);
}

function joined(...parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let start = 0;
  for (const part of parts) {
    all.set(part, start);
    start += part.length;
  }
  return all;
}

async function* inPieces(samples: Float32Array, length = 4000): AsyncGenerator<Float32Array> {
  for (let start = 0; start < samples.length; start += length) yield samples.subarray(start, start + length);
}

function analyze(
  samples: Float32Array,
  seconds = samples.length / sampleRateHz,
  frameRate = { numerator: 25, denominator: 1 },
): Promise<SpeechAnalysis> {
  const frameCount = Math.round((seconds * frameRate.numerator) / frameRate.denominator);
  return analyzeSpeech({
    chunks: inPieces(samples),
    timeline: { frameRate, frameCount },
    voiceSession,
    mouthModel,
    signal: new AbortController().signal,
  });
}

/** Noise that is the same on every run. */
function noise(seconds: number, amplitude: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: seconds * sampleRateHz }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return amplitude * (state / 2 ** 31 - 1);
  });
}

const silence = (seconds: number): Float32Array => new Float32Array(seconds * sampleRateHz);
const largestDifference = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));

describe('speech with known phonemes, in a voice and words that the weights were not fitted on', () => {
  let figures: PhonemeFigures;
  const mean = (vowel: string): { open: number; wide: number } =>
    figures.vowels.get(vowel) ?? { open: Number.NaN, wide: Number.NaN };

  beforeAll(async () => {
    const schema = z.array(z.object({ name: z.string(), startMs: z.number(), endMs: z.number() }));
    const phonemes = schema.parse(JSON.parse(await readFile(join(fixtures, 'known-phonemes.json'), 'utf8')));
    figures = phonemeFigures((await analyze(speech)).curve, phonemes, 25);
  });

  it('closes at least 80 % of p, b and m within one frame', () => {
    expect(figures.bilabials).toBeGreaterThanOrEqual(10);
    expect(figures.bilabialsClosed / figures.bilabials).toBeGreaterThanOrEqual(0.8);
  });

  it('does not close on most other consonants', () => {
    expect(figures.othersClosed / figures.others).toBeLessThan(0.6);
  });

  it('is wider for "ee" than for "oo"', () => {
    expect(mean('ee').wide).toBeGreaterThan(mean('oo').wide + 0.3);
  });

  it('opens widest for "ah"', () => {
    // The vowels of "eye" and "ow" begin with an "ah" of their own.
    const others = [...figures.vowels]
      .filter(([vowel]) => !['ah', 'eye', 'ow'].includes(vowel))
      .map(([, { open }]) => open);
    expect(others.length).toBeGreaterThan(4);
    expect(mean('ah').open).toBeGreaterThan(Math.max(...others));
  });
});

describe('what is heard', () => {
  it('finds the voice and its level', async () => {
    const { report } = await analyze(speech);
    expect(report.voiceFound).toBe(true);
    expect(report.peakLevelDb).toBeGreaterThan(-25);
    expect(report.peakLevelDb).toBeLessThan(0);
  });

  it('takes digital silence, and no speech at all, for silence', async () => {
    for (const samples of [silence(2), new Float32Array(0)]) {
      const { curve, report } = await analyze(samples, 2);
      expect(report).toEqual({ voiceFound: false, peakLevelDb: Number.NEGATIVE_INFINITY });
      expect([...curve.open, ...curve.wide, ...curve.closure, ...curve.voiced].every((value) => value === 0)).toBe(
        true,
      );
      expect(curve.open).toHaveLength(50);
    }
  });

  it('does not move the mouth to steady noise', async () => {
    const { curve, report } = await analyze(noise(4, 0.02));
    expect(report.voiceFound).toBe(false);
    expect(report.peakLevelDb).toBeGreaterThan(-50);
    expect(Math.max(...curve.open)).toBeLessThan(0.1);
  });

  it('moves moderately to a sound that comes and goes without a voice', async () => {
    const beats = noise(4, 0.3).map(
      (sample, i) => sample * (Math.sin((2 * Math.PI * i) / sampleRateHz) > 0 ? 1 : 0.001),
    );
    const { curve, report } = await analyze(beats);
    expect(report.voiceFound).toBe(false);
    expect(Math.max(...curve.open)).toBeGreaterThan(0.3);
    expect(Math.max(...curve.open)).toBeLessThanOrEqual(0.5);
  });

  it('survives samples that are no numbers', async () => {
    const { curve } = await analyze(speech.map((sample, i) => (i % 1000 === 0 ? Number.NaN : sample)));
    expect(
      [...curve.open, ...curve.wide, ...curve.closure, ...curve.voiced].every((value) => Number.isFinite(value)),
    ).toBe(true);
  });
});

describe('pauses', () => {
  it.each([
    ['in silence', 0],
    ['over background noise', 0.004],
  ])('closes the mouth in a pause of 0.4 s %s', async (_, amplitude) => {
    const before = speech.subarray(0, 2.1 * sampleRateHz);
    const pause = silence(0.4);
    const spoken = joined(before, pause, before);
    const background = noise(spoken.length / sampleRateHz, amplitude);
    const { curve } = await analyze(spoken.map((sample, i) => sample + (background[i] ?? 0)));
    const middle = Math.floor(2.3 * 25);
    expect([...curve.open.subarray(middle - 1, middle + 2)]).toEqual([0, 0, 0]);
    expect(Math.max(...curve.open.subarray(0, middle - 5))).toBeGreaterThan(0.5);
  });
});

describe('speech that is trimmed so tightly that its last sound is a voice', () => {
  // In the middle of vowels, at the border of a frame and within one.
  it.each([1240, 1750, 1760, 4000])(
    'fades out where the clip goes on, instead of snapping shut within a frame (%i ms)',
    async (endMs) => {
      const trimmed = speech.subarray(0, (endMs * sampleRateHz) / 1000);
      const { curve } = await analyze(trimmed, endMs / 1000 + 1);
      const { curve: heard } = await analyze(joined(trimmed, silence(1)));
      const lastVoiced = (await analyze(trimmed)).curve.voiced.at(-1);
      expect(lastVoiced).toBeGreaterThan(0.9);
      const drops = curve.voiced.map((value, frame) => (curve.voiced[frame - 1] ?? value) - value);
      expect(Math.max(...drops)).toBeLessThan(0.7);
      // As where the silence is in the file.
      expect(largestDifference(curve.voiced, heard.voiced)).toBeLessThan(0.15);
      const closedFrom = Math.ceil((endMs + 100) / 40);
      expect(
        [...curve.open.subarray(closedFrom), ...curve.voiced.subarray(closedFrom)].every((value) => value === 0),
      ).toBe(true);
    },
  );
});

describe('the curve', () => {
  it('is the same on every run', async () => {
    expect(await analyze(speech)).toEqual(await analyze(speech));
  });

  it('is the same for the same speech 20 dB quieter', async () => {
    const [loud, quiet] = [await analyze(speech), await analyze(speech.map((sample) => sample / 10))];
    expect(largestDifference(loud.curve.open, quiet.curve.open)).toBeLessThan(0.1);
    expect(largestDifference(loud.curve.wide, quiet.curve.wide)).toBeLessThan(0.1);
  });

  it('comes later by as much as the speech does', async () => {
    // 0.32 s is a whole number of frames, steps and voice windows.
    const shiftFrames = 8;
    const plain = await analyze(joined(silence(0.32), speech));
    const shifted = await analyze(joined(silence(0.64), speech));
    expect(largestDifference(plain.curve.open, shifted.curve.open.subarray(shiftFrames))).toBeLessThan(0.05);
  });

  it('shows the same mouth at the same time at another frame rate', async () => {
    const seconds = speech.length / sampleRateHz;
    const slow = (await analyze(speech)).curve.open;
    const fast = (await analyze(speech, seconds, { numerator: 50, denominator: 1 })).curve.open;
    const halved = slow.map((_, i) => ((fast[2 * i] ?? 0) + (fast[2 * i + 1] ?? 0)) / 2);
    expect(bestLag(slow, halved, 2)).toMatchObject({ lag: 0 });
    expect(bestLag(slow, halved, 2).r).toBeGreaterThan(0.95);
  });

  it('covers a timeline that is longer than the speech with a closed mouth', async () => {
    const end = Math.ceil((speech.length / sampleRateHz) * 25);
    const { curve } = await analyze(speech, speech.length / sampleRateHz + 3);
    expect(curve.open.subarray(end + 2).every((value) => value === 0)).toBe(true);
  });

  it('stops when it is canceled', async () => {
    const controller = new AbortController();
    async function* canceledMidway(): AsyncGenerator<Float32Array> {
      yield speech.subarray(0, 16_000);
      controller.abort();
      yield speech.subarray(16_000);
    }
    const timeline = { frameRate: { numerator: 25, denominator: 1 }, frameCount: 100 };
    const analysis = analyzeSpeech({
      chunks: canceledMidway(),
      timeline,
      voiceSession,
      mouthModel,
      signal: controller.signal,
    });
    await expect(analysis).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe.skipIf(clips === undefined)('real voices (needs LIPSYNC_TEST_CLIPS_DIR)', () => {
  it.each(['speech-10s.wav', 'speech-long.wav', 'talk-844x844-25fps.mp4', 'talk-700x700-30fps.mp4'])(
    'opens with the energy of %s',
    async (name) => {
      const samples = await readAll(join(clips ?? '', name));
      const { curve } = await analyze(samples);
      const energy = energyPerFrame(samples, sampleRateHz, 25, curve.open.length);
      const energyDb = energy.map((value) => 20 * Math.log10(Math.max(value, 1e-4)));
      for (const series of [energy, energyDb]) {
        const { lag, r } = bestLag(series, curve.open, 5);
        expect(Math.abs(lag)).toBeLessThanOrEqual(1);
        expect(r).toBeGreaterThanOrEqual(0.6);
      }
    },
  );
});
