import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  canCopyVideo,
  planTimeline,
  probeClip,
  probeSpeech,
  probeTake,
  swapSound,
  writeSpeechTrack,
} from '../../src/media/index.ts';
import { limits, makeMedia, makeNumberedClip, makeSpeech, temporaryFolder, x264 } from './make-media.ts';

const { signal } = new AbortController();

describe('writeSpeechTrack', () => {
  it.each([
    ['cut', 2.3],
    ['padded', 0.4],
  ])('A speech track has exactly the samples of the timeline when the speech audio is %s.', async (_, speechS) => {
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

  it('An aborted speech track leaves no file.', async () => {
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

/** Swaps the sound of a clip for speech audio of the same duration. */
async function swap(clipPath: string, folder: string) {
  const clip = await probeClip(clipPath, { limits });
  const speechPath = await makeSpeech(join(folder, 'speech.wav'), clip.durationMs / 1000);
  const speech = await probeSpeech(speechPath, { limits });
  const timeline = planTimeline(clip, speech.durationMs, { syncMode: 'loop' });
  const targetPath = join(folder, 'swapped.mp4');
  const fit = canCopyVideo(clip, timeline);
  return {
    fit,
    swapped: fit && (await swapSound({ clipPath, clip, speechPath, speech, timeline, targetPath, signal })),
    targetPath,
    timeline,
  };
}

describe('swapSound', () => {
  it.each([
    ['mp4', []],
    ['mkv', ['-bf', '3']],
    ['ts', ['-bf', '2']],
  ] as const)('The sound of a clip in %s is replaced without encoding its video.', async (extension, more) => {
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

  it('The sound of a clip with non-square pixels is not swapped, so the clip is rendered.', async () => {
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
    ['4:4:4 chroma', ['-c:v', 'libx264', '-pix_fmt', 'yuv444p'], 'clip.mp4'],
  ] as const)('The sound of a clip with %s is not swapped.', async (_, commands, name) => {
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
