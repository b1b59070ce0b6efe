import { join } from 'node:path';
import { expect, it } from 'vitest';
import { probeClip, probeSound, probeVideo } from '../../src/media/index.ts';
import { limits } from './make-media.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');

it('Picture and sound of a video are described as by the probes of each.', async () => {
  const path = join(samples, 'presenter.mp4');
  const { picture, sound } = await probeVideo(path, { limits });
  expect(picture).toEqual(await probeClip(path, { limits }));
  expect(sound).toEqual(await probeSound(path));
  expect(sound).toMatchObject({ sampleRateHz: expect.any(Number) });
});
