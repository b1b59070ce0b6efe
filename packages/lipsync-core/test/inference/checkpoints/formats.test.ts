import { describe, expect, it } from 'vitest';
import { openCheckpointFile } from '../../../src/inference/checkpoints/checkpoint-file.ts';
import { readCheckpoint } from '../../../src/inference/checkpoints/checkpoint.ts';
import { defaultCheckpointLimits } from '../../../src/inference/checkpoints/checkpoint-limits.ts';
import type { Checkpoint } from '../../../src/inference/checkpoints/index.ts';
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
import { memoryFile } from './memory-file.ts';
import { openBytes } from './open-bytes.ts';
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

describe.each(formats)('a checkpoint in the %s format', (format) => {
  it.each([
    { prefix: '', wrapped: false },
    { prefix: 'module.', wrapped: false },
    { prefix: '', wrapped: true },
    { prefix: 'module.', wrapped: true },
  ])('lists and reads its tensors with prefix "$prefix", wrapped: $wrapped', async (options) => {
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

  it('removes module. wherever it stands in a name', async () => {
    const checkpoint = await openOne(format, [[text('net.module.conv.module.weight'), tensor(weight, [6])]]);
    expect([...checkpoint.tensors.keys()]).toEqual(['net.conv.weight']);
    await checkpoint.close();
  });

  it('finds tensors that share a storage at their offsets, strides of single rows included', async () => {
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

  it('knows the older and the parameter form of a tensor, and skips what a dict carries along', async () => {
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

  it('refuses to read what is not float, not contiguous or not there, and says which', async () => {
    const double: SampleStorage = { key: '9', type: 'DoubleStorage', bytes: Buffer.alloc(16) };
    const checkpoint = await openOne(
      format,
      [
        [text('double'), tensor(double, [2])],
        [text('turned'), tensor(weight, [3, 2], { strides: [1, 3] })],
      ],
      [weight, double],
    );
    await expect(checkpoint.read('double')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/float32, float16 or bfloat16, found float64/),
    });
    await expect(checkpoint.read('turned')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/contiguous tensor, found strides 1×3 for 3×2/),
    });
    await expect(checkpoint.read('other')).rejects.toMatchObject({
      code: 'model_invalid',
      message: expect.stringMatching(/"other"/),
    });
    await checkpoint.close();
  });

  it('reads no storage before it is asked for, and none of the optimizer ever', async () => {
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

  it('stops at the signal, while opening and while reading', async () => {
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

describe('the legacy format', () => {
  it('finds a part of a storage, as old versions shared them', async () => {
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
      message: expect.stringMatching(/a part within 6 elements, found 2 elements from 5 on/),
    });
  });

  it('reads what Python 2 wrote: byte text, and entries handed to the dict', async () => {
    const pair = list(shortText('weight', 0x55), tensor(weight, [6]));
    const checkpoint = await openBytes(legacyFile(call(global('collections', 'OrderedDict'), list(pair)), [weight]));
    expect(await readAll(checkpoint)).toEqual({ weight: [1.5, -2, 3, 4, 5, -6.25] });
    await checkpoint.close();
  });

  it('reads pickles that are longer than one window', async () => {
    const names = Array.from({ length: 3000 }, (_, index) => `layer.${index}.${'x'.repeat(200)}`);
    const state = orderedDict(...names.map((name) => [text(name), tensor(weight, [2, 3], { part: none })] as const));
    const checkpoint = await openBytes(legacyFile(state, [weight]));
    expect([...checkpoint.tensors.keys()]).toEqual(names);
    await checkpoint.close();
  });
});

describe('the zip format', () => {
  const { half, bfloat, counter } = sampleStorages;

  it('gives the same bytes as the legacy format does for the same tensors', async () => {
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

  it('may have 64-bit sizes and positions', async () => {
    const members = [weight, half, bfloat, counter].map(({ key, bytes }) => ({ name: `big/data/${key}`, bytes }));
    const state = orderedDict([text('weight'), tensor(weight, [6])]);
    const checkpoint = await openBytes(zipArchive([{ name: 'big/data.pkl', bytes: pickle(state) }, ...members], true));
    expect(await readAll(checkpoint)).toEqual({ weight: [1.5, -2, 3, 4, 5, -6.25] });
    await checkpoint.close();
  });

  it('may be pickled in protocol 4', async () => {
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
    // FRAME, and a memo entry without a number of its own (MEMOIZE).
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

  it('may name its byte order, which has to be little', async () => {
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

describe('a file that is read by position', () => {
  it('is model_missing when it is not there or not a regular file', async () => {
    const { signal } = new AbortController();
    await expect(openCheckpointFile('/nowhere/wav2lip.pth', signal)).rejects.toMatchObject({ code: 'model_missing' });
    await expect(openCheckpointFile('/dev/zero', signal)).rejects.toMatchObject({ code: 'model_missing' });
    await expect(openCheckpointFile('/', signal)).rejects.toMatchObject({ code: 'model_missing' });
  });

  it('keeps every float as it is, bit by bit', async () => {
    const values = floats(NaN, Infinity, -0, 1e-45, 3.4e38);
    const storage: SampleStorage = { key: '0', type: 'FloatStorage', bytes: values };
    const checkpoint = await openOne('legacy', [[text('odd'), tensor(storage, [5])]], [storage]);
    expect(Buffer.from((await checkpoint.read('odd')).buffer)).toEqual(values);
    await checkpoint.close();
  });
});
