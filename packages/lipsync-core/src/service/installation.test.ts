import { listProviderIds } from '../scheduling/execution-plan.ts';
import { describe, expect, it } from 'vitest';
import { configFromEnvironment } from '../config.ts';
import { lipsyncOptionsSchema, type LipsyncOptionsInput } from '../contract/index.ts';
import { planJob, settingWarnings } from './installation.ts';

const withKey = { HEYGEN_API_KEY: 'key' };
const withModel = { WAV2LIP_MODEL_PATH: 'models/wav2lip.onnx' };

function startOf(environment: Record<string, string>, options: LipsyncOptionsInput = {}) {
  return planJob(lipsyncOptionsSchema.parse(options), configFromEnvironment(environment));
}

describe('a job that is about to be recorded', () => {
  it.each([
    [{}, {}, ['preview'], 'inline'],
    [withModel, {}, ['wav2lip'], 'inline'],
    [withKey, { optimize: 'speed' }, ['heygen'], 'remote'],
    [{ ...withKey, ...withModel }, {}, ['heygen', 'wav2lip'], 'remote'],
    [
      { ...withKey, ...withModel },
      { optimize: 'cost', allowPreview: true },
      ['wav2lip', 'heygen', 'preview'],
      'inline',
    ],
    [{ ...withKey, ...withModel }, { method: 'wav2lip', optimize: 'speed' }, ['wav2lip'], 'inline'],
  ] as const)(
    'with the settings %j and the wishes %j is planned for %j and begins with a provider that is %s',
    (environment, options, plan, needs) => {
      const start = startOf(environment, options);
      expect({ plan: start.plan && listProviderIds(start.plan), needs: start.needs }).toEqual({ plan, needs });
    },
  );

  it.each(['balanced', 'speed'] as const)(
    'is looked at where others are waited for, before it is planned for %s',
    (optimize) => {
      expect(startOf({ ...withKey, ...withModel }, { optimize })).toEqual({ plan: null, needs: 'remote' });
    },
  );

  it('is refused when nothing stands for its method', () => {
    expect(() => startOf(withModel, { method: 'heygen' })).toThrow(expect.objectContaining({ code: 'not_supported' }));
  });
});

describe('what an operator is told of settings at start', () => {
  const warningsOf = (environment: Record<string, string>) => settingWarnings(configFromEnvironment(environment));

  it('is that a version in the endpoint of HeyGen was dropped, and that a key would travel unencrypted', () => {
    expect(warningsOf({ ...withKey, HEYGEN_API_ENDPOINT: 'http://heygen.example/v1' })).toEqual([
      expect.stringContaining('/v1, which was dropped'),
      expect.stringContaining('unencrypted'),
    ]);
  });

  it('is nothing where all is well, or HeyGen is not used', () => {
    expect(warningsOf(withKey)).toEqual([]);
    expect(warningsOf({ HEYGEN_API_ENDPOINT: 'http://heygen.example/v1' })).toEqual([]);
  });
});
