import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { configFromEnvironment } from '../config.ts';
import { readEngineVersion } from './engine-version.ts';

const versionOf = (environment: Record<string, string> = {}): Promise<string> =>
  readEngineVersion(configFromEnvironment(environment));

it('The engine version changes with a model, a provider and the settings of takes and quality, and else stays.', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'engine-version-'));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const model = join(folder, 'model.onnx');
  await writeFile(model, 'weights 1');
  const wav2lip = { WAV2LIP_MODEL_PATH: model };
  const first = await versionOf(wav2lip);
  expect(await versionOf({ ...wav2lip, LIPSYNC_DATA_DIR: folder, LIPSYNC_BUDGET_DAILY_USD: '5' })).toBe(first);
  const others = [
    await versionOf(),
    await versionOf({ HEYGEN_API_KEY: 'key' }),
    await versionOf({ ...wav2lip, WAV2LIP_WINDOW_START_MS: '0' }),
    await versionOf({ ...wav2lip, SYNCNET_MODEL_PATH: model }),
    await versionOf({ ...wav2lip, LIPSYNC_QUALITY: 'off' }),
    await versionOf({ ...wav2lip, SYNCNET_MODEL_PATH: model, LIPSYNC_MIN_SYNC_SCORE: '0.4' }),
  ];
  await writeFile(model, 'weights 2');
  expect(new Set([first, ...others, await versionOf(wav2lip)]).size).toBe(8);
});
