import { listProviders } from '@lipsync/core';
import { expect, it } from 'vitest';
import { json, startApi } from './running-api.ts';

it('GET /providers names the setting that a provider lacks, and the licence of its weights', async () => {
  await using api = await startProviders(null);
  expect(await json(await api.fetch('/providers'))).toEqual({
    providers: [
      { id: 'wav2lip', configured: false, missing_setting: 'WAV2LIP_MODEL_PATH', degraded: false, licence: expect.stringContaining('no commercial use') },
      { id: 'preview', configured: true, missing_setting: null, degraded: true, licence: null },
    ],
  });
});

it('GET /providers calls Wav2Lip configured once it has a model', async () => {
  await using api = await startProviders('/models/wav2lip.onnx');
  expect((await json(await api.fetch('/providers'))).providers[0]).toMatchObject({ id: 'wav2lip', configured: true, missing_setting: null });
});

async function startProviders(modelPath: string | null) {
  const api = await startApi({ providers: listProviders({ wav2lip: { modelPath, windowStartMs: 0 } }) });
  return { ...api, [Symbol.asyncDispose]: () => api.close() };
}
