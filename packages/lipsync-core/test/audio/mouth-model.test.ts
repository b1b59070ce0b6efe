import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadMouthModel } from '../../src/audio/index.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mouth-model-'));
});

afterEach(() => rm(folder, { recursive: true }));

describe('loadMouthModel', () => {
  it('The bundled weights are loaded by default.', async () => {
    const model = await loadMouthModel();
    expect(model.hiddenBiases).toHaveLength(model.hiddenCount);
  });

  it('A missing file throws model_missing.', async () => {
    await expect(loadMouthModel(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'model_missing' });
  });

  it.each([
    '',
    '{"offsets": [0]}',
    '{"offsets":[0],"hiddenCount":1,"hiddenWeights":[1],"hiddenBiases":[0],"outputWeights":[1,1,1],"outputBiases":[0,0,0]}',
  ])('A damaged model throws model_invalid: %s', async (text) => {
    const path = join(folder, 'model.json');
    await writeFile(path, text);
    await expect(loadMouthModel(path)).rejects.toMatchObject({ code: 'model_invalid' });
  });
});
