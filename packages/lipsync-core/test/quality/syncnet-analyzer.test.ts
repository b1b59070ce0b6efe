import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assessVideoTask } from '../../src/quality/assessment/assess-video-task.ts';
import type { MeasuredQuality } from '../../src/quality/assessment/merge-findings.ts';
import { qualityViewSchema, toQualityView } from '../../src/contract/quality.ts';
import { syncNetParts } from '../../src/quality/syncnet/syncnet-tables.ts';
import { probeClip, planTimeline } from '../../src/media/index.ts';
import { hashFile } from '../../src/storage/file-hash.ts';
import { writeSeededSyncNet } from '../../src/testing/syncnet-models.ts';
import { limits } from '../media/make-media.ts';
import { TakeMaker, taskContext } from './take-fixture.ts';

const samples = join(import.meta.dirname, '..', '..', '..', '..', 'samples');
const names = Object.values(syncNetParts).map(({ name }) => name);

describe('SyncNet in an assessment', { timeout: 300_000 }, () => {
  let maker: TakeMaker;
  let path: string;
  let modelPath: string;
  beforeAll(async () => {
    maker = await TakeMaker.create();
    const cut = ['-t', '4', '-vf', 'scale=480:-2', '-c:v', 'libx264', '-preset', 'veryfast'];
    path = await maker.ffmpeg('-i', join(samples, 'presenter.mp4'), ...cut, 'presenter.mp4');
    modelPath = join(maker.folder, 'syncnet.onnx');
    await writeSeededSyncNet(modelPath, { widthDivisor: 16, seed: 2 });
  });
  afterAll(async () => maker[Symbol.asyncDispose]());

  async function assess(videoPath: string, { source = false, syncnetPath = modelPath } = {}): Promise<MeasuredQuality> {
    const clip = await probeClip(videoPath, { limits });
    const input = {
      videoPath,
      trackCacheFolder: join(maker.folder, 'tracks'),
      workFolder: maker.folder,
      limits,
      models: { syncnetPath, cacheFolder: join(maker.folder, 'models') },
      ...(source && {
        source: {
          clipPath: videoPath,
          clipDigest: (await hashFile(videoPath)).sha256,
          clip,
          timeline: planTimeline(clip, clip.durationMs, { syncMode: 'loop' }),
        },
      }),
    };
    return assessVideoTask(input, taskContext());
  }

  it('A video has distance, confidence, offset, intervals and the spread of encodings, beside those of its source.', async () => {
    const { quality, trace } = await assess(path, { source: true });
    expect(qualityViewSchema.parse(toQualityView(quality))).toBeDefined();
    for (const name of names) expect(quality.parts[name]).toMatchObject({ value: expect.any(Number), reason: null });
    const { lse_d: lseD, lse_c: lseC, sync_score_low: low, sync_score_high: high } = quality.parts;
    expect(quality.sync).toMatchObject({ method: 'syncnet', lseD: lseD?.value, lseC: lseC?.value, windows: 95 });
    expect(quality.syncScore).toBeGreaterThanOrEqual(low?.value ?? 1);
    expect(quality.syncScore).toBeLessThanOrEqual(high?.value ?? 0);
    expect(quality.grade).not.toBe('unknown');
    // The take is the clip. Only its box differs a little: by the track for the source, measured in the take.
    const difference = (quality.source?.['lse_d'] ?? 0) / (lseD?.value ?? 0) - 1;
    expect(Math.abs(difference)).toBeLessThan(0.01);
    expect(quality.models['syncnet']).toBe((await hashFile(modelPath)).sha256);
    expect(trace.distanceCurve).toHaveLength(31);
    const curve = trace.distanceCurve ?? [];
    expect(curve.map(({ lagFrames }) => lagFrames)).toEqual(Array.from({ length: 31 }, (_, index) => index - 15));
    const best = curve.reduce((lowest, point) => (point.distance < lowest.distance ? point : lowest));
    expect(best.distance).toBeCloseTo(lseD?.value ?? NaN, 3);
    expect(best.lagFrames).toBe(quality.parts['syncnet_offset']?.value);
    expect(trace.syncConfidence).toHaveLength(95);
  });

  it('Without a model, without sound and for a face that is too small, every part is null with the reason.', async () => {
    const reasonOf = async (measured: Promise<MeasuredQuality>): Promise<string> => {
      const { quality } = await measured;
      expect(quality.syncScore).toBeNull();
      const reasons = new Set(names.map((name) => quality.parts[name]?.reason));
      expect(reasons.size).toBe(1);
      return [...reasons].join();
    };
    expect(await reasonOf(assess(path, { syncnetPath: '' }))).toContain('SYNCNET_MODEL_PATH');
    const small = await maker.ffmpeg('-i', path, '-vf', 'scale=160:-2', '-c:a', 'copy', 'small.mp4');
    expect(await reasonOf(assess(small))).toContain('smaller than 100 pixels');
    const silent = await maker.ffmpeg('-i', path, '-an', '-c:v', 'copy', 'silent.mp4');
    expect(await reasonOf(assess(silent))).toContain('no sound');
  });

  it('A model that is no SyncNet leaves the parts null with its fault, and the other parts are measured.', async () => {
    const { quality } = await assess(path, { syncnetPath: path });
    expect(quality.parts['lse_d']).toMatchObject({ value: null, reason: expect.stringContaining('checkpoint') });
    expect(quality.parts['sync_strength']?.value).toEqual(expect.any(Number));
  });
});
