import { listProviders, type StateStore } from '@lipsync/core/host';
import { configFromEnvironment } from '@lipsync/core/config';
import { createClientConnection, RedisStateStore } from '@lipsync/queue';
import { startTestRedis } from '@lipsync/queue/testing';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { json, startApi } from './running-api.ts';

const closed = { state: 'closed', reason: null, open_until: null };
const unknown = { device: null, licence: null, model_precision: null, model_suits_device: null, balance_usd: null };

let folder: string;
let state: StateStore;
let close: () => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'providers-'));
  const redis = await startTestRedis();
  const connection = createClientConnection({ url: redis.url, onError: () => undefined });
  state = new RedisStateStore({ connection });
  close = async () => {
    connection.disconnect();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  };
});
afterAll(() => close());

/** The response of GET /providers with these settings. */
async function providersOf(environment: Record<string, string> = {}): Promise<Record<string, unknown>[]> {
  const config = configFromEnvironment(environment);
  const api = await startApi({
    providers: listProviders(config, { state }),
  });
  await using _ = { [Symbol.asyncDispose]: () => api.close() };
  return (await json(await api.fetch('/providers'))).providers;
}

/** Writes a model record for the model at `path`, as an import of `content` does. */
async function writeRecord(path: string, content: string, form: { readonly form?: string } = {}): Promise<void> {
  const sha256 = createHash('sha256').update(content).digest('hex');
  await writeFile(
    `${path}.json`,
    JSON.stringify({
      name: 'mine',
      role: 'mouths',
      source: 'here',
      licence: 'CC0',
      importer_version: 1,
      imported_at: '2026-11-21T00:00:00Z',
      checkpoint: { sha256: 'a', bytes: 1, format: 'zip' },
      model: { sha256, bytes: content.length, element_type: 'float32', ...form },
      verification: { layers: 1, largest_error: 0 },
    }),
  );
}

describe('GET /providers', () => {
  it('GET /providers names the missing setting of a provider and returns null for unknown values.', async () => {
    expect(await providersOf()).toEqual([
      {
        id: 'heygen',
        configured: false,
        missing_setting: 'HEYGEN_API_KEY',
        degraded: false,
        ...unknown,
        usd_per_second: { speed: 0.0333, precision: 0.0667 },
        breaker: closed,
      },
      {
        id: 'wav2lip',
        configured: false,
        missing_setting: 'WAV2LIP_MODEL_PATH',
        degraded: false,
        ...unknown,
        usd_per_second: null,
        breaker: closed,
      },
      {
        id: 'preview',
        configured: true,
        missing_setting: null,
        degraded: true,
        ...unknown,
        device: 'cpu',
        usd_per_second: null,
        breaker: closed,
      },
    ]);
  });

  it('GET /providers shows the license of the configured weights, and none for an unknown model.', async () => {
    const foreign = join(folder, 'foreign.onnx');
    await writeFile(foreign, 'an unknown model');
    expect((await providersOf({ WAV2LIP_MODEL_PATH: foreign }))[1]).toMatchObject({
      configured: true,
      missing_setting: null,
      licence: null,
    });
    expect((await providersOf({ WAV2LIP_MODEL_PATH: join(folder, 'wav2lip.pth') }))[1]).toMatchObject({
      licence: expect.stringContaining('no commercial use'),
    });
    await writeRecord(foreign, 'an unknown model');
    expect((await providersOf({ WAV2LIP_MODEL_PATH: foreign }))[1]).toMatchObject({ licence: 'CC0' });
  });

  it('GET /providers ignores the license in a model record that belongs to another file.', async () => {
    const model = join(folder, 'replaced.onnx');
    await writeFile(model, 'the model of before');
    await writeRecord(model, 'the model of before');
    const config = configFromEnvironment({ WAV2LIP_MODEL_PATH: model });
    const wav2lip = listProviders(config, { state }).find(({ id }) => id === 'wav2lip');
    expect(await wav2lip?.inspect()).toMatchObject({ licence: 'CC0' });
    for (const replacement of ['the model of behind', 'a larger model than that']) {
      await writeFile(model, replacement);
      expect(await wav2lip?.inspect()).toMatchObject({ licence: null });
    }
  });

  it('GET /providers reports whether the form of the model suits the device.', async () => {
    const model = join(folder, 'imported.onnx');
    await writeFile(model, 'an imported model');
    await writeRecord(model, 'an imported model', { form: 'plain' });
    const settings = { WAV2LIP_MODEL_PATH: model, LIPSYNC_GPU_ENABLED: 'false' };
    expect((await providersOf(settings))[1]).toMatchObject({ device: 'cpu', model_suits_device: false });
    await writeRecord(model, 'an imported model', { form: 'rewritten' });
    expect((await providersOf(settings))[1]).toMatchObject({ device: 'cpu', model_suits_device: true });
    await writeRecord(model, 'an imported model');
    expect((await providersOf(settings))[1]).toMatchObject({ device: 'cpu', model_suits_device: null });
  });

  it('GET /providers reports the only possible device, or the device used last.', async () => {
    expect((await providersOf({ LIPSYNC_GPU_ENABLED: 'false' }))[1]).toMatchObject({ device: 'cpu' });
    await state.transact(['device/wav2lip'], () => ({
      result: undefined,
      writes: new Map([['device/wav2lip', { device: 'webgpu' }]]),
    }));
    expect((await providersOf())[1]).toMatchObject({ device: 'webgpu' });
  });

  it('GET /providers returns a null balance if the vendor does not respond.', async () => {
    const [heygen] = await providersOf({ HEYGEN_API_KEY: 'key', HEYGEN_API_ENDPOINT: 'http://127.0.0.1:9' });
    expect(heygen).toMatchObject({ configured: true, balance_usd: null });
  });

  it('GET /providers states which models assess outputs.', async () => {
    const api = await startApi({}, { SYNCNET_MODEL_PATH: '/models/syncnet.onnx' });
    await using _ = { [Symbol.asyncDispose]: () => api.close() };
    expect((await json(await api.fetch('/providers'))).quality).toEqual({
      enabled: true,
      syncnet: true,
      lr_asd: false,
      dnsmos: false,
    });
  });
});
