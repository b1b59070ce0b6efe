import { join } from 'node:path';
import { expect, it } from 'vitest';
import { probeClip, probeSound, probeVideo } from '../../src/media/index.ts';
import { limits, makeMedia, makeSpeech, passThrough, temporaryFolder, x264 } from './make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');

it('Picture and sound of a video are described as by the probes of each.', async () => {
  const path = join(samples, 'presenter.mp4');
  const { picture, sound } = await probeVideo(path, { limits });
  expect(picture).toEqual(await probeClip(path, { limits }));
  expect(sound).toEqual(await probeSound(path));
  expect(sound).toMatchObject({ sampleRateHz: expect.any(Number) });
});

it.each(['25', '30000/1001'])(
  'A take at %s frames per second is described alike with expected frames.',
  async (rate) => {
    const folder = await temporaryFolder();
    const source = ['-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=${rate}:duration=2`, '-pix_fmt', 'yuv420p'];
    const clipPath = await makeMedia(...source, '-colorspace', 'bt709', join(folder, 'clip.mp4'));
    const { takePath, clip, timeline } = await passThrough(
      folder,
      clipPath,
      await makeSpeech(join(folder, 'a.wav'), 1),
    );
    const { width, height } = clip;
    const expected = { width, height, frameRate: timeline.frameRate, frameCount: timeline.frameCount };
    const complete = await probeVideo(takePath, { limits });
    expect(await probeVideo(takePath, { limits }, expected)).toEqual(complete);
    const latePath = await makeMedia(
      '-i',
      takePath,
      '-c',
      'copy',
      '-output_ts_offset',
      '0.5',
      join(folder, 'late.mp4'),
    );
    const late = await probeVideo(latePath, { limits }, expected);
    expect(late).toEqual(await probeVideo(latePath, { limits }));
    expect(late.picture).not.toEqual(complete.picture);
  },
);

it('A video with the expected mean rate whose frames are shown at uneven times is probed completely.', async () => {
  const folder = await temporaryFolder();
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=2', ...x264, '-bf', '0'];
  const even = await makeMedia(...source, join(folder, 'even.mp4'));
  const shift = "setts=ts='TS+if(eq(mod(N,10),5),200,0)'";
  const uneven = await makeMedia('-i', even, '-c', 'copy', '-bsf:v', shift, join(folder, 'uneven.mp4'));
  const expected = { width: 320, height: 180, frameRate: { numerator: 25, denominator: 1 }, frameCount: 50 };
  expect((await probeVideo(even, { limits }, expected)).picture).toMatchObject({ variableFrameRate: false });
  const found = await probeVideo(uneven, { limits }, expected);
  expect(found).toEqual(await probeVideo(uneven, { limits }));
  expect(found.picture).toMatchObject({ frameCount: 50, variableFrameRate: true });
});

it('A file that is not the expected take fails as a clip does.', async () => {
  const expected = { width: 320, height: 180, frameRate: { numerator: 25, denominator: 1 }, frameCount: 50 };
  await expect(probeVideo('/missing.mp4', { limits }, expected)).rejects.toMatchObject({ code: 'not_found' });
});
