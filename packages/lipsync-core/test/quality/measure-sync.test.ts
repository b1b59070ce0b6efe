import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { probeClip, withoutSeeking } from '../../src/media/index.ts';
import { allStretches, chooseStretches } from '../../src/quality/syncnet/choose-stretches.ts';
import type { BoxTrack } from '../../src/quality/syncnet/face-boxes.ts';
import { measureSync, type SyncVideo } from '../../src/quality/syncnet/measure-sync.ts';
import { meanCurve, scoreCurve } from '../../src/quality/syncnet/sync-distances.ts';
import { SyncNetModel } from '../../src/quality/syncnet/syncnet-model.ts';
import { VideoSound } from '../../src/quality/syncnet/video-sound.ts';
import { writeLevelSyncNet } from '../../src/testing/syncnet-models.ts';
import { limits } from '../media/make-media.ts';
import { TakeMaker } from './take-fixture.ts';

const signal = AbortSignal.timeout(600_000);
const frameCount = 150;

/** Whether picture and sound are bright and loud in a frame: the same irregular pattern in every run. */
function isOn(frame: number): boolean {
  return Math.sin(frame * frame * 0.7) > 0;
}

/** Mono samples of a tone that is loud in some frames at 25 fps and quiet in the others. */
function toneFile(): Buffer {
  const samples = Buffer.alloc(frameCount * 640 * 2);
  for (let index = 0; index < frameCount * 640; index += 1) {
    const amplitude = isOn(Math.floor(index / 640)) ? 12_000 : 12;
    samples.writeInt16LE(Math.round(amplitude * Math.sin(index * 0.3)), index * 2);
  }
  return samples;
}

/** Raw gray pictures of 64 × 64 pixels, bright in the frames in which the sound is loud. */
function pictures(): Buffer {
  return Buffer.concat(Array.from({ length: frameCount }, (_, frame) => Buffer.alloc(64 * 64, isOn(frame) ? 220 : 30)));
}

describe('measureSync', { timeout: 120_000 }, () => {
  let maker: TakeMaker;
  let model: SyncNetModel;
  beforeAll(async () => {
    maker = await TakeMaker.create();
    await writeFile(join(maker.folder, 'tone.s16'), toneFile());
    await writeFile(join(maker.folder, 'pictures.gray'), pictures());
    const path = join(maker.folder, 'levels.onnx');
    await writeLevelSyncNet(path, { quiet: 8, loud: 22 });
    model = await SyncNetModel.load(path, signal);
  });
  afterAll(async () => {
    await model.release();
    await maker[Symbol.asyncDispose]();
  });

  /** A video whose sound is ahead of its picture by a number of frames. */
  async function makeVideo(aheadFrames: number, { rate = '25', loops = 0 } = {}): Promise<SyncVideo> {
    const raw = (file: string): string => join(maker.folder, file);
    const name = `ahead${aheadFrames}-${rate.replace('/', '-')}-${loops}.mov`;
    const line =
      `-stream_loop ${loops} -f rawvideo -pix_fmt gray -s 64x64 -r 25 -i ${raw('pictures.gray')} -itsoffset ${-aheadFrames / 25} ` +
      `-stream_loop ${loops} -f s16le -ar 16000 -ac 1 -i ${raw('tone.s16')} -map 0:v -map 1:a -r ${rate} ` +
      '-c:v libx264 -crf 18 -pix_fmt yuv420p -c:a pcm_s16le';
    const path = await maker.ffmpeg(...line.split(' '), name);
    const facts = await probeClip(path, { limits, signal });
    return { path, facts, sound: await VideoSound.read(path, signal) };
  }

  const box = { centerX: 32, centerY: 32, halfSide: 14 };
  function trackOf(start: number, length: number): BoxTrack {
    return { start, boxes: Array.from({ length }, () => box) };
  }

  it.each([0, 3, -3, 10, -12])('Sound that is %i frames ahead of the picture has that offset.', async (ahead) => {
    const video = await makeVideo(ahead);
    const options = {
      soundFrames: video.sound.frameCount,
      loudnessAt: (frame: number) => video.sound.loudnessAt(frame),
    };
    const { distances, frames } = await measureSync(video, allStretches([trackOf(0, frameCount)], options), {
      model,
      signal,
    });
    expect(frames).toHaveLength(Math.min(frameCount, video.sound.frameCount) - 5);
    expect(scoreCurve(meanCurve(distances)).offsetFrames).toBe(ahead);
  });

  it('A video at another rate is decoded at 25 fps.', async () => {
    const video = await makeVideo(5, { rate: '30000/1001' });
    const options = { soundFrames: video.sound.frameCount, loudnessAt: () => 1 };
    const { distances } = await measureSync(video, allStretches([trackOf(0, frameCount)], options), { model, signal });
    expect(scoreCurve(meanCurve(distances)).offsetFrames).toBe(5);
  });

  it('Windows of stretches have the distances that they have among all windows.', async () => {
    const video = await makeVideo(3);
    const tracks = [trackOf(0, 60), trackOf(70, 80)];
    const options = { soundFrames: video.sound.frameCount, loudnessAt: () => 1 };
    const all = await measureSync(video, allStretches(tracks, options), { model, signal });
    const chosen = chooseStretches(tracks, { ...options, maxFrames: 100 });
    expect(chosen.map(({ start, end }) => end - start)).toEqual([50, 50]);
    const some = await measureSync(video, chosen, { model, signal });
    some.frames.forEach((frame, row) => {
      const same = all.frames.indexOf(frame);
      const distancesOf = (source: Float32Array, index: number): Float32Array =>
        source.subarray(index * 31, (index + 1) * 31);
      const expected = distancesOf(all.distances, same);
      for (const [shift, distance] of distancesOf(some.distances, row).entries())
        expect(distance).toBeCloseTo(expected[shift] ?? NaN, 4);
    });
  });

  it('Stretches far apart are found by seeking and have the distances of a pass over the whole video.', async () => {
    const { sound, path, facts } = await makeVideo(3, { loops: 3, rate: '30' });
    const options = { soundFrames: sound.frameCount, loudnessAt: () => 1, maxFrames: 100 };
    const stretches = chooseStretches([trackOf(50, 4 * frameCount - 100)], options);
    expect(stretches).toHaveLength(2);
    const found = await measureSync({ path, facts, sound }, stretches, { model, signal });
    const whole = withoutSeeking(facts);
    const passed = await measureSync({ path, facts: whole, sound }, stretches, { model, signal });
    expect([found.didSeek, passed.didSeek]).toEqual([true, false]);
    expect(found.distances).toEqual(passed.distances);
  });

  it('Sounds outside of the track are zero vectors, whose distances stay in the mean.', async () => {
    const video = await makeVideo(0);
    const options = { soundFrames: video.sound.frameCount, loudnessAt: () => 1 };
    const { distances } = await measureSync(video, allStretches([trackOf(40, 60)], options), { model, signal });
    // The first window of the track compares with 15 sounds before the track. |lip| is its distance from zero.
    const first = distances.subarray(0, 31);
    const toZero = first[0] ?? NaN;
    expect(toZero).toBeGreaterThan(1);
    for (let shift = 1; shift < 15; shift += 1) expect(first[shift]).toBe(toZero);
    expect(first[15]).not.toBe(toZero);
  });
});
