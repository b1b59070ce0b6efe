import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { phonemeFigures, type PhonemeFigures } from '../../../../scripts/fit-mouth/phoneme-figures.ts';
import { loadSession, type OnnxSession } from '../../src/inference/onnx-session.ts';
import { readSpeech } from '../../src/media/sound/speech-reader.ts';
import { probeSpeech } from '../../src/media/sound/speech-probe.ts';
import {
  analyzeSpeech,
  loadMouthModel,
  voiceModelPath,
  type MouthModel,
  type SpeechAnalysis,
} from '../../src/audio/index.ts';
import { bestLag, energyPerFrame } from '../../src/testing/sync-metrics.ts';

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
  const { streamIndex } = await probeSpeech(path, { limits: { maxDurationMs: 120_000, maxDimensionPx: 4096 } });
  const chunks: Float32Array[] = [];
  for await (const chunk of readSpeech(path, { streamIndex })) chunks.push(chunk);
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

async function* inChunks(samples: Float32Array, length = 4000): AsyncGenerator<Float32Array> {
  for (let start = 0; start < samples.length; start += length) yield samples.subarray(start, start + length);
}

function analyze(
  samples: Float32Array,
  seconds = samples.length / sampleRateHz,
  frameRate = { numerator: 25, denominator: 1 },
): Promise<SpeechAnalysis> {
  const frameCount = Math.round((seconds * frameRate.numerator) / frameRate.denominator);
  return analyzeSpeech({
    chunks: inChunks(samples),
    timeline: { frameRate, frameCount },
    voiceSession,
    mouthModel,
    signal: new AbortController().signal,
  });
}

/** Deterministic noise. */
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

describe('analyzeSpeech on known phonemes, in a voice and words that the weights were not trained on', () => {
  let figures: PhonemeFigures;
  const mean = (vowel: string): { open: number; wide: number } =>
    figures.vowels.get(vowel) ?? { open: Number.NaN, wide: Number.NaN };

  beforeAll(async () => {
    const schema = z.array(z.object({ name: z.string(), startMs: z.number(), endMs: z.number() }));
    const phonemes = schema.parse(JSON.parse(await readFile(join(fixtures, 'known-phonemes.json'), 'utf8')));
    figures = phonemeFigures((await analyze(speech)).curve, phonemes, 25);
  });

  it('At least 80 % of p, b and m close the mouth within one frame.', () => {
    expect(figures.bilabials).toBeGreaterThanOrEqual(10);
    expect(figures.bilabialsClosed / figures.bilabials).toBeGreaterThanOrEqual(0.8);
  });

  it('Fewer than 60 % of the other consonants close the mouth.', () => {
    expect(figures.othersClosed / figures.others).toBeLessThan(0.6);
  });

  it('The mouth is wider for "ee" than for "oo".', () => {
    expect(mean('ee').wide).toBeGreaterThan(mean('oo').wide + 0.3);
  });

  it('The mouth opens widest for "ah".', () => {
    // The diphthongs of "eye" and "ow" begin with an "ah".
    const others = [...figures.vowels]
      .filter(([vowel]) => !['ah', 'eye', 'ow'].includes(vowel))
      .map(([, { open }]) => open);
    expect(others.length).toBeGreaterThan(4);
    expect(mean('ah').open).toBeGreaterThan(Math.max(...others));
  });
});

describe('analyzeSpeech on voices, silence and noise', () => {
  it('A voice is found and its level is measured.', async () => {
    const { report } = await analyze(speech);
    expect(report.voiceFound).toBe(true);
    expect(report.peakLevelDb).toBeGreaterThan(-25);
    expect(report.peakLevelDb).toBeLessThan(0);
  });

  it('Digital silence and an empty stream give a closed mouth and no level.', async () => {
    for (const samples of [silence(2), new Float32Array(0)]) {
      const { curve, report } = await analyze(samples, 2);
      expect(report).toEqual({ voiceFound: false, peakLevelDb: Number.NEGATIVE_INFINITY });
      expect([...curve.open, ...curve.wide, ...curve.closure, ...curve.voiced].every((value) => value === 0)).toBe(
        true,
      );
      expect(curve.open).toHaveLength(50);
    }
  });

  it('Steady noise does not move the mouth.', async () => {
    const { curve, report } = await analyze(noise(4, 0.02));
    expect(report.voiceFound).toBe(false);
    expect(report.peakLevelDb).toBeGreaterThan(-50);
    expect(Math.max(...curve.open)).toBeLessThan(0.1);
  });

  it('Intermittent sound without a voice moves the mouth moderately.', async () => {
    const beats = noise(4, 0.3).map(
      (sample, i) => sample * (Math.sin((2 * Math.PI * i) / sampleRateHz) > 0 ? 1 : 0.001),
    );
    const { curve, report } = await analyze(beats);
    expect(report.voiceFound).toBe(false);
    expect(Math.max(...curve.open)).toBeGreaterThan(0.3);
    expect(Math.max(...curve.open)).toBeLessThanOrEqual(0.5);
  });

  it('NaN samples give a finite curve.', async () => {
    const { curve } = await analyze(speech.map((sample, i) => (i % 1000 === 0 ? Number.NaN : sample)));
    expect(
      [...curve.open, ...curve.wide, ...curve.closure, ...curve.voiced].every((value) => Number.isFinite(value)),
    ).toBe(true);
  });
});

describe('analyzeSpeech on pauses', () => {
  it.each([
    ['in silence', 0],
    ['over background noise', 0.004],
  ])('The mouth closes in a pause of 0.4 s %s.', async (_, amplitude) => {
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

describe('analyzeSpeech on speech that ends within a voiced sound', () => {
  // Within vowels: at a frame boundary and between boundaries.
  it.each([1240, 1750, 1760, 4000])(
    'The mouth closes gradually when the clip continues after %i ms of speech.',
    async (endMs) => {
      const trimmed = speech.subarray(0, (endMs * sampleRateHz) / 1000);
      const { curve } = await analyze(trimmed, endMs / 1000 + 1);
      const { curve: padded } = await analyze(joined(trimmed, silence(1)));
      const lastVoiced = (await analyze(trimmed)).curve.voiced.at(-1);
      expect(lastVoiced).toBeGreaterThan(0.9);
      const drops = curve.voiced.map((value, frame) => (curve.voiced[frame - 1] ?? value) - value);
      expect(Math.max(...drops)).toBeLessThan(0.7);
      // The result matches a file that contains the silence.
      expect(largestDifference(curve.voiced, padded.voiced)).toBeLessThan(0.15);
      const closedFrom = Math.ceil((endMs + 100) / 40);
      expect(
        [...curve.open.subarray(closedFrom), ...curve.voiced.subarray(closedFrom)].every((value) => value === 0),
      ).toBe(true);
    },
  );
});

describe('The mouth curve', () => {
  it('The curve is the same on every run.', async () => {
    expect(await analyze(speech)).toEqual(await analyze(speech));
  });

  it('The curve does not depend on the level of the recording.', async () => {
    const [loud, quiet] = [await analyze(speech), await analyze(speech.map((sample) => sample / 10))];
    expect(largestDifference(loud.curve.open, quiet.curve.open)).toBeLessThan(0.1);
    expect(largestDifference(loud.curve.wide, quiet.curve.wide)).toBeLessThan(0.1);
  });

  it('Delayed speech gives the same curve, delayed.', async () => {
    // 0.32 s is a multiple of frames, steps and voice windows.
    const shiftFrames = 8;
    const plain = await analyze(joined(silence(0.32), speech));
    const shifted = await analyze(joined(silence(0.64), speech));
    expect(largestDifference(plain.curve.open, shifted.curve.open.subarray(shiftFrames))).toBeLessThan(0.05);
  });

  it('The curve at another frame rate shows the same mouth at the same time.', async () => {
    const seconds = speech.length / sampleRateHz;
    const slow = (await analyze(speech)).curve.open;
    const fast = (await analyze(speech, seconds, { numerator: 50, denominator: 1 })).curve.open;
    const halved = slow.map((_, i) => ((fast[2 * i] ?? 0) + (fast[2 * i + 1] ?? 0)) / 2);
    expect(bestLag(slow, halved, 2)).toMatchObject({ lag: 0 });
    expect(bestLag(slow, halved, 2).r).toBeGreaterThan(0.95);
  });

  it('The mouth is closed where the timeline is longer than the speech.', async () => {
    const end = Math.ceil((speech.length / sampleRateHz) * 25);
    const { curve } = await analyze(speech, speech.length / sampleRateHz + 3);
    expect(curve.open.subarray(end + 2).every((value) => value === 0)).toBe(true);
  });

  it('An aborted signal stops the analysis with the code canceled.', async () => {
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

describe.skipIf(clips === undefined)('analyzeSpeech on real voices (needs LIPSYNC_TEST_CLIPS_DIR)', () => {
  it.each(['speech-10s.wav', 'speech-long.wav', 'talk-844x844-25fps.mp4', 'talk-700x700-30fps.mp4'])(
    'The opening correlates with the sound energy of %s.',
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
