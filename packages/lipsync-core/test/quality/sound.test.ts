import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { voiceModelPath } from '../../src/audio/index.ts';
import { loadSession } from '../../src/inference/onnx-session.ts';
import { scoreDnsmos } from '../../src/quality/sound/dnsmos.ts';
import { temporaryFolder } from '../media/make-media.ts';
import {
  createRandom,
  joinSamples,
  loadSound,
  soundFaults,
  writeSound,
  type Sound,
} from '../../src/testing/sound-faults.ts';
import { codesOf, measureFile, samplesFolder, type MeasuredSound } from './sound-fixture.ts';

const modelsFolder = process.env['LIPSYNC_TEST_MODELS_DIR'];
const vectorsFolder = process.env['LIPSYNC_TEST_VECTORS_DIR'];
const clipsFolder = process.env['LIPSYNC_TEST_CLIPS_DIR'];
const speechPath = join(samplesFolder, 'speech.wav');

let speech: Sound;
beforeAll(async () => {
  speech = await loadSound(speechPath);
});

async function measure(sound: Sound, options: { readonly speechPath?: string } = {}): Promise<MeasuredSound> {
  return measureFile(await writeSound(join(await temporaryFolder(), 'sound.wav'), sound), options);
}

describe('The sound of a video', { timeout: 120_000 }, () => {
  it('The recorded speech of the project and the sound of its sample video have no defects.', async () => {
    for (const path of [speechPath, join(samplesFolder, 'presenter.mp4')])
      expect(codesOf(await measureFile(path))).toEqual([]);
  });

  it.each(Object.entries(soundFaults))(
    'Each level of the fault %s lowers the score of its own part.',
    async (_name, { part, levels, make }) => {
      const scoreOf = async (sound: Sound): Promise<number> =>
        (await measure(sound, part === 'speech_skips' ? { speechPath } : {})).parts[part]?.score ?? NaN;
      const scores = [await scoreOf(speech)];
      for (const level of levels) scores.push(await scoreOf(make(speech, level)));
      for (const [index, score] of scores.entries()) {
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
        if (index > 0) expect(score).toBeLessThan(scores[index - 1] ?? 0);
      }
      expect(scores.at(-1)).toBeLessThan(0.5);
    },
  );

  it('Clipped, noisy, band-limited, interrupted and silent sound get their labels with ranges.', async () => {
    const { clipping, noise, dropouts } = soundFaults;
    const silence = new Float32Array(4 * speech.sampleRateHz);
    const found = {
      clipped: await measure(clipping.make(speech, 4)),
      noisy: await measure(noise.make(speech, 5)),
      bandLimited: await measure(soundFaults['low-pass'].make(speech, 3400)),
      interrupted: await measure(dropouts.make(speech, 0.1)),
      silent: await measure({ ...speech, samples: joinSamples([speech.samples, silence]) }),
    };
    expect(codesOf(found.clipped)).toContain('audio_clipped');
    expect(codesOf(found.noisy)).toContain('audio_noisy');
    expect(codesOf(found.bandLimited)).toEqual(['band_limited']);
    expect(codesOf(found.interrupted)).toContain('audio_gap');
    expect(codesOf(found.silent)).toEqual(['audio_silent']);
    const [range] = found.silent.labels[0]?.ranges ?? [];
    expect(range?.startMs).toBeGreaterThan(6_500);
    expect(range?.endMs).toBeGreaterThan(10_800);
  });

  it('Samples above full scale count as clipped, and a sine does not.', async () => {
    const sine = Float32Array.from({ length: 2 * speech.sampleRateHz }, (_, i) => 0.5 * Math.sin(i / 10));
    expect((await measure({ ...speech, samples: sine })).parts['clipped_samples']?.value).toBe(0);
    const loud = (await measure({ ...speech, samples: speech.samples.map((sample) => 4 * sample) })).parts;
    expect(loud['clipped_samples']?.value).toBeGreaterThan(0.001);
  });

  it('One damaged channel of two is found.', async () => {
    const damaged = soundFaults.dropouts.make(soundFaults.clipping.make(speech, 4), 0).samples;
    const stereo = new Float32Array(2 * speech.samples.length);
    speech.samples.forEach((sample, i) => stereo.set([sample, damaged[i] ?? 0], 2 * i));
    expect(codesOf(await measure({ ...speech, channels: 2, samples: stereo }))).toContain('audio_clipped');
  });

  it('Channels that cancel each other are a defect of their own, not another speech.', async () => {
    const stereo = new Float32Array(2 * speech.samples.length);
    speech.samples.forEach((sample, i) => stereo.set([sample, -sample], 2 * i));
    const measured = await measure({ ...speech, channels: 2, samples: stereo }, { speechPath });
    expect(codesOf(measured)).toEqual(['channels_cancel']);
    expect(measured.parts['speech_correlation']).toMatchObject({
      value: null,
      reason: 'The channels of the sound cancel each other.',
    });
  });

  it('A model that is not DNSMOS leaves the other parts measured.', async () => {
    const { parts } = await measureFile(speechPath, { dnsmosPath: voiceModelPath() });
    expect(parts['dnsmos_overall']).toMatchObject({
      value: null,
      reason: expect.stringContaining('DNSMOS_MODEL_PATH'),
    });
    expect(parts['loudness']?.score).toBe(1);
  });

  it('Parts that need speech are null with the reason for sound without speech.', async () => {
    const random = createRandom(5);
    const noise = Float32Array.from({ length: 3 * speech.sampleRateHz }, () => 0.1 * random());
    const { parts } = await measure({ ...speech, samples: noise });
    expect(parts['speech_to_noise']).toMatchObject({
      value: null,
      score: null,
      reason: 'The sound contains no voice.',
    });
    expect(parts['loudness']?.value).toBeLessThan(-10);
  });

  it('Digital silence is bad by its silence, and nothing else is known about it.', async () => {
    const { parts } = await measure({ ...speech, samples: new Float32Array(4 * speech.sampleRateHz) });
    expect(parts['silence']).toMatchObject({ value: 1, score: 0 });
    for (const name of ['loudness', 'bandwidth', 'speech_to_noise', 'dnsmos_overall'])
      expect(parts[name]).toMatchObject({ value: null, score: null, reason: expect.stringContaining('.') });
  });
});

describe('Agreement with the given speech', { timeout: 120_000 }, () => {
  const shift = (ms: number): Sound => {
    const count = Math.round((ms * speech.sampleRateHz) / 1000);
    const samples = count < 0 ? speech.samples.slice(-count) : joinSamples([new Float32Array(count), speech.samples]);
    return { ...speech, samples };
  };

  it.each([-300, -10, 0, 10, 300])('A delay of %i ms is measured to a sample.', async (delayMs) => {
    const measured = await measure(shift(delayMs), { speechPath });
    expect(measured.parts['speech_delay']?.value).toBeCloseTo(delayMs, 1);
    expect(measured.parts['speech_correlation']?.value).toBeGreaterThan(0.9);
    expect(codesOf(measured)).toEqual(Math.abs(delayMs) > 45 ? ['sound_shifted'] : []);
  });

  it('Reversed speech is not the given speech, and its delay is null with the reason.', async () => {
    const measured = await measure({ ...speech, samples: speech.samples.slice().reverse() }, { speechPath });
    expect(codesOf(measured)).toEqual(['sound_differs']);
    expect(measured.parts['speech_delay']).toMatchObject({ value: null, reason: 'The sound is not the given speech.' });
    expect(measured.parts['speech_correlation']?.score).toBeLessThan(0.1);
  });

  it('Speech that the sound lacks is missing, and silence of the given speech is not.', async () => {
    const samples = speech.samples.slice();
    samples.fill(0, 2 * speech.sampleRateHz, 4 * speech.sampleRateHz);
    const path = await writeSound(join(await temporaryFolder(), 'with-pause.wav'), { ...speech, samples });
    const lacking = await measureFile(path, { speechPath });
    expect(codesOf(lacking)).toContain('speech_missing');
    expect(lacking.parts['missing_speech']?.value).toBeGreaterThan(0.15);
    const expected = await measureFile(path, { speechPath: path });
    expect(codesOf(expected)).toEqual([]);
    expect(expected.parts['silence']?.value).toBe(0);
  });
});

const vectorsSchema = z.object({
  cases: z.record(z.string(), z.object({ mapped: z.object({ sig: z.number(), bak: z.number(), ovr: z.number() }) })),
});

describe.skipIf(!modelsFolder || !vectorsFolder || !clipsFolder)('DNSMOS', { timeout: 300_000 }, () => {
  const stored = async (name: string): Promise<Float32Array> => {
    const bytes = await readFile(join(vectorsFolder ?? '', 'dnsmos', name));
    return Float32Array.from(new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)));
  };
  const toInt16 = (value: number): number => Math.max(-32_768, Math.min(32_767, Math.round(value)));

  it('Scores are within 0.01 of those of the authors’ network for clean and damaged speech.', async () => {
    const modelPath = join(modelsFolder ?? '', 'dnsmos-p835-sig-bak-ovr.onnx');
    const session = await loadSession(modelPath, { threads: 1 });
    const clean = (await loadSound(join(clipsFolder ?? '', 'speech-10s.wav'))).samples.map((sample) => sample * 32_768);
    const noise = await stored('noise.s16');
    const noisy = (factor: number): Float32Array => clean.map((value, i) => toInt16(value + factor * (noise[i] ?? 0)));
    const inputs: Readonly<Record<string, Float32Array>> = {
      clean,
      noise20: noisy(0.111996),
      noise10: noisy(0.354162),
      noise0: noisy(1.11996),
      clip: clean.map((value) => toInt16(8 * value)),
      lowpass3400: await stored('lowpass3400.s16'),
      mp3_16k: await stored('mp3_16k.s16'),
      silence: new Float32Array(153_600),
      short4s: clean.slice(16_000, 80_000),
    };
    const { cases } = vectorsSchema.parse(JSON.parse(await readFile(join(vectorsFolder ?? '', 'dnsmos.json'), 'utf8')));
    for (const [name, samples] of Object.entries(inputs)) {
      const chunks = (async function* () {
        yield samples.map((value) => value / 32_768);
      })();
      const scores = await scoreDnsmos(chunks, { session, sampleCount: samples.length, maxWindows: Infinity });
      const { sig, bak, ovr } = cases[name]?.mapped ?? { sig: NaN, bak: NaN, ovr: NaN };
      expect(Math.abs((scores?.signal ?? NaN) - sig), `${name} SIG`).toBeLessThan(0.01);
      expect(Math.abs((scores?.background ?? NaN) - bak), `${name} BAK`).toBeLessThan(0.01);
      expect(Math.abs((scores?.overall ?? NaN) - ovr), `${name} OVRL`).toBeLessThan(0.01);
    }
    await session.release();
  });

  it('Own parts see what DNSMOS does not: a narrow band, MP3 at 16 kbit/s, digital silence.', async () => {
    const sound = async (name: string): Promise<MeasuredSound> =>
      measure({ samples: (await stored(name)).map((value) => value / 32_768), sampleRateHz: 16_000, channels: 1 });
    const narrow = await sound('lowpass3400.s16');
    const coded = await sound('mp3_16k.s16');
    const clean = await measureFile(join(clipsFolder ?? '', 'speech-10s.wav'));
    expect(codesOf(narrow)).toEqual(['band_limited']);
    expect(narrow.parts['bandwidth']?.score).toBeLessThan(0.45);
    expect(coded.parts['bandwidth']?.score).toBeLessThan((clean.parts['bandwidth']?.score ?? 0) - 0.1);
    expect(codesOf(clean)).toEqual([]);
  });
});
