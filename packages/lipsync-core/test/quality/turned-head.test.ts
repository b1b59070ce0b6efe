import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSeededSyncNet } from '../../src/testing/syncnet-models.ts';
import { assessVideoTask } from '../../src/quality/assessment/assess-video-task.ts';
import type { MeasuredQuality } from '../../src/quality/assessment/merge-findings.ts';
import { limits } from '../media/make-media.ts';
import { TakeMaker, taskContext } from './take-fixture.ts';
import { filmTurnedHead } from './turned-head.ts';

const presenter = join(import.meta.dirname, '..', '..', '..', '..', 'samples', 'presenter.mp4');
const seconds = 4.4;

describe('A head that is turned to a side', { timeout: 300_000 }, () => {
  let maker: TakeMaker;
  let clipPath: string;
  let syncnetPath: string;

  beforeAll(async () => {
    maker = await TakeMaker.create();
    const closeUp = ['-vf', 'fps=12.5,scale=640:-2,crop=260:260:195:40', '-crf', '12', '-preset', 'ultrafast'];
    clipPath = await maker.ffmpeg('-i', presenter, '-t', String(seconds), ...closeUp, 'clip.mp4');
    syncnetPath = join(maker.folder, 'syncnet.onnx');
    await writeSeededSyncNet(syncnetPath, { widthDivisor: 16, seed: 2 });
  });
  afterAll(async () => maker[Symbol.asyncDispose]());

  /** Assesses the head of the clip at an angle, with the sound of the clip. */
  async function assess(yawDegrees: number, models: { readonly syncnetPath?: string } = {}): Promise<MeasuredQuality> {
    const silent = await filmTurnedHead(maker, clipPath, { yawDegrees, seconds });
    const sound = ['-i', clipPath, '-map', '0:v', '-map', '1:a', '-c', 'copy'];
    const videoPath = await maker.ffmpeg('-i', silent, ...sound, `speaking-${yawDegrees}.mp4`);
    const folders = { trackCacheFolder: join(maker.folder, 'tracks'), workFolder: maker.folder };
    const input = { videoPath, ...folders, limits, models: { ...models, cacheFolder: maker.folder } };
    return assessVideoTask(input, taskContext());
  }

  it('The lips of the same model are measured when it looks into the camera.', async () => {
    const { quality } = await assess(0);
    expect(Math.abs(quality.sync?.offsetMs ?? NaN)).toBeLessThanOrEqual(40);
    expect(quality.labels.map(({ code }) => code)).not.toContain('face_turned_away');
  });

  it.each([60, -60])('Nothing is claimed about lips in profile at %i°, and the reason is the profile.', async (yaw) => {
    const { quality } = await assess(yaw, { syncnetPath });
    expect(quality.labels.map(({ code }) => code)).toContain('face_turned_away');
    const reason = 'The face is turned away.';
    expect(quality).toMatchObject({
      syncScore: null,
      grade: 'unknown',
      sync: { offsetMs: null, strength: null, reason },
    });
    for (const part of ['lse_d', 'lse_c', 'lip_dynamics', 'frozen_speech', 'bilabial_closure', 'sync_strength'])
      expect(quality.parts[part]).toMatchObject({ value: null, reason });
    expect(quality.labels.filter(({ fatal }) => fatal)).toEqual([]);
  });
});
