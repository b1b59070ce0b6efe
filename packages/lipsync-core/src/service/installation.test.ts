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

describe('The plan of a new job', () => {
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
    'With the settings %j and the options %j the plan is %j and starts with a provider of kind %s.',
    (environment, options, plan, needs) => {
      const start = startOf(environment, options);
      expect({ plan: start.plan && listProviderIds(start.plan), needs: start.needs }).toEqual({ plan, needs });
    },
  );

  it.each(['balanced', 'speed'] as const)(
    'A job that optimizes for %s is planned by a worker of the cloud lane.',
    (optimize) => {
      expect(startOf({ ...withKey, ...withModel }, { optimize })).toEqual({ plan: null, needs: 'remote' });
    },
  );

  it('A method without a configured provider is refused.', () => {
    expect(() => startOf(withModel, { method: 'heygen' })).toThrow(expect.objectContaining({ code: 'not_supported' }));
  });
});

describe('Warnings about settings', () => {
  const warningsOf = (environment: Record<string, string>) => settingWarnings(configFromEnvironment(environment));

  it('A version in the HeyGen endpoint and an unencrypted connection are warned about.', () => {
    expect(warningsOf({ ...withKey, HEYGEN_API_ENDPOINT: 'http://heygen.example/v1' })).toEqual([
      expect.stringContaining('/v1, which is ignored'),
      expect.stringContaining('unencrypted'),
    ]);
  });

  it('There is no warning for valid settings, or while HeyGen is not configured.', () => {
    expect(warningsOf(withKey)).toEqual([]);
    expect(warningsOf({ HEYGEN_API_ENDPOINT: 'http://heygen.example/v1' })).toEqual([]);
  });
});
