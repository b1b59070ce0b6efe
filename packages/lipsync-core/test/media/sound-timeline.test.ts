import { execFile } from 'node:child_process';
import { appendFile, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { planTimeline, probeClip, probeSpeech, writeSpeechTrack, type SpeechFacts } from '../../src/media/index.ts';
import { limits, makeMedia, makeNumberedClip, passThrough, temporaryFolder, x264 } from './make-media.ts';
import { burstSource, findBursts, makeBursts, readPlainWav } from './sound-bursts.ts';

/** Players and encoders without a stated delay move sound by up to two frames of a codec. */
const toleranceS = 0.05;
const bursts = [0.3, 1, 1.6, 2.5] as const;
const lengthS = 3;

async function play(path: string): Promise<{ starts: readonly number[]; facts: SpeechFacts; lengthS: number }> {
  const targetPath = join(await temporaryFolder(), 'speech.wav');
  const facts = await probeSpeech(path, { limits, targetPath });
  const sound = await readPlainWav(targetPath);
  return { starts: findBursts(sound), facts, lengthS: sound.samples.length / sound.sampleRateHz };
}

function expectTimes(starts: readonly number[], expected: readonly number[], tolerance = toleranceS): void {
  expect(starts, String(starts)).toHaveLength(expected.length);
  starts.forEach((start, index) =>
    expect(Math.abs(start - (expected[index] ?? 0)), `burst ${index} at ${start}`).toBeLessThan(tolerance),
  );
}

/** Appends the bytes of another file. */
async function appendPart(first: string, second: string): Promise<string> {
  await appendFile(first, await readFile(second));
  return first;
}

const picture = ['-f', 'lavfi', '-i', `color=s=64x64:r=25:d=${lengthS + 2}`];
const laterBursts = (delayS: number): readonly number[] => bursts.map((time) => time + delayS);

describe('Speech that starts late', () => {
  it.each([
    ['mp4', 'AAC', 1.5, ['-c:a', 'aac', '-ar', '22050']],
    ['mov', 'PCM', 0.75, ['-c:a', 'pcm_s16le']],
    ['mkv', 'FLAC', 1.23, ['-c:a', 'flac']],
    ['mkv', 'Opus', 0.4, ['-c:a', 'libopus']],
    ['ts', 'AAC', 1.5, ['-c:a', 'aac', '-ar', '44100', '-ac', '2']],
    ['ts', 'MP2', 0.6, ['-c:a', 'mp2']],
    ['flv', 'AAC', 1.1, ['-c:a', 'aac', '-ar', '44100']],
    ['mpg', 'MP2', 0.9, ['-c:v', 'mpeg1video', '-c:a', 'mp2']],
  ] as const)('Sound in %s (%s) that starts %d s after the picture is late.', async (extension, _, delayS, more) => {
    const path = join(await temporaryFolder(), `late.${extension}`);
    const sound = ['-itsoffset', String(delayS), ...burstSource(bursts, lengthS)];
    await makeMedia(...picture, ...sound, '-map', '0', '-map', '1', ...x264, ...more, path);
    const { starts, facts, lengthS: writtenS } = await play(path);
    expectTimes(starts, laterBursts(delayS));
    expect(facts.durationMs / 1000).toBeCloseTo(writtenS, 3);
    expect(facts.missing).toBeUndefined();
  });

  it.each([
    ['m4a', ['-c:a', 'aac']],
    ['mka', ['-c:a', 'libvorbis']],
    ['webm', ['-c:a', 'libopus']],
  ] as const)('Sound alone in %s that starts after time 0 is late.', async (extension, more) => {
    const path = join(await temporaryFolder(), `late.${extension}`);
    await makeMedia('-itsoffset', '1.5', ...burstSource(bursts, lengthS), ...more, path);
    expectTimes((await play(path)).starts, laterBursts(1.5));
  });

  it('Sound of a recording whose clock began long before is not late.', async () => {
    const path = join(await temporaryFolder(), 'part.mkv');
    await makeMedia('-itsoffset', '5000', ...burstSource(bursts, lengthS), '-c:a', 'libopus', path);
    expectTimes((await play(path)).starts, bursts);
  });
});

describe('Speech with holes', () => {
  it.each([
    ['webm', 'Opus', ['-c:a', 'libopus']],
    ['mkv', 'AAC', ['-c:a', 'aac']],
    ['mp4', 'AAC', ['-c:a', 'aac', '-ar', '32000']],
    ['ts', 'MP2', ['-c:a', 'mp2']],
    ['mov', 'ALAC', ['-c:a', 'alac']],
  ] as const)('A hole in %s (%s) is silence, and later sound keeps its time.', async (extension, _, more) => {
    const folder = await temporaryFolder();
    const full = await makeBursts(join(folder, `full.${extension}`), { timesS: bursts, lengthS, more });
    const path = join(folder, `hole.${extension}`);
    await makeMedia('-i', full, '-c', 'copy', '-bsf:a', "noise=drop='between(pts*tb,0.8,2)'", path);
    const { starts, lengthS: playedS } = await play(path);
    expectTimes(starts, [0.3, 2.5]);
    expect(Math.abs(playedS - lengthS)).toBeLessThan(0.1);
  });
});

describe('Speech that changes in mid-stream', () => {
  it.each([
    ['mp3', ['-ar', '24000', '-b:a', '64k'], ['-ar', '44100', '-ac', '2', '-b:a', '128k']],
    ['mp3', ['-ar', '48000', '-ac', '2'], ['-ar', '16000', '-ac', '1']],
    ['aac', ['-ar', '24000'], ['-ar', '44100', '-ac', '2']],
    ['aac', ['-ar', '48000', '-ac', '2'], ['-ar', '16000', '-ac', '1']],
    ['ac3', ['-ar', '48000', '-ac', '2'], ['-ar', '32000', '-ac', '1']],
  ] as const)('Parts of a joined %s file keep their time (%j, then %j).', async (extension, first, second) => {
    const folder = await temporaryFolder();
    const one = await makeBursts(join(folder, `one.${extension}`), { timesS: bursts, lengthS, more: first });
    const two = await makeBursts(join(folder, `two.${extension}`), { timesS: [0.5, 1.2], lengthS: 2, more: second });
    const endOfFirst = (await play(one)).lengthS;
    const { starts, facts } = await play(await appendPart(one, two));
    expectTimes(starts, [...bursts, endOfFirst + 0.5, endOfFirst + 1.2], 0.08);
    expect(facts).not.toHaveProperty('missing');
  });

  it.each([
    ['wav', [], []],
    ['wav', ['-ar', '16000'], ['-ar', '44100', '-ac', '2', '-c:a', 'pcm_s24le']],
    ['ogg', ['-c:a', 'libvorbis', '-ar', '24000'], ['-c:a', 'libvorbis', '-ar', '44100', '-ac', '2']],
    ['opus', ['-c:a', 'libopus'], ['-c:a', 'libopus', '-ac', '2']],
    ['ts', ['-c:a', 'aac', '-ar', '24000'], ['-c:a', 'aac', '-ar', '44100', '-ac', '2']],
    ['ts', ['-c:a', 'mp2'], ['-c:a', 'mp2', '-output_ts_offset', '60']],
    ['flac', [], []],
    ['flac', ['-ar', '16000'], ['-ar', '44100', '-ac', '2', '-sample_fmt', 's32']],
    ['flv', ['-c:a', 'aac', '-ar', '44100'], ['-c:a', 'libmp3lame', '-ar', '22050']],
  ] as const)(
    'All three parts of a joined %s file are played (%j, %j, and the first once more).',
    async (...format) => {
      const [extension, first, second] = format;
      const folder = await temporaryFolder();
      const one = await makeBursts(join(folder, `one.${extension}`), { timesS: [0.3, 0.8], lengthS: 1.2, more: first });
      const two = await makeBursts(join(folder, `two.${extension}`), { timesS: [0.5, 1.2], lengthS: 2, more: second });
      const copy = join(folder, `copy.${extension}`);
      await copyFile(one, copy);
      const [oneS, twoS] = [(await play(one)).lengthS, (await play(two)).lengthS];
      const { starts, facts } = await play(await appendPart(await appendPart(one, two), copy));
      const third = oneS + twoS;
      expectTimes(starts, [0.3, 0.8, oneS + 0.5, oneS + 1.2, third + 0.3, third + 0.8], 0.08);
      expect(facts).not.toHaveProperty('missing');
      expect(facts).not.toHaveProperty('unusedMs');
    },
  );

  it('Both parts of a joined transport stream are played, though the clock of the second one begins again.', async () => {
    const folder = await temporaryFolder();
    const more = ['-c:a', 'mp2'];
    const one = await makeBursts(join(folder, 'one.ts'), { timesS: bursts, lengthS, more });
    const two = await makeBursts(join(folder, 'two.ts'), { timesS: [0.5, 1.2], lengthS: 2, more });
    expectTimes((await play(await appendPart(one, two))).starts, [...bursts, lengthS + 0.5, lengthS + 1.2], 0.08);
  });
});

/** Times and durations of the sound packets of a file in seconds. */
async function soundPackets(path: string): Promise<readonly { readonly timeS: number; readonly durationS: number }[]> {
  const entries = ['-select_streams', 'a:0', '-show_entries', 'packet=pts_time,duration_time', '-of', 'csv=p=0'];
  const { stdout } = await promisify(execFile)('ffprobe', ['-v', 'error', ...entries, path]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number))
    .map(([timeS = Number.NaN, durationS = Number.NaN]) => ({ timeS, durationS }))
    .filter(({ timeS, durationS }) => Number.isFinite(timeS) && Number.isFinite(durationS));
}

/** A joined MP3 of two sample rates, and when its bursts are played. */
async function makeJoinedSpeech(folder: string): Promise<{ path: string; times: readonly number[] }> {
  const one = join(folder, 'one.mp3');
  const two = join(folder, 'two.mp3');
  await makeBursts(one, { timesS: [0.3, 1], lengthS: 1.44, more: ['-ar', '24000', '-ac', '1'] });
  await makeBursts(two, { timesS: [0.4, 0.9], lengthS: 1.2, more: ['-ar', '44100', '-ac', '2'] });
  const endOfFirst = (await play(one)).lengthS;
  return { path: await appendPart(one, two), times: [0.3, 1, endOfFirst + 0.4, endOfFirst + 0.9] };
}

describe('Sound files whose header states no length', () => {
  it.each([
    ['AIFF', 'aiff', []],
    ['AIFF of 24 bits and two channels', 'aiff', ['-c:a', 'pcm_s24be', '-ac', '2', '-ar', '44100']],
    ['W64', 'w64', []],
    ['W64 of floats', 'w64', ['-c:a', 'pcm_f32le', '-ar', '16000']],
    ['WAV', 'wav', ['-ac', '2']],
    ['AU', 'au', []],
    ['CAF', 'caf', ['-c:a', 'pcm_s16le']],
    ['FLAC', 'flac', ['-ar', '32000']],
  ] as const)('A file of %s that was written to a pipe is played to its end.', async (_, format, more) => {
    const path = join(await temporaryFolder(), 'piped');
    const source = burstSource([0.3, 1.4], 2);
    const { stdout } = await promisify(execFile)(
      'ffmpeg',
      ['-nostdin', '-v', 'error', ...source, ...more, '-f', format, 'pipe:1'],
      { encoding: 'buffer', maxBuffer: 10_000_000 },
    );
    await writeFile(path, stdout);
    const { starts, facts } = await play(path);
    expectTimes(starts, [0.3, 1.4]);
    expect(facts.durationMs).toBeCloseTo(2_000, -1);
    expect(facts).not.toHaveProperty('missing');
  });

  it.each([0, 2 ** 32 - 1])('An RF64 file whose size of %d is not known is played to its end.', async (size) => {
    const folder = await temporaryFolder();
    const more = ['-rf64', 'always', '-c:a', 'pcm_s24le'];
    const path = await makeBursts(join(folder, 'speech.wav'), { timesS: [0.3, 1.4], lengthS: 2, more });
    const bytes = await readFile(path);
    bytes.fill(size === 0 ? 0 : 0xff, bytes.indexOf('ds64') + 8, bytes.indexOf('ds64') + 32);
    await writeFile(path, bytes);
    expectTimes((await play(path)).starts, [0.3, 1.4]);
  });

  it('A long MP3 of variable bit rate without a length is measured by decoding, not refused by an estimate.', async () => {
    const path = join(await temporaryFolder(), 'speech.mp3');
    const source = ['-f', 'lavfi', '-i', 'aevalsrc=exprs=if(lt(t\\,15)\\,0\\,random(0)-0.5):s=44100:d=20'];
    await makeMedia(...source, '-q:a', '0', '-write_xing', '0', path);
    const facts = await probeSpeech(path, { limits: { ...limits, maxDurationMs: 21_000 } });
    expect(facts.durationMs / 1000).toBeCloseTo(20, 0);
    expect(facts).not.toHaveProperty('missing');
  });
});

describe('WAV files whose header is not that of their samples', () => {
  const wavBytes = async (): Promise<Buffer> =>
    readFile(await makeBursts(join(await temporaryFolder(), 'plain.wav'), { timesS: [0.3, 1.4], lengthS: 2 }));
  const playBytes = async (bytes: Buffer): ReturnType<typeof play> => {
    const path = join(await temporaryFolder(), 'changed.wav');
    await writeFile(path, bytes);
    return play(path);
  };

  it.each([0, 0xff_ff_ff_ff, 0x7f_ff_f0_00])(
    'A WAV file whose header states %d bytes is played to its end.',
    async (size) => {
      const bytes = await wavBytes();
      bytes.writeUInt32LE(size, bytes.indexOf('data') + 4);
      const { starts, facts } = await playBytes(bytes);
      expectTimes(starts, [0.3, 1.4]);
      expect(facts).not.toHaveProperty('missing');
    },
  );

  it('Data behind the stated end of a WAV file are named, unlike chunks and padding.', async () => {
    const bytes = await wavBytes();
    bytes.writeUInt32LE(96_000, bytes.indexOf('data') + 4);
    const { starts, facts } = await playBytes(bytes);
    expectTimes(starts, [0.3]);
    expect(facts.unusedMs).toBeCloseTo(1_000, -2);
    const plain = await wavBytes();
    const padded = await playBytes(Buffer.concat([plain, Buffer.alloc(30_000)]));
    expect(padded.facts).not.toHaveProperty('unusedMs');
  });
});

describe('Sound that is passed on', () => {
  it('The packets of a take follow each other without a gap, though the rate of the speech changes.', async () => {
    const folder = await temporaryFolder();
    const { path, times } = await makeJoinedSpeech(folder);
    const clipPath = await makeNumberedClip(join(folder, 'clip.mp4'), 30);
    const { takePath } = await passThrough(folder, clipPath, path);
    const packets = await soundPackets(takePath);
    expect(packets.length).toBeGreaterThan(100);
    for (const [index, { timeS, durationS }] of packets.slice(0, -1).entries()) {
      expect(durationS).toBeCloseTo(1_024 / 48_000, 4);
      expect((packets[index + 1]?.timeS ?? 0) - timeS).toBeCloseTo(1_024 / 48_000, 4);
    }
    const wavPath = await makeMedia('-i', takePath, '-vn', join(folder, 'take.wav'));
    expectTimes(findBursts(await readPlainWav(wavPath)), times, 0.08);
  });

  it('The WAV file for a vendor has the sound at the same times.', async () => {
    const folder = await temporaryFolder();
    const { path, times } = await makeJoinedSpeech(folder);
    const speechPath = join(folder, 'speech.wav');
    const speech = await probeSpeech(path, { limits, targetPath: speechPath });
    const clip = await probeClip(await makeNumberedClip(join(folder, 'clip.mp4'), 30), { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
    const targetPath = join(folder, 'vendor.wav');
    await writeSpeechTrack({ speechPath, speech, timeline, targetPath, signal: new AbortController().signal });
    expectTimes(findBursts(await readPlainWav(targetPath)), times, 0.08);
  });
});
