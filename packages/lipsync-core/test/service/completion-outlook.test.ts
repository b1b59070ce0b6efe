import { expect, it } from 'vitest';
import { configFromEnvironment } from '../../src/config.ts';
import { lipsyncOptionsSchema } from '../../src/contract/index.ts';
import { createCompletionOutlook, createInstallationForecast } from '../../src/service/installation.ts';
import { createMemoryState } from '../../src/testing/memory-state-store.ts';

const config = configFromEnvironment({ HEYGEN_API_KEY: 'a-key-of-a-test', WAV2LIP_MODEL_PATH: '/models/wav2lip.onnx' });
const options = (optimize: 'speed' | 'balanced' | 'cost') => lipsyncOptionsSchema.parse({ optimize });

it('The fastest of several providers is expected once all of them were measured, and each earlier job of a batch adds its share.', async () => {
  const state = createMemoryState().open();
  let nowMs = 1_000;
  const host = { state, clock: { nowMs: () => nowMs }, load: async () => ({ inlineJobs: 3, inlineSeats: 2 }) };
  const forecast = createInstallationForecast(config, host);
  const outlook = createCompletionOutlook(config, host);
  const measure = async (provider: string, tookMs: number) => {
    await forecast.record({ provider, options: options('speed'), durationMs: 10_000 }, tookMs);
    nowMs += 3_000;
  };
  await measure('wav2lip', 20_000);
  expect(await outlook(options('cost'))).toBeCloseTo(2 * 10_000 + 20_000, -2);
  expect(await outlook(options('cost'), 4)).toBeCloseTo(2 * 10_000 + 20_000 + 4 * 10_000, -2);
  expect(await outlook(options('speed'))).toBeUndefined();
  await measure('heygen', 90_000);
  expect(await outlook(options('speed'))).toBeCloseTo(40_000, -2);
  expect(await outlook(options('balanced'))).toBeUndefined();
});
