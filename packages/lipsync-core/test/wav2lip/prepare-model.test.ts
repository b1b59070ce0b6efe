import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ModelSource } from '../../src/providers/wav2lip/engine/engine-address.ts';
import { prepareModel } from '../../src/providers/wav2lip/engine/prepare-model.ts';
import { readModelRecord } from '../../src/inference/models/model-record.ts';
import { resolveModel } from '../../src/inference/models/resolve-model.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { absentGpu, cpu, openPool, soon, temporaryFolder } from './engine-fixture.ts';
import { checkpointBytes, seededState } from './seeded-checkpoint.ts';

async function checkpoint(): Promise<ModelSource> {
  const folder = await temporaryFolder();
  const path = join(folder, 'wav2lip.pth');
  await writeFile(path, checkpointBytes(await seededState(16, 7), { format: 'zip' }));
  return { path, cacheFolder: join(folder, 'cache') };
}

/** Prepares the model on the CPU; released at the end of the test. */
async function prepare(source: ModelSource): Promise<void> {
  const model = await prepareModel(source, { kind: 'cpu' }, soon());
  onTestFinished(() => model.release());
  expect(model.facts.cropSizePx).toBe(96);
}

describe('Model preparation', () => {
  it('No checkpoint is imported for an unavailable device.', async () => {
    const source = await checkpoint();
    const pool = openPool({ devices: async () => [[absentGpu('cuda:0')]] });
    await expect(pool.lease(source, { signal: soon() })).rejects.toMatchObject({
      code: 'not_supported',
      message: expect.stringContaining('cuda is not available'),
    });
    await expect(readdir(source.cacheFolder)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('On a machine without a GPU, a checkpoint is imported once, for the CPU.', async () => {
    const source = await checkpoint();
    const pool = openPool({ devices: async () => [[absentGpu('cuda:0'), absentGpu('cuda:1')], [cpu]] });
    await expect(pool.lease(source, { signal: soon() })).resolves.toMatchObject({ deviceName: 'cpu' });
    expect((await readdir(source.cacheFolder)).toSorted()).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}\.onnx$/),
      expect.stringMatching(/^[0-9a-f]{64}\.onnx\.json$/),
    ]);
  });

  it('A cached model that was damaged without a size change is imported again.', async () => {
    const source = await checkpoint();
    const path = await resolveModel({ ...source, kind: wav2lipKind, signal: soon() });
    const content = await readFile(path);
    await writeFile(path, Buffer.concat([Buffer.alloc(1_000), content.subarray(1_000)]));
    await prepare(source);
    expect((await readFile(path)).equals(content)).toBe(true);
  });

  it('A cached model that matches its record is not imported again when it fails to load.', async () => {
    const source = await checkpoint();
    const path = await resolveModel({ ...source, kind: wav2lipKind, signal: soon() });
    const record = await readModelRecord(path);
    // A model that matches its record but never loads.
    const text = 'not a model';
    const sha256 = createHash('sha256').update(text).digest('hex');
    await writeFile(path, text);
    await writeFile(
      `${path}.json`,
      JSON.stringify({ ...record, model: { ...record?.model, sha256, bytes: text.length } }),
    );
    await expect(prepare(source)).rejects.toMatchObject({ code: 'model_invalid' });
    expect(await readFile(path, 'utf8')).toBe(text);
  });

  it('A damaged ONNX file that was not imported is left unchanged.', async () => {
    const path = join(await temporaryFolder(), 'model.onnx');
    await writeFile(path, 'not a model');
    await expect(prepare({ path, cacheFolder: 'none' })).rejects.toMatchObject({ code: 'model_invalid' });
    expect(await readFile(path, 'utf8')).toBe('not a model');
  });
});
