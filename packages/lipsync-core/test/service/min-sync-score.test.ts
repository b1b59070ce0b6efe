import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { createLocalHost } from '../../src/service/get-lipsync-service.ts';
import { checkMinSyncScore } from '../../src/service/installation.ts';
import { createLipsyncService } from '../../src/service/lipsync-service.ts';
import { makeShortSample } from './short-sample.ts';

const configOf = (environment: Record<string, string>) => configFromEnvironment(environment);
const model = { SYNCNET_MODEL_PATH: '/models/syncnet.onnx' };

describe('min_sync_score where no sync score is measured', () => {
  it('It is refused, and the message names the missing setting.', () => {
    expect(() => checkMinSyncScore({ minSyncScore: 0.7 }, configOf({}))).toThrow(
      expect.objectContaining({ code: 'not_supported', message: expect.stringContaining('SYNCNET_MODEL_PATH') }),
    );
    const off = configOf({ ...model, LIPSYNC_QUALITY: 'off' });
    expect(() => checkMinSyncScore({ minSyncScore: 0 }, off)).toThrow('LIPSYNC_QUALITY');
  });

  it('An in-process job and an estimate with it fail before anything is stored.', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lipsync-min-sync-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const service = createLipsyncService(
      createLocalHost(configOf({ LIPSYNC_DATA_DIR: join(folder, 'data'), LIPSYNC_OUTPUT_DIR: folder })),
    );
    onTestFinished(() => service.close());
    const { clipPath: videoPath, speechPath: audioPath } = await makeShortSample(folder);
    const request = { videoPath, audioPath, minSyncScore: 0.7 };
    const refusal = { code: 'not_supported' };
    await expect(service.generateLipsync({ ...request, outputPath: join(folder, 'a.mp4') })).rejects.toMatchObject(
      refusal,
    );
    await expect(service.estimateCost(request)).rejects.toMatchObject(refusal);
    expect((await readdir(join(folder, 'data'))).filter((name) => !name.startsWith('state.sqlite'))).toEqual([]);
  });

  it('Requests without it, and all requests where SyncNet is configured, are accepted.', () => {
    expect(() => checkMinSyncScore({}, configOf({}))).not.toThrow();
    expect(() => checkMinSyncScore({ minSyncScore: 0.7 }, configOf(model))).not.toThrow();
  });

  it('The setting of the lowest score is refused at start.', () => {
    expect(() => configOf({ LIPSYNC_MIN_SYNC_SCORE: '0.7' })).toThrow('SYNCNET_MODEL_PATH');
    expect(() => configOf({ ...model, LIPSYNC_MIN_SYNC_SCORE: '1.5' })).toThrow('at most 1');
    expect(configOf({ ...model, LIPSYNC_MIN_SYNC_SCORE: '0.7' })).toMatchObject({
      minSyncScore: 0.7,
      syncnetModelPath: '/models/syncnet.onnx',
    });
  });
});
