import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listMixWarnings } from '../../src/jobs/mix-warnings.ts';
import {
  planTimeline,
  probeClip,
  probeSpeech,
  readSpeech,
  writeSpeechTrack,
  type SpeechFacts,
} from '../../src/media/index.ts';
import { limits, makeMedia, makeNumberedClip, passThrough, temporaryFolder } from './make-media.ts';
import {
  add,
  compareSound,
  makeNoise,
  makeVoice,
  sampleRateHz,
  silence,
  writePlainWav,
  type Channel,
  type PlainWavOptions,
} from './plain-wav.ts';
import { readPlainWav } from './sound-bursts.ts';

const voice = makeVoice();
const reply = makeVoice(310, (timeS) => timeS % 1 >= 0.7);
const noise = makeNoise(0.3);
const scaled = (factor: number, channel = voice): Channel => add([factor, channel]);

let sharedFolder: string;
/** The clip of every take. */
let clipPath: string;
beforeAll(async () => {
  sharedFolder = await mkdtemp(join(tmpdir(), 'lipsync-channels-'));
  clipPath = await makeNumberedClip(join(sharedFolder, 'clip.mp4'), 50);
});
afterAll(() => rm(sharedFolder, { recursive: true, force: true }));

/** The voice in a microphone further away. */
const echo = (factor: number, delayS: number): Channel =>
  voice.map((_, index) => factor * (voice[index - Math.round(delayS * sampleRateHz)] ?? 0));

/** Six, ten or more channels, of which some hold a voice. */
function onChannels(count: number, ...voices: readonly (readonly [number, Channel])[]): readonly Channel[] {
  return Array.from({ length: count }, (_, index) => voices.find(([number]) => number === index + 1)?.[1] ?? silence);
}

interface Analyzed {
  readonly samples: readonly number[];
  readonly facts: SpeechFacts;
}

/** The sound that is analyzed, at 16 kHz. */
async function analyze(path: string): Promise<Analyzed> {
  const targetPath = join(await temporaryFolder(), 'speech.wav');
  const facts = await probeSpeech(path, { limits, targetPath });
  const samples: number[] = [];
  for await (const chunk of readSpeech(targetPath, facts)) samples.push(...chunk);
  return { samples, facts };
}

async function makeWav(channels: readonly Channel[], options: Partial<PlainWavOptions> = {}): Promise<string> {
  return writePlainWav(join(await temporaryFolder(), 'in.wav'), channels, { sampleRateHz, ...options });
}

function expectSound(actual: ArrayLike<number>, expected: ArrayLike<number>, toleranceDb = 0.2, restDb = -30): void {
  const difference = compareSound(actual, expected);
  expect(Math.abs(difference.levelDb), 'level').toBeLessThan(toleranceDb);
  expect(difference.restDb, 'rest').toBeLessThan(restDb);
}

describe('The analyzed sound is the mean of the channels that carry voice:', () => {
  it.each<readonly [string, readonly Channel[], Channel]>([
    ['of two equal channels, at their level', [voice, voice], voice],
    ['of two channels of opposite phase', [voice, scaled(-1)], voice],
    ['of two channels of opposite phase and different level', [voice, scaled(-0.6)], scaled(0.8)],
    ['the loud one of two', [scaled(0.1), voice], voice],
    ['the only one of two that is not silent', [silence, voice], voice],
    ['without a channel of noise', [noise, voice], voice],
    ['of two voices that speak in turn', [voice, reply], add([0.5, voice], [0.5, reply])],
    ['of two voices of which one is much quieter', [voice, scaled(0.2, reply)], add([0.5, voice], [0.1, reply])],
    ['the third of three channels', onChannels(3, [3, voice]), voice],
    ['the bass channel of six', onChannels(6, [4, voice]), voice],
    ['the last one of seven', onChannels(7, [7, voice]), voice],
    ['two of ten', onChannels(10, [3, voice], [8, reply]), add([0.5, voice], [0.5, reply])],
    ['the nearest of four microphones', [echo(0.3, 0.004), voice, echo(0.25, 0.009), echo(0.25, 0.014)], voice],
    ['two inverse ones of twenty', onChannels(20, [2, voice], [20, scaled(-1)]), voice],
    ['of six equal channels', onChannels(6, ...[1, 2, 3, 4, 5, 6].map((number) => [number, voice] as const)), voice],
  ])('%s.', async (_, channels, expected) => {
    expectSound((await analyze(await makeWav(channels))).samples, expected);
  });

  it.each([
    ['FLAC with opposite phase at 44.1 kHz', 'opposite.flac', [voice, scaled(-1)], ['-ar', '44100']],
    ['MP3 with opposite phase', 'opposite.mp3', [voice, scaled(-1)], ['-ar', '44100', '-b:a', '192k']],
    ['Opus with a silent channel', 'silent.webm', [silence, voice], ['-c:a', 'libopus', '-b:a', '128k']],
    ['E-AC-3 with a center channel', 'center.eac3', onChannels(6, [3, voice]), ['-ar', '48000', '-b:a', '448k']],
    ['ALAC with a back channel', 'back.m4a', onChannels(4, [4, voice]), ['-c:a', 'alac']],
    ['PCM in 5.1(side) with a bass channel', 'bass.mka', onChannels(6, [4, voice]), ['-c:a', 'pcm_s24le']],
    ['Vorbis with six channels', 'six.ogg', onChannels(6, [5, voice]), ['-c:a', 'libvorbis', '-q:a', '8']],
  ] as const)('%s.', async (_, name, channels, more) => {
    const wav = await makeWav(channels);
    const layout = { 'back.m4a': ['-channel_layout', 'quad'], 'bass.mka': ['-channel_layout', '5.1(side)'] };
    const before = Object.entries(layout).find(([key]) => key === name)?.[1] ?? [];
    const path = await makeMedia(...before, '-i', wav, ...more, join(await temporaryFolder(), name));
    const { samples } = await analyze(path);
    // Encoders delay and filter, so that only levels and the kind of sound are compared.
    expectSound(align(samples, voice), voice, 1, -12);
  });
});

it('Speech on 32 channels takes no more space in the work folder than mono, and its warning still names the channels.', async () => {
  const path = await makeWav(onChannels(32, [5, voice], [9, scaled(-1)]));
  const targetPath = join(await temporaryFolder(), 'speech.wav');
  const facts = await probeSpeech(path, { limits, targetPath });
  const { size } = await stat(targetPath);
  expect(size).toBeLessThan(facts.durationMs * 48 * 4 + 1_000);
  expect(listMixWarnings(facts)[0]?.message).toContain('2 of 32 channels carry voice');
  expect(facts.channels).toBe(32);
});

it.each([
  ['mono before stereo in MP3', 'mp3', ['-b:a', '96k'], [[voice], [voice, voice]]],
  ['stereo before mono in MP3', 'mp3', ['-b:a', '96k'], [[voice, voice], [voice]]],
  ['stereo before surround in AC-3', 'ac3', ['-ar', '48000'], [[voice, voice], onChannels(6, [3, scaled(Math.SQRT2)])]],
  ['stereo before mono in AAC', 'aac', ['-ar', '32000'], [[voice, voice], [voice]]],
] as const)('Parts of a file have the same level: %s.', async (_, extension, more, [first, second]) => {
  const folder = await temporaryFolder();
  const parts = [];
  for (const [index, channels] of [first, second].entries())
    parts.push(
      await readFile(await makeMedia('-i', await makeWav(channels), ...more, join(folder, `${index}.${extension}`))),
    );
  const path = join(folder, `joined.${extension}`);
  await writeFile(path, Buffer.concat(parts));
  const { samples } = await analyze(path);
  const half = Math.round(samples.length / 2);
  expectSound(align(samples.slice(0, half), voice), voice, 0.6, -12);
  expectSound(align(samples.slice(half), voice), voice, 0.6, -12);
});

/** Moves a sound by the delay of an encoder, up to 100 ms. */
function align(samples: readonly number[], expected: Channel): readonly number[] {
  let best: { readonly shift: number; readonly common: number } = { shift: 0, common: -Infinity };
  for (let shift = -1_600; shift <= 1_600; shift += 1) {
    let common = 0;
    for (let index = 4_000; index < 12_000; index += 1)
      common += (samples[index + shift] ?? 0) * (expected[index] ?? 0);
    if (common > best.common) best = { shift, common };
  }
  const { shift } = best;
  return Array.from(expected, (_, index) => samples[index + shift] ?? 0);
}

interface MadeTracks {
  /** The sound of the take, its first channel at 16 kHz. */
  readonly take: Float32Array;
  /** The WAV file for a vendor. */
  readonly vendor: { readonly samples: Float32Array; readonly channels: number };
}

async function makeTracks(speechPath: string): Promise<MadeTracks> {
  const folder = await temporaryFolder();
  const { takePath } = await passThrough(folder, clipPath, speechPath);
  const first = ['-map', '0:a', '-af', 'pan=mono|c0=c0', '-ar', String(sampleRateHz), '-c:a', 'pcm_f32le'];
  const take = await readPlainWav(await makeMedia('-i', takePath, ...first, join(folder, 'take.wav')));
  const decodedPath = join(folder, 'decoded.wav');
  const speech = await probeSpeech(speechPath, { limits, targetPath: decodedPath });
  const timeline = planTimeline(await probeClip(clipPath, { limits }), speech.durationMs, { syncMode: 'loop' });
  const targetPath = join(folder, 'vendor.wav');
  const { signal } = new AbortController();
  await writeSpeechTrack({ speechPath: decodedPath, speech, timeline, targetPath, signal });
  const { samples, channels } = await readPlainWav(targetPath);
  return { take: take.samples, vendor: { samples: samples.filter((_, index) => index % 3 === 0), channels } };
}

describe('The sound of the take and the file for a vendor', () => {
  it.each<readonly [string, readonly Channel[], Channel, number]>([
    ['have the level of a center channel', onChannels(6, [3, voice]), voice, 1],
    ['have the level of one of ten tracks', onChannels(10, [9, voice]), voice, 1],
    ['are mono when the channels have opposite phase', [voice, scaled(-1)], voice, 1],
    ['are mono when one channel is silent', [silence, voice], voice, 1],
    ['keep two channels', [voice, reply], voice, 2],
  ])('%s.', async (_, channels, expected, channelCount) => {
    const { take, vendor } = await makeTracks(await makeWav(channels));
    expectSound(take, expected, 0.3, -25);
    expectSound(vendor.samples, expected, 0.3, -20);
    expect(vendor.channels).toBe(channelCount);
  });

  it('have the same level for a center channel of AC-3.', async () => {
    const wav = await makeWav(onChannels(6, [3, voice]));
    const path = await makeMedia('-i', wav, '-ar', '48000', '-b:a', '448k', join(await temporaryFolder(), 'in.ac3'));
    const { take, vendor } = await makeTracks(path);
    expectSound(align([...take], voice), voice, 0.5, -15);
    expectSound(align([...vendor.samples], voice), voice, 0.5, -15);
  });
});

describe('Speech above full scale', () => {
  const peakOf = (channel: ArrayLike<number>): number =>
    Array.from(channel).reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  const loudest = scaled(1 / peakOf(voice));

  it.each<readonly [string, readonly Channel[], PlainWavOptions['format']]>([
    ['by 12 dB is lowered as a whole', [scaled(4, loudest)], 'float32'],
    ['in two channels is lowered alike', [scaled(3, loudest), scaled(3, loudest)], 'float64'],
    ['of integer scale is lowered', [scaled(32_768, loudest)], 'float32'],
  ])('%s, in analysis, take and file for a vendor.', async (_, channels, format) => {
    const path = await makeWav(channels, { format });
    expectSound((await analyze(path)).samples, loudest, 0.3);
    const { take, vendor } = await makeTracks(path);
    expectSound(take, loudest, 0.5, -25);
    expectSound(vendor.samples, loudest, 0.5, -20);
  });

  it('by single damaged samples is not lowered.', async () => {
    const damaged = voice.map((sample, index) => (index === 9_000 ? 1e30 : index === 9_500 ? NaN : sample));
    const { samples, facts } = await analyze(await makeWav([damaged], { format: 'float32' }));
    expect(facts.mix?.gain).toBe(1);
    expectSound(samples.slice(10_000), voice.slice(10_000));
  });

  it('is not changed when it only reaches full scale.', async () => {
    expect((await analyze(await makeWav([loudest]))).facts.mix?.gain).toBeCloseTo(1, 2);
  });
});
