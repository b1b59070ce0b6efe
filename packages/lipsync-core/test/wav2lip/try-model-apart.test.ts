import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { LipsyncError } from '../../src/errors/index.ts';
import { tryModelApart } from '../../src/inference/models/try-model-apart.ts';
import { writeFaultModel, writeIdentityModel } from '../../src/testing/wav2lip-models.ts';
import { descendantsOf } from '../../src/testing/process-table.ts';
import { wav2lipKind } from '../../src/providers/wav2lip/model/network-kind.ts';
import { soon, temporaryFolder } from './engine-fixture.ts';

const limitMs = 55_000;
const kinds = [wav2lipKind];

function tries(): number {
  return descendantsOf(process.pid).filter(({ command }) => command.includes('try-model-process')).length;
}

async function modelPath(write: (path: string) => Promise<unknown>): Promise<string> {
  const path = join(await temporaryFolder(), 'model.onnx');
  await write(path);
  return path;
}

describe('tryModelApart', () => {
  it('Trying a model in a separate process returns its facts or its failure.', async () => {
    const sound = await modelPath((path) => writeIdentityModel(path, { cropSizePx: 32, fixedBatch: 2 }));
    expect(await tryModelApart(sound, { kinds, signal: soon(), limitMs })).toMatchObject({
      facts: { crop_size_px: 32, fixed_batch: 2 },
    });
    const faulty = await modelPath((path) => writeFaultModel(path, { cropSizePx: 16, nanAboveMean: -5 }));
    await expect(tryModelApart(faulty, { kinds, signal: soon(), limitMs })).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('not finite'),
    });
    await vi.waitFor(() => expect(tries()).toBe(0), { timeout: 30_000 });
  });

  it('A model that exceeds its time limit or is canceled is killed with its process.', async () => {
    const path = await modelPath((target) => writeIdentityModel(target, { cropSizePx: 32 }));
    await expect(tryModelApart(path, { kinds, signal: soon(), limitMs: 1 })).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringContaining('0.001 s'),
    });
    const controller = new AbortController();
    const canceled = tryModelApart(path, { kinds, signal: controller.signal, limitMs });
    controller.abort(new LipsyncError('canceled', 'Enough.'));
    await expect(canceled).rejects.toMatchObject({ code: 'canceled', message: 'Enough.' });
    await vi.waitFor(() => expect(tries()).toBe(0), { timeout: 30_000 });
  });
});
