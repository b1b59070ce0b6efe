import { describe, expect, it } from 'vitest';
import { openCheckpointFile } from '../../../src/inference/checkpoints/checkpoint-file.ts';
import { readCheckpoint, type Checkpoint } from '../../../src/inference/checkpoints/checkpoint.ts';
import { defaultCheckpointLimits } from '../../../src/inference/checkpoints/limits.ts';
import {
  floats,
  legacyFile,
  rowMajor,
  sampleCheckpoint,
  sampleStorages,
  sampleValues,
  storageReference,
  tensor,
  zipArchive,
  zipFile,
  type SampleStorage,
} from './checkpoint-writer.ts';
import { memoryFile, openBytes } from './checkpoint-files.ts';
import {
  build,
  call,
  dict,
  emptyDict,
  global,
  int64,
  integer,
  list,
  no,
  none,
  orderedDict,
  pickle,
  shortText,
  stackGlobal,
  text,
  tuple,
} from './pickle-writer.ts';

const { weight } = sampleStorages;
const formats = ['legacy', 'zip'] as const;

async function readAll(checkpoint: Checkpoint): Promise<Record<string, number[]>> {
  const values: Record<string, number[]> = {};
  for (const { name, elementType } of checkpoint.tensors.values()) {
    if (elementType !== 'int64') values[name] = Array.from(await checkpoint.read(name));
  }
  return values;
}

describe.each(formats)('Checkpoint in %s format', (format) => {
  it.each([
    { prefix: '', wrapped: false },
    { prefix: 'module.', wrapped: false },
    { prefix: '', wrapped: true },
    { prefix: 'module.', wrapped: true },
  ])('All tensors are listed and read (prefix "$prefix", wrapped: $wrapped).', async (options) => {
    const checkpoint = await openBytes(sampleCheckpoint({ format, ...options }));
    try {
      expect(checkpoint.format).toBe(format);
      expect([...checkpoint.tensors]).toEqual([
        ['conv.weight', { name: 'conv.weight', dims: [2, 3], elementType: 'float32' }],
        ['conv.bias', { name: 'conv.bias', dims: [3], elementType: 'float16' }],
        ['norm.running_mean', { name: 'norm.running_mean', dims: [2], elementType: 'bfloat16' }],
        ['norm.num_batches_tracked', { name: 'norm.num_batches_tracked', dims: [], elementType: 'int64' }],
      ]);
      expect(await readAll(checkpoint)).toEqual(sampleValues);
    } finally {
      await checkpoint.close();
    }
  });

  it('Every module. is removed from tensor names.', async () => {
    const checkpoint = await openOne(format, [[text('net.module.conv.module.weight'), tensor(weight, [6])]]);
    expect([...checkpoint.tensors.keys()]).toEqual(['net.conv.weight']);
    await checkpoint.close();
  });

  it('Tensors that share a storage are read at their offsets; the stride of an axis of size 1 is ignored.', async () => {
    const checkpoint = await openOne(format, [
      [text('all'), tensor(weight, [2, 3])],
      [text('last'), tensor(weight, [3], { offset: 3 })],
      [text('row'), tensor(weight, [1, 3], { offset: 1, strides: [99, 1] })],
      [text('single'), tensor(weight, [], { offset: 5 })],
      [text('nothing'), tensor(weight, [0, 3], { strides: [3, 1] })],
    ]);
    expect(await readAll(checkpoint)).toEqual({
      all: [1.5, -2, 3, 4, 5, -6.25],
      last: [4, 5, -6.25],
      row: [-2, 3, 4],
      single: [-6.25],
      nothing: [],
    });
    await checkpoint.close();
  });

  it('Old tensors, torch.Size and parameters are supported, and attributes of a dict are ignored.', async () => {
    const old = call(
      global('torch._utils', '_rebuild_tensor'),
      storageReference(weight),
      integer(0),
      tuple(integer(6)),
      tuple(integer(1)),
    );
    const size = call(global('torch', 'Size'), tuple(integer(3), integer(2)));
    const sized = call(
      global('torch._utils', '_rebuild_tensor_v2'),
      storageReference(weight),
      integer(0),
      size,
      tuple(integer(2), integer(1)),
      no,
      emptyDict,
    );
    const parameter = call(global('torch._utils', '_rebuild_parameter'), tensor(weight, [6]), no, emptyDict);
    const state = build(
      orderedDict([text('old'), old], [text('sized'), sized], [text('parameter'), parameter]),
      dict([text('_metadata'), emptyDict]),
    );
    const checkpoint = await openBytes((format === 'legacy' ? legacyFile : zipFile)(state, [weight]));
    expect(Array.from(checkpoint.tensors.values(), ({ name, dims }) => [name, dims])).toEqual([
      ['old', [6]],
      ['sized', [3, 2]],
      ['parameter', [6]],
    ]);
    expect(Array.from(await checkpoint.read('parameter'))).toEqual([1.5, -2, 3, 4, 5, -6.25]);
    await checkpoint.close();
  });

  it('Reading a float64, non-contiguous or missing tensor throws model_invalid with the reason.', async () => {
    const double: SampleStorage = { key: '9', type: 'DoubleStorage', bytes: Buffer.alloc(16) };
    const checkpoint = await openOne(
      format,
      [
        [text('double'), tensor(double, [2])],
        [text('transposed'), tensor(weight, [3, 2], { strides: [1, 3] })],
      ],
      [weight, double],
    );
    await expect(checkpoint.read('double')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/float32, float16 or bfloat16, found float64/),
    });
    await expect(checkpoint.read('transposed')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/contiguous tensor, found strides 1×3 for 3×2/),
    });
    await expect(checkpoint.read('other')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/"other"/),
    });
    await checkpoint.close();
  });

  it('Storages are read on demand, and optimizer storages never.', async () => {
    const large: SampleStorage = { key: '1', type: 'FloatStorage', bytes: Buffer.alloc(4 * 1024 * 1024, 1) };
    const larger: SampleStorage = { key: '2', type: 'FloatStorage', bytes: Buffer.alloc(8 * 1024 * 1024, 2) };
    const optimizer = dict([text('state'), dict([integer(0), tensor(larger, [8, 262_144])])]);
    const root = dict(
      [text('optimizer'), optimizer],
      [text('state_dict'), dict([text('weight'), tensor(large, [1_048_576])])],
    );
    const file = memoryFile((format === 'legacy' ? legacyFile : zipFile)(root, [larger, large]));
    const checkpoint = await readCheckpoint(file, defaultCheckpointLimits);
    const whileOpening = file.bytesRead();
    expect(whileOpening).toBeLessThan(512 * 1024);
    expect(await checkpoint.read('weight')).toHaveLength(1_048_576);
    expect(file.bytesRead() - whileOpening).toBe(large.bytes.length);
  });

  it('Opening and reading stop when the signal is aborted.', async () => {
    const bytes = sampleCheckpoint({ format });
    await expect(openBytes(bytes, {}, AbortSignal.abort())).rejects.toMatchObject({ code: 'canceled' });
    const stop = new AbortController();
    const checkpoint = await openBytes(bytes, {}, stop.signal);
    stop.abort();
    await expect(checkpoint.read('conv.weight')).rejects.toMatchObject({ code: 'canceled' });
    await checkpoint.close();
  });
});

function openOne(
  format: 'legacy' | 'zip',
  entries: readonly (readonly [Buffer, Buffer])[],
  storages: readonly SampleStorage[] = [weight],
): Promise<Checkpoint> {
  return openBytes((format === 'legacy' ? legacyFile : zipFile)(orderedDict(...entries), storages));
}

describe('Legacy checkpoint', () => {
  it('Views of a storage in legacy persistent ids are resolved.', async () => {
    const part = (from: number, count: number): Buffer => tuple(text('part'), integer(from), integer(count));
    const state = orderedDict(
      [text('a'), tensor(weight, [2], { part: part(1, 2) })],
      [text('b'), tensor(weight, [2], { part: part(2, 4), offset: 2 })],
    );
    const checkpoint = await openBytes(legacyFile(state, [weight]));
    expect(await readAll(checkpoint)).toEqual({ a: [-2, 3], b: [5, -6.25] });
    await checkpoint.close();
    const beyond = legacyFile(orderedDict([text('a'), tensor(weight, [2], { part: part(5, 2) })]), [weight]);
    await expect(openBytes(beyond)).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/a view within 6 elements, found 2 elements at offset 5/),
    });
  });

  it('Python 2 pickles with byte strings and dict entries as arguments are read.', async () => {
    const pair = list(shortText('weight', 0x55), tensor(weight, [6]));
    const checkpoint = await openBytes(legacyFile(call(global('collections', 'OrderedDict'), list(pair)), [weight]));
    expect(await readAll(checkpoint)).toEqual({ weight: [1.5, -2, 3, 4, 5, -6.25] });
    await checkpoint.close();
  });

  it('Pickles that exceed the first read window are read.', async () => {
    const names = Array.from({ length: 3000 }, (_, index) => `layer.${index}.${'x'.repeat(200)}`);
    const state = orderedDict(...names.map((name) => [text(name), tensor(weight, [2, 3], { part: none })] as const));
    const checkpoint = await openBytes(legacyFile(state, [weight]));
    expect([...checkpoint.tensors.keys()]).toEqual(names);
    await checkpoint.close();
  });
});

describe('Zip checkpoint', () => {
  const { half, bfloat, counter } = sampleStorages;

  it('Both formats yield the same bytes for the same tensors.', async () => {
    const legacy = await openBytes(sampleCheckpoint({ format: 'legacy', prefix: 'module.', wrapped: true }));
    const storages: SampleStorage[] = [];
    const entries: (readonly [Buffer, Buffer])[] = [];
    for (const { name, dims, elementType } of legacy.tensors.values()) {
      if (elementType === 'int64') continue;
      const values = await legacy.read(name);
      const storage: SampleStorage = {
        key: String(storages.length),
        type: 'FloatStorage',
        bytes: Buffer.from(values.buffer),
      };
      storages.push(storage);
      entries.push([text(name), tensor(storage, dims, { strides: rowMajor(dims) })]);
    }
    const zip = await openBytes(zipFile(orderedDict(...entries), storages));
    for (const [index, name] of [...zip.tensors.keys()].entries())
      expect(Buffer.from((await zip.read(name)).buffer)).toEqual(storages[index]?.bytes);
    expect(await readAll(zip)).toEqual(await readAll(legacy));
    await legacy.close();
    await zip.close();
  });

  it('Zip64 sizes and positions are supported.', async () => {
    const members = [weight, half, bfloat, counter].map(({ key, bytes }) => ({ name: `big/data/${key}`, bytes }));
    const state = orderedDict([text('weight'), tensor(weight, [6])]);
    const checkpoint = await openBytes(zipArchive([{ name: 'big/data.pkl', bytes: pickle(state) }, ...members], true));
    expect(await readAll(checkpoint)).toEqual({ weight: [1.5, -2, 3, 4, 5, -6.25] });
    await checkpoint.close();
  });

  it('Pickle protocol 4 is supported.', async () => {
    const callee = stackGlobal('torch._utils', '_rebuild_tensor_v2');
    const weightTensor = call(
      callee,
      storageReference(weight),
      integer(0),
      tuple(integer(6)),
      tuple(integer(1)),
      no,
      emptyDict,
    );
    // FRAME, and MEMOIZE, which has no index operand.
    const framed = Buffer.concat([
      Buffer.from([0x95]),
      int64(0),
      dict([Buffer.concat([shortText('weight', 0x8c), Buffer.from([0x94])]), weightTensor]),
    ]);
    const checkpoint = await openBytes(
      zipArchive([
        { name: 'x/data.pkl', bytes: pickle(framed, 4) },
        { name: 'x/data/100', bytes: weight.bytes },
      ]),
    );
    expect(await readAll(checkpoint)).toEqual({ weight: [1.5, -2, 3, 4, 5, -6.25] });
    await checkpoint.close();
  });

  it('The byteorder member is accepted only when it is little.', async () => {
    const state = orderedDict([text('weight'), tensor(weight, [6])]);
    const ordered = (order: string): Buffer =>
      zipFile(state, [weight], [{ name: 'archive/byteorder', bytes: Buffer.from(order) }]);
    const checkpoint = await openBytes(ordered('little'));
    expect([...checkpoint.tensors.keys()]).toEqual(['weight']);
    await checkpoint.close();
    await expect(openBytes(ordered('big'))).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/little-endian storages, found the byte order "big"/),
    });
  });
});

describe('Checkpoint file', () => {
  it('Opening a missing file, a device or a folder throws model_missing.', async () => {
    const { signal } = new AbortController();
    await expect(openCheckpointFile('/nowhere/wav2lip.pth', signal)).rejects.toMatchObject({ code: 'model_missing' });
    await expect(openCheckpointFile('/dev/zero', signal)).rejects.toMatchObject({ code: 'model_missing' });
    await expect(openCheckpointFile('/', signal)).rejects.toMatchObject({ code: 'model_missing' });
  });

  it('Float values keep their exact bits, NaN and denormals included.', async () => {
    const values = floats(NaN, Infinity, -0, 1e-45, 3.4e38);
    const storage: SampleStorage = { key: '0', type: 'FloatStorage', bytes: values };
    const checkpoint = await openOne('legacy', [[text('odd'), tensor(storage, [5])]], [storage]);
    expect(Buffer.from((await checkpoint.read('odd')).buffer)).toEqual(values);
    await checkpoint.close();
  });
});
