import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assessVideoTask } from '../../src/quality/assessment/assess-video-task.ts';
import { planTimeline, probeClip } from '../../src/media/index.ts';
import type { AssessmentSource } from '../../src/quality/analyzer.ts';
import type { MeasuredQuality } from '../../src/quality/assessment/merge-findings.ts';
import { limits } from '../media/make-media.ts';
import { TakeMaker, taskContext } from './take-fixture.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');

describe('The assessment of a video', { timeout: 300_000 }, () => {
  let maker: TakeMaker;
  beforeAll(async () => {
    maker = await TakeMaker.create();
  });
  afterAll(async () => maker[Symbol.asyncDispose]());

  function assess(videoPath: string, source?: AssessmentSource): Promise<MeasuredQuality> {
    const trackCacheFolder = join(maker.folder, 'tracks');
    return assessVideoTask(
      { videoPath, source, trackCacheFolder, workFolder: maker.folder, limits, models: {} },
      taskContext(),
    );
  }

  it.each([
    ['early', -0.2],
    ['in time', 0],
    ['late', 0.2],
  ])('The offset of sound that is %s is measured within a frame.', async (name, delayS) => {
    const own = ['-itsoffset', String(delayS), '-i', join(samples, 'presenter.mp4'), '-map', '0:v', '-map', '1:a'];
    const cut = ['-t', '5', '-vf', 'scale=480:-2', '-c:v', 'libx264', '-preset', 'veryfast'];
    const path = await maker.ffmpeg(
      '-i',
      join(samples, 'presenter.mp4'),
      ...own,
      ...cut,
      `${name.replace(' ', '-')}.mp4`,
    );
    const { quality, trace } = await assess(path);
    expect(Math.abs((quality.sync?.offsetMs ?? NaN) + delayS * 1000)).toBeLessThanOrEqual(40);
    expect(quality.labels.map(({ code }) => code)).toEqual(
      { early: ['sound_early'], 'in time': [], late: ['sound_late'] }[name],
    );
    expect(quality).toMatchObject({ syncScore: null, grade: 'unknown' });
    expect(trace.lipOpening).toHaveLength(125);
  });

  it('A video whose length is no whole number of milliseconds is measured.', async () => {
    const own = ['-i', join(samples, 'presenter.mp4'), '-frames:v', '11', '-vf', 'scale=320:-2,fps=24000/1001'];
    const path = await maker.ffmpeg(...own, '-an', '-preset', 'ultrafast', 'film.mp4');
    await expect(assess(path)).resolves.toMatchObject({ quality: { syncScore: null } });
  });

  it('The face of a take is compared with that of its source in another size.', async () => {
    const make = (width: number): Promise<string> =>
      maker.ffmpeg('-i', join(samples, 'presenter.mp4'), '-t', '2', '-vf', `scale=${width}:-2`, `w${width}.mp4`);
    const [videoPath, clipPath] = [await make(400), await make(480)];
    const clip = await probeClip(clipPath, { limits });
    const timeline = planTimeline(clip, clip.durationMs, { syncMode: 'loop' });
    const { parts } = (await assess(videoPath, { clipPath, clipDigest: 'w480', clip, timeline })).quality;
    expect(parts['identity_similarity']?.value).toBeGreaterThan(0.8);
    expect(parts['outside_ssim']).toMatchObject({ value: null, reason: expect.stringContaining('another size') });
  });

  it('A take of the sample by preview has no visible seam and no soft passage, although its jaw moves.', async () => {
    const speechPath = await maker.ffmpeg('-i', join(samples, 'speech.wav'), '-t', '3', 'speech.wav');
    const clipPath = join(samples, 'presenter.mp4');
    const { movingPath, input } = await maker.make(clipPath, speechPath);
    const { timeline, clip } = input;
    const { parts, labels } = (await assess(movingPath, { clipPath, clipDigest: 'sample', clip, timeline })).quality;
    expect(parts['seam']?.value).toBeLessThan(1);
    const codes = labels.map(({ code }) => code);
    for (const code of ['seam_visible', 'mouth_soft', 'face_soft']) expect(codes).not.toContain(code);
  });

  it('A blur and a box that cover a part of a video are labeled there.', async () => {
    const encoding = ['-c:v', 'libx264', '-crf', '14', '-preset', 'veryfast', '-an'];
    const shorten = ['-i', join(samples, 'presenter.mp4'), '-t', '4', '-vf', 'scale=640:-2', ...encoding];
    const clipPath = await maker.ffmpeg(...shorten, 'clean.mp4');
    const damage = (filter: string, name: string): Promise<string> =>
      maker.ffmpeg('-i', clipPath, '-vf', `${filter}:enable='between(t,1,2.99)'`, ...encoding, name);
    const clip = await probeClip(clipPath, { limits });
    const source = {
      clipPath,
      clipDigest: 'clean',
      clip,
      timeline: planTimeline(clip, clip.durationMs, { syncMode: 'loop' }),
    };
    const labelsOf = async (path: string, from?: AssessmentSource) =>
      (await assess(path, from)).quality.labels
        .filter(({ code }) => /_soft$|^seam_/.test(code))
        .map(({ code, ranges }) => ({ code, ranges }))
        .toSorted((first, second) => first.code.localeCompare(second.code));
    const ranges = [{ startMs: 1_000, endMs: 3_000 }];
    const blurred = await damage('boxblur=4:1', 'blurred.mp4');
    expect(await labelsOf(blurred)).toEqual([{ code: 'face_soft', ranges }]);
    const boxed = await damage('drawbox=x=250:y=190:w=150:h=110:color=gray:t=fill', 'boxed.mp4');
    expect(await labelsOf(boxed, source)).toEqual([
      { code: 'mouth_soft', ranges },
      { code: 'seam_visible', ranges },
    ]);
  });
});
