import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { framesPerSecond, openFrames, planTimeline, probeClip, probeSpeech, probeTake } from '../../src/media/index.ts';
import { passThroughTask } from '../../src/media/takes/take-loop.ts';
import {
  limits,
  makeMedia,
  makeNumberedClip,
  makeSpeech,
  numberOf,
  passThrough,
  temporaryFolder,
  x264,
} from './make-media.ts';

async function expectPromises(takePath: string, frameCount: number, rate: number): Promise<void> {
  const take = await probeTake(takePath);
  expect(take.frameCount).toBe(frameCount);
  expect(framesPerSecond(take.frameRate)).toBeCloseTo(rate, 3);
  expect(Math.abs((take.audioDurationMs ?? 0) - take.videoDurationMs)).toBeLessThanOrEqual(1000 / rate);
  expect(take.videoDurationMs).toBeCloseTo((frameCount * 1000) / rate, 0);
}

/** Structural similarity of luma between two videos of the same size, measured by ffmpeg. */
async function similarity(onePath: string, otherPath: string): Promise<number> {
  const { stderr } = await promisify(execFile)('ffmpeg', [
    '-hide_banner',
    '-i',
    onePath,
    '-i',
    otherPath,
    '-lavfi',
    '[0:v][1:v]ssim=shortest=1',
    '-f',
    'null',
    '-',
  ]);
  return Number(/Y:([\d.]+)/.exec(stderr)?.[1]);
}

describe('Pass-through take', () => {
  it.each([['24000/1001'], ['30000/1001'], ['50'], ['60']])(
    'A take at %s frames per second has round(duration × rate) frames, and its sound ends with them.',
    async (rateText) => {
      const folder = await temporaryFolder();
      const clipPath = await makeMedia(
        '-f',
        'lavfi',
        '-i',
        `testsrc2=s=160x96:r=${rateText}:d=1`,
        ...x264,
        join(folder, 'clip.mp4'),
      );
      const speechPath = await makeSpeech(join(folder, 'speech.wav'), 1.737);
      const { takePath, clip } = await passThrough(folder, clipPath, speechPath);
      const [numerator = 0, denominator = 1] = rateText.split('/').map(Number);
      expect(clip.frameRate).toEqual({ numerator, denominator });
      expect(clip.variableFrameRate).toBe(false);
      await expectPromises(takePath, Math.round((1.737 * numerator) / denominator), numerator / denominator);
    },
  );

  it(
    'A take has the planned frames and duration in every sync mode, with speech longer and shorter than the clip.',
    { timeout: 240_000 },
    async () => {
      const folder = await temporaryFolder();
      const clipPath = await makeMedia(
        '-f',
        'lavfi',
        '-i',
        'testsrc2=s=160x96:r=25:d=0.8',
        ...x264,
        join(folder, 'clip.mp4'),
      );
      const long = await makeSpeech(join(folder, 'long.wav'), 1.33);
      const short = await makeSpeech(join(folder, 'short.wav'), 0.47);
      const cases = [
        [long, 'loop', 33],
        [long, 'bounce', 33],
        [long, 'remap', 33],
        [long, 'cut_off', 20],
        [long, 'silence', 33],
        [short, 'remap', 12],
        [short, 'cut_off', 12],
        [short, 'silence', 20],
      ] as const;
      for (const [speechPath, mode, frameCount] of cases) {
        const { takePath } = await passThrough(folder, clipPath, speechPath, mode);
        await expectPromises(takePath, frameCount, 25);
      }
      expect((await readdir(folder)).toSorted()).toEqual([
        'clip.mp4',
        'decoded-speech.wav',
        'long.wav',
        'short.wav',
        'take.mp4',
      ]);
    },
  );

  it('A loop dissolves into its beginning, with exactly the planned frames and all others unchanged.', async () => {
    const folder = await temporaryFolder();
    const clipPath = await makeNumberedClip(join(folder, 'clip.mp4'), 40);
    const clip = await probeClip(clipPath, { limits });
    const speechPath = await makeSpeech(join(folder, 'speech.wav'), 2.4);
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
    const takePath = join(folder, 'take.mp4');
    await passThroughTask(
      { clipPath, clip, speechPath, speech, timeline, workFolder: folder, takePath },
      { signal: new AbortController().signal, onProgress: () => undefined },
    );
    await expectPromises(takePath, 60, 25);
    const facts = await probeClip(takePath, { limits });
    const numbers: number[] = [];
    for await (const { data } of openFrames({ path: takePath, facts, range: { start: 0, end: 60 } }))
      numbers.push(numberOf(data));
    const outside = numbers.filter((_, index) => index < 36 || index >= 44);
    const expected = numbers.map((_, index) => index % 40).filter((_, index) => index < 36 || index >= 44);
    for (const [index, number] of outside.entries())
      expect(Math.abs(number - (expected[index] ?? 0))).toBeLessThan(1.5);
    // Without the dissolve the picture would jump by 39 numbers.
    const steps = numbers.slice(1).map((number, index) => Math.abs(number - (numbers[index] ?? 0)));
    expect(Math.max(...steps)).toBeLessThan(8);
  });

  it('A pass-through take has a structural similarity of at least 0.98 to its clip.', async () => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=640x360:r=25:d=1',
      ...x264,
      '-crf',
      '12',
      join(folder, 'clip.mp4'),
    );
    const { takePath } = await passThrough(folder, clipPath, await makeSpeech(join(folder, 'speech.wav'), 1));
    expect(await similarity(clipPath, takePath)).toBeGreaterThanOrEqual(0.98);
  });

  it.each([
    [
      'limited range BT.709',
      ['-color_primaries', 'bt709', '-color_trc', 'bt709', '-colorspace', 'bt709', '-color_range', 'tv'],
      { primaries: 'bt709', transfer: 'bt709', space: 'bt709', range: 'tv' },
    ],
    [
      'full range BT.601',
      [
        '-pix_fmt',
        'yuvj420p',
        '-color_primaries',
        'smpte170m',
        '-color_trc',
        'smpte170m',
        '-colorspace',
        'smpte170m',
        '-color_range',
        'pc',
      ],
      { primaries: 'smpte170m', transfer: 'smpte170m', space: 'smpte170m', range: 'pc' },
    ],
  ])('A take keeps color tags and colors of a clip in %s.', async (_, tagArguments, color) => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=160x96:r=25:d=0.4',
      ...x264,
      '-crf',
      '8',
      ...tagArguments,
      join(folder, 'clip.mp4'),
    );
    const { takePath } = await passThrough(folder, clipPath, await makeSpeech(join(folder, 'speech.wav'), 0.4));
    expect((await probeClip(takePath, { limits })).color).toEqual(color);
    expect(await similarity(clipPath, takePath)).toBeGreaterThanOrEqual(0.98);
  });

  it('A take contains mono, stereo and surround speech completely, at any sample rate.', async () => {
    const folder = await temporaryFolder();
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=160x96:r=60:d=0.5'];
    const clipPath = await makeMedia(...picture, ...x264, join(folder, 'clip.mp4'));
    for (const [channels, rate, name] of [
      [1, 8_000, 'a.wav'],
      [2, 44_100, 'b.mp3'],
      [6, 48_000, 'c.flac'],
    ] as const) {
      const speechPath = await makeSpeech(join(folder, name), 0.9, '-ac', String(channels), '-ar', String(rate));
      const { takePath, timeline } = await passThrough(folder, clipPath, speechPath);
      await expectPromises(takePath, timeline.frameCount, 60);
    }
  });
});
