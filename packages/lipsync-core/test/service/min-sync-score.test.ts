import { describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { checkMinSyncScore } from '../../src/service/installation.ts';

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
