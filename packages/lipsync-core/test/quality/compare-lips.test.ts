import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareLips } from '../../src/quality/unchanged-lips/compare-lips.ts';
import { compare, TakeMaker, taskContext, totalMs, type TakeSet } from './take-fixture.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const x264 = ['-c:v', 'libx264', '-preset', 'veryfast'];

describe('The comparison of lips', { timeout: 300_000 }, () => {
  let maker: TakeMaker;
  let takes: TakeSet;
  let speechPath: string;

  beforeAll(async () => {
    maker = await TakeMaker.create();
    const clipPath = await maker.ffmpeg(
      '-i',
      join(samples, 'presenter.mp4'),
      '-t',
      '4',
      '-vf',
      'scale=640:-2',
      'clip.mp4',
    );
    speechPath = await maker.ffmpeg('-i', join(samples, 'speech.wav'), '-t', '4', 'speech.wav');
    takes = await maker.make(clipPath, speechPath);
  }, 300_000);
  afterAll(async () => maker[Symbol.asyncDispose]());

  it.each([
    ['as it is', ['-c', 'copy']],
    ['at 100 kbit/s', [...x264, '-b:v', '100k']],
    ['at half the size', ['-vf', 'scale=320:-2', ...x264, '-crf', '30']],
    ['cropped and brightened', ['-vf', 'crop=iw-24:ih-16:4:10,eq=brightness=0.04:contrast=1.1', ...x264, '-crf', '28']],
    ['at another frame rate', ['-r', '30', ...x264, '-crf', '26']],
    ['frozen', ['-vf', 'trim=end_frame=1,tpad=stop_mode=clone:stop_duration=4', '-t', '4', ...x264, '-crf', '23']],
  ])('A take with the lips of its clip is found %s.', async (name, args) => {
    const path = await maker.ffmpeg('-i', takes.oldPath, ...args, `old-${name.replaceAll(/\W/g, '-')}.mp4`);
    expect(totalMs(await compare(takes, path))).toBeGreaterThan(2_000);
  });

  it.each([
    ['as it is', ['-c', 'copy']],
    ['at 100 kbit/s', [...x264, '-b:v', '100k']],
    ['at half the size', ['-vf', 'scale=320:-2', ...x264, '-crf', '30']],
    ['cropped and brightened', ['-vf', 'crop=iw-24:ih-16:4:10,eq=brightness=0.04:contrast=1.1', ...x264, '-crf', '28']],
  ])('A take with new lips is not reported %s.', async (name, args) => {
    const path = await maker.ffmpeg('-i', takes.movingPath, ...args, `new-${name.replaceAll(/\W/g, '-')}.mp4`);
    expect(await compare(takes, path)).toEqual([]);
  });

  it('The range of a take whose lips stop following the speech starts there.', async () => {
    const inputs = ['-t', '2', '-i', takes.movingPath, '-ss', '2', '-i', takes.oldPath, '-i', speechPath];
    const filter = ['-filter_complex', '[0:v][1:v]concat=n=2:v=1[v]', '-map', '[v]', '-map', '2:a'];
    const path = await maker.ffmpeg(...inputs, ...filter, ...x264, 'half.mp4');
    const ranges = await compare(takes, path);
    expect(ranges).toHaveLength(1);
    expect(Math.abs((ranges[0]?.startMs ?? 0) - 2_000)).toBeLessThan(600);
  });

  it('Unchanged lips under the own sound of the clip are not reported.', async () => {
    const { input } = takes;
    const copy = ['-map', '0:v', '-c:v', 'copy', '-c:a', 'aac'];
    const clipPath = await maker.ffmpeg('-i', input.clipPath, '-i', speechPath, ...copy, '-map', '1:a', 'own.mp4');
    const own = { ...input, clipPath, clip: { ...input.clip, hasSound: true } };
    expect(await compare({ input: own }, takes.oldPath)).toEqual([]);
    const reversed = await maker.ffmpeg('-i', clipPath, ...copy, '-map', '0:a', '-af', 'areverse', 'other.mp4');
    expect(totalMs(await compare({ input: { ...own, clipPath: reversed } }, takes.oldPath))).toBeGreaterThan(2_000);
  });

  it('Old lips behind a microphone or a hand are no fault, because the picture of the clip is right there.', async () => {
    const reported = (isMouthVisible: (frame: number) => boolean) =>
      compare({ input: { ...takes.input, isMouthVisible } }, takes.oldPath);
    expect(await reported(() => false)).toEqual([]);
    const [open, ...others] = await reported((frame) => frame >= 50);
    expect(others).toEqual([]);
    expect(open?.startMs).toBeGreaterThan(1_000);
  });

  it('The comparison stops when its signal aborts.', async () => {
    const context = { ...taskContext(), signal: AbortSignal.abort(new Error('stop')) };
    const take = { takePath: takes.oldPath, takeFacts: takes.input.clip };
    await expect(compareLips({ ...takes.input, ...take }, context)).rejects.toThrow();
  });
});
