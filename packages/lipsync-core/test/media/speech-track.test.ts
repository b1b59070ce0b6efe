import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  keepsPictures,
  planTimeline,
  probeClip,
  probeSpeech,
  probeTake,
  swapSound,
  writeSpeechTrack,
} from '../../src/media/index.ts';
import { limits, makeMedia, makeNumberedClip, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

const { signal } = new AbortController();

describe('a speech as long as its timeline', () => {
  it.each([
    ['cut', 2.3],
    ['padded', 0.4],
  ])('is exactly so long, to the sample: %s', async (_, speechS) => {
    const folder = await temporaryFolder();
    const clip = await probeClip(await makeNumberedClip(join(folder, 'clip.mp4'), 30, '30000/1001'), { limits });
    const speechPath = await makeSpeech(join(folder, 'speech.mp3'), speechS, '-ac', '2');
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(clip, speech.durationMs, { syncMode: speechS > 1 ? 'cut_off' : 'silence' });
    const targetPath = join(folder, 'track.wav');
    await writeSpeechTrack({ speechPath, speech, timeline, targetPath, signal });
    const samples = Math.round((30 * 1001 * 48_000) / 30_000);
    const bytes = await readFile(targetPath);
    expect(bytes.subarray(bytes.indexOf('data') + 8)).toHaveLength(samples * 4);
  });

  it('leaves nothing when it is aborted', async () => {
    const folder = await temporaryFolder();
    const speechPath = await makeSpeech(join(folder, 'speech.wav'), 0.5);
    const speech = await probeSpeech(speechPath, { limits });
    const timeline = planTimeline(
      await probeClip(await makeNumberedClip(join(folder, 'clip.mp4'), 10), { limits }),
      400,
      { syncMode: 'loop' },
    );
    await expect(
      writeSpeechTrack({
        speechPath,
        speech,
        timeline,
        targetPath: join(folder, 'track.wav'),
        signal: AbortSignal.abort(),
      }),
    ).rejects.toMatchObject({ code: 'canceled' });
    expect(await readdir(folder)).not.toContain('track.wav');
  });
});

/** Tries to put a speech of the clip's length under it. */
async function swap(clipPath: string, folder: string) {
  const clip = await probeClip(clipPath, { limits });
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), clip.durationMs / 1000);
  const speech = await probeSpeech(speechPath, { limits });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
  const targetPath = join(folder, 'swapped.mp4');
  const fit = keepsPictures(clip, timeline);
  return {
    fit,
    swapped: fit && (await swapSound({ clipPath, clip, speechPath, speech, timeline, targetPath, signal })),
    targetPath,
    timeline,
  };
}

describe('the sound of a clip', () => {
  it.each([
    ['mp4', []],
    ['mkv', ['-bf', '3']],
    ['ts', ['-bf', '2']],
  ] as const)('is swapped without touching its pictures: %s', async (extension, more) => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=160x96:r=25:d=1',
      ...x264,
      ...more,
      join(folder, `clip.${extension}`),
    );
    const { swapped, targetPath, timeline } = await swap(clipPath, folder);
    expect(swapped).toBe(true);
    const facts = await probeTake(targetPath);
    expect(facts.frameCount).toBe(timeline.frameCount);
    expect(Math.abs((facts.audioDurationMs ?? 0) - timeline.durationMs)).toBeLessThanOrEqual(40);
  });

  it('is not swapped where the pixels are not square: such a clip is rendered', async () => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=160x96:r=25:d=1,setsar=4/3',
      ...x264,
      join(folder, 'clip.mp4'),
    );
    const { fit, swapped } = await swap(clipPath, folder);
    expect({ fit, swapped }).toEqual({ fit: true, swapped: false });
    expect(await readdir(folder)).not.toContain('swapped.mp4');
  });

  it.each([
    ['another codec', ['-c:v', 'mpeg4'], 'clip.mp4'],
    ['more color than we write', ['-c:v', 'libx264', '-pix_fmt', 'yuv444p'], 'clip.mp4'],
  ] as const)('is not swapped in a clip with %s', async (_, commands, name) => {
    const folder = await temporaryFolder();
    const clipPath = await makeMedia(
      '-f',
      'lavfi',
      '-i',
      'testsrc2=s=160x96:r=25:d=1',
      ...commands,
      join(folder, name),
    );
    expect((await swap(clipPath, folder)).fit).toBe(false);
  });
});
