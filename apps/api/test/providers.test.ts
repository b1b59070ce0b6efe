import { listProviders } from '@lipsync/core';
import { configFromEnvironment } from '@lipsync/core/config';
import { expect, it } from 'vitest';
import { json, startApi } from './running-api.ts';

const closed = { state: 'closed', reason: null, open_until: null };

it('GET /providers names the setting that a provider lacks, and the licence of its weights', async () => {
  await using api = await startProviders(null);
  expect(await json(await api.fetch('/providers'))).toEqual({
    providers: [
      {
        id: 'heygen', configured: false, missing_setting: 'HEYGEN_API_KEY', degraded: false, licence: null,
        usd_per_second: { speed: 0.0333, precision: 0.0667 }, breaker: closed,
      },
      {
        id: 'wav2lip', configured: false, missing_setting: 'WAV2LIP_MODEL_PATH', degraded: false, licence: expect.stringContaining('no commercial use'),
        usd_per_second: null, breaker: closed,
      },
      { id: 'preview', configured: true, missing_setting: null, degraded: true, licence: null, usd_per_second: null, breaker: closed },
    ],
  });
});

it('GET /providers calls Wav2Lip configured once it has a model', async () => {
  await using api = await startProviders('/models/wav2lip.onnx');
  expect((await json(await api.fetch('/providers'))).providers[1]).toMatchObject({ id: 'wav2lip', configured: true, missing_setting: null });
});

async function startProviders(modelPath: string | null) {
  const api = await startApi({ providers: listProviders({ ...configFromEnvironment({}), wav2lip: { modelPath, windowStartMs: 0 } }) });
  return { ...api, [Symbol.asyncDispose]: () => api.close() };
}
