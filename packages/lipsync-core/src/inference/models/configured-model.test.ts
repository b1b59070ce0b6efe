import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfiguredModel, suitsDevice } from './configured-model.ts';
import { wav2lipKind } from '../../providers/wav2lip/model/network-kind.ts';
import { newModelRecord, recordPathOf, writeModelRecord, type ModelRecord } from './model-record.ts';

const unknownFacts = { license: null, elementType: null, form: null };

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lipsync-configured-'));
  path = join(folder, 'model.onnx');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function recordOf(content: string, form: ModelRecord['model']['form'] = 'rewritten'): ModelRecord {
  return newModelRecord(wav2lipKind, {
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

/** Bytes that this process has read in total. */
function totalBytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

describe('Configured model', () => {
  it('License, element type and form come from the record while the file matches its digest.', async () => {
    await place('a model');
    expect(await new ConfiguredModel(path, wav2lipKind).inspect()).toEqual({
      license: wav2lipKind.licence,
      elementType: 'float32',
      form: 'rewritten',
    });
  });

  it('The record is ignored after the file is replaced, even by one of the same size.', async () => {
    await place('a model');
    const model = new ConfiguredModel(path, wav2lipKind);
    await model.inspect();
    for (const content of ['another model', 'b model']) {
      await writeFile(join(folder, 'new'), content);
      await rename(join(folder, 'new'), path);
      expect(await model.inspect()).toEqual(unknownFacts);
    }
    await place('a model');
    expect(await model.inspect()).toMatchObject({ license: wav2lipKind.licence });
  });

  it('Facts are unknown without a file, a record or a configured model, and for fields that an old record lacks.', async () => {
    const model = new ConfiguredModel(path, wav2lipKind);
    expect(await model.inspect()).toEqual(unknownFacts);
    await place('a model', recordOf('a model', null));
    expect(await model.inspect()).toEqual({ ...unknownFacts, license: wav2lipKind.licence, elementType: 'float32' });
    await rm(recordPathOf(path));
    expect(await model.inspect()).toEqual(unknownFacts);
    expect(await new ConfiguredModel(null, wav2lipKind).inspect()).toEqual(unknownFacts);
  });

  it('A checkpoint has the license of the official weights.', async () => {
    expect(await new ConfiguredModel(join(folder, 'wav2lip.pth'), wav2lipKind).inspect()).toEqual({
      ...unknownFacts,
      license: wav2lipKind.licence,
    });
  });

  it.skipIf(process.platform !== 'linux')(
    'The file is hashed again only after its size or timestamps change.',
    async () => {
      const content = 'm'.repeat(16 * 1024 * 1024);
      await place(content);
      const model = new ConfiguredModel(path, wav2lipKind);
      const readsWholeFile = async (): Promise<boolean> => {
        const before = totalBytesRead();
        expect(await model.inspect()).toMatchObject({ license: wav2lipKind.licence });
        return totalBytesRead() - before >= content.length;
      };
      expect([await readsWholeFile(), await readsWholeFile()]).toEqual([true, false]);
      await utimes(path, 1, 1);
      expect(await readsWholeFile()).toBe(true);
    },
  );
});

describe('Model form', () => {
  it.each([
    ['rewritten', 'cpu', true],
    ['rewritten', 'cuda', false],
    ['rewritten', 'webgpu', false],
    ['plain', 'cpu', false],
    ['plain', 'cuda', true],
    ['plain', 'webgpu', true],
    [null, 'cpu', null],
    ['plain', null, null],
  ] as const)('A model in form %s on device %s suits it: %s.', (form, device, suits) => {
    expect(suitsDevice({ form }, device)).toBe(suits);
  });
});
