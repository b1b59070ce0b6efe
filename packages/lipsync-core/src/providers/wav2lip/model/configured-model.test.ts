import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConfiguredModel, suitsDevice } from './configured-model.ts';
import { newModelRecord, officialLicence, recordPathOf, writeModelRecord, type ModelRecord } from './model-record.ts';

const nothingKnown = { licence: null, elementType: null, form: null };

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-configured-'));
  path = join(folder, 'model.onnx');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function recordOf(content: string, form: ModelRecord['model']['form'] = 'rewritten'): ModelRecord {
  return newModelRecord({
    name: 'wav2lip',
    checkpoint: { sha256: 'a', bytes: 1, format: 'zip' },
    verification: { layers: 51, largest_error: 0 },
    imported_at: '2026-11-21T00:00:00Z',
    model: {
      sha256: createHash('sha256').update(content).digest('hex'),
      bytes: content.length,
      element_type: 'float32',
      form,
    },
  });
}

async function place(content: string, record = recordOf(content)): Promise<void> {
  await writeFile(path, content);
  await writeModelRecord(recordPathOf(path), record);
}

/** By this process, from wherever. */
function bytesReadSoFar(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

describe('what is known of the configured model', () => {
  it('is what the record beside it says, while it is the file that was recorded', async () => {
    await place('a model');
    expect(await createConfiguredModel(path).look()).toEqual({
      licence: officialLicence,
      elementType: 'float32',
      form: 'rewritten',
    });
  });

  it('is nothing once another file has taken its place, of another size or of the same', async () => {
    await place('a model');
    const model = createConfiguredModel(path);
    await model.look();
    for (const content of ['another model', 'b model']) {
      await writeFile(join(folder, 'new'), content);
      await rename(join(folder, 'new'), path);
      expect(await model.look()).toEqual(nothingKnown);
    }
    await place('a model');
    expect(await model.look()).toMatchObject({ licence: officialLicence });
  });

  it('is nothing while there is no file, no record, no model, or a record of a version that did not write it', async () => {
    const model = createConfiguredModel(path);
    expect(await model.look()).toEqual(nothingKnown);
    await place('a model', recordOf('a model', null));
    expect(await model.look()).toEqual({ ...nothingKnown, licence: officialLicence, elementType: 'float32' });
    await rm(recordPathOf(path));
    expect(await model.look()).toEqual(nothingKnown);
    expect(await createConfiguredModel(null).look()).toEqual(nothingKnown);
  });

  it('is the licence of the released checkpoints for whatever is no ONNX file', async () => {
    expect(await createConfiguredModel(join(folder, 'wav2lip.pth')).look()).toEqual({
      ...nothingKnown,
      licence: officialLicence,
    });
  });

  it.skipIf(process.platform !== 'linux')(
    'is found without reading the file again while its size and times stay the same',
    async () => {
      const content = 'm'.repeat(16 * 1024 * 1024);
      await place(content);
      const model = createConfiguredModel(path);
      const isWhollyRead = async (): Promise<boolean> => {
        const before = bytesReadSoFar();
        expect(await model.look()).toMatchObject({ licence: officialLicence });
        return bytesReadSoFar() - before >= content.length;
      };
      expect([await isWhollyRead(), await isWhollyRead()]).toEqual([true, false]);
      await utimes(path, 1, 1);
      expect(await isWhollyRead()).toBe(true);
    },
  );
});

describe("a model's form", () => {
  it.each([
    ['rewritten', 'cpu', true],
    ['rewritten', 'cuda', false],
    ['rewritten', 'webgpu', false],
    ['plain', 'cpu', false],
    ['plain', 'cuda', true],
    ['plain', 'webgpu', true],
    [null, 'cpu', null],
    ['plain', null, null],
  ] as const)('%s on %s: suits it? %s', (form, device, suits) => {
    expect(suitsDevice({ form }, device)).toBe(suits);
  });
});
