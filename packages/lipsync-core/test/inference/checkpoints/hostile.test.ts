import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  countOf,
  legacyFile,
  legacyHead,
  sampleCheckpoint,
  sampleStorages,
  storageReference,
  tensor,
  zipArchive,
  zipFile,
  type SampleStorage,
} from './checkpoint-writer.ts';
import { openBytes } from './checkpoint-files.ts';
import {
  append,
  build,
  call,
  dict,
  emptyDict,
  emptyList,
  float,
  get,
  global,
  int64,
  integer,
  no,
  none,
  orderedDict,
  persistent,
  pickle,
  put,
  setItems,
  stackGlobal,
  text,
  tuple,
  uint32,
} from './pickle-writer.ts';

const { weight, half, moment } = sampleStorages;
const writers = { legacy: legacyFile, zip: zipFile } as const;
const formats = ['legacy', 'zip'] as const;

async function expectRefusal(bytes: Uint8Array, message: RegExp, limits = {}): Promise<void> {
  await expect(openBytes(bytes, limits).then((checkpoint) => checkpoint.close())).rejects.toMatchObject({
    code: 'model_invalid',
    message: expect.stringMatching(message),
  });
}

describe.each(formats)('Hostile checkpoint in %s format', (format) => {
  const write = writers[format];
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hostile-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    [
      'os.system',
      (command: Buffer) => call(global('os', 'system'), command),
      /found the global "os\.system" \(byte \d+ of a pickle\)/,
    ],
    [
      'os.system through STACK_GLOBAL',
      (command: Buffer) => call(stackGlobal('posix', 'system'), command),
      /found the global "posix\.system" \(byte \d+ of a pickle\)/,
    ],
    ['eval', (command: Buffer) => call(global('builtins', 'eval'), command), /"builtins\.eval"/],
    [
      'os.system in a persistent id',
      (command: Buffer) => persistent(tuple(text('module'), global('os', 'system'), command)),
      /"os\.system"/,
    ],
    ['a global with terminal escape codes', () => global('\u001b[2J', 'x'), /"\\u001b\[2J\.x"/],
  ])('A reference to %s is rejected by name and not executed.', async (_, hostile, message) => {
    const trace = join(folder, 'executed');
    await expectRefusal(write(dict([text('state_dict'), hostile(text(`touch ${trace}`))]), []), message);
    expect(existsSync(trace)).toBe(false);
  });

  it.each([
    ['POP', 0x30],
    ['DUP', 0x32],
    ['NEWOBJ', 0x81],
    ['NEWOBJ_EX', 0x92],
    ['INST', 0x69],
    ['OBJ', 0x6f],
    ['EXT1', 0x82],
    ['PERSID', 0x50],
    ['NEXT_BUFFER', 0x97],
    ['BINBYTES', 0x42],
  ])('The opcode %s is rejected by name.', async (name, opcode) => {
    await expectRefusal(
      write(Buffer.concat([emptyDict, Buffer.from([opcode])]), []),
      new RegExp(`found the opcode ${name} \\(byte 3 of a pickle\\)`),
    );
  });

  it('An unknown opcode is rejected by number.', async () => {
    await expectRefusal(write(Buffer.from([0xff]), []), /the unknown opcode 0xff \(byte 2 of a pickle\)/);
  });

  it.each([
    [
      'a billion elements in a storage of six elements',
      tensor(weight, [1000, 1000, 1000]),
      /at least 1000000000 elements for a tensor of 1000×1000×1000, found 6 elements/,
    ],
    [
      'a billion elements with stride 0',
      tensor(weight, [1_000_000_000], { strides: [0] }),
      /at most 400000000 elements in all tensors, found 1000000000/,
    ],
    ['an offset beyond the storage', tensor(weight, [3], { offset: 4 }), /at least 7 elements/],
    ['strides beyond the storage', tensor(weight, [2, 2], { strides: [5, 1] }), /at least 7 elements/],
    ['a negative size', tensor(weight, [-1]), /non-negative sizes, found -1/],
    ['a negative stride', tensor(weight, [2], { strides: [-1] }), /non-negative strides, found -1/],
    ['a negative offset', tensor(weight, [2], { offset: -1 }), /the offset of a tensor, found -1/],
    [
      'a fractional size',
      call(
        global('torch._utils', '_rebuild_tensor'),
        storageReference(weight),
        integer(0),
        tuple(float(1.5)),
        tuple(integer(1)),
      ),
      /non-negative sizes, found 1\.5/,
    ],
    [
      'a 64-bit size',
      call(
        global('torch._utils', '_rebuild_tensor'),
        storageReference(weight),
        integer(0),
        tuple(integer(2n ** 63n)),
        tuple(integer(1)),
      ),
      /found 9223372036854775808/,
    ],
    ['more sizes than strides', tensor(weight, [2, 3], { strides: [1] }), /2 strides, found 1/],
    ['nine dimensions', tensor(weight, [1, 1, 1, 1, 1, 1, 1, 1, 1]), /at most 8 sizes, found 9/],
    ['a storage of negative size', tensor(weight, [1], { count: -5 }), /the size of a storage, found -5/],
    [
      'None as its storage',
      call(global('torch._utils', '_rebuild_tensor_v2'), none, integer(0), tuple(), tuple(), no, emptyDict),
      /the storage of a tensor, found None/,
    ],
    ['a string in its place', text('weights'), /a tensor as "conv", found the text "weights"/],
  ])('A tensor with %s is rejected before any allocation.', async (_, value, message) => {
    await expectRefusal(write(dict([text('state_dict'), dict([text('conv'), value])]), [weight]), message);
  });

  it('A storage whose declared 300 million elements exceed the file is rejected.', async () => {
    await expectRefusal(
      write(dict([text('conv'), tensor(weight, [300_000_000], { count: 300_000_000 })]), [weight]),
      /1200000\d+ bytes/,
    );
  });

  it('A storage key that is used with two element types is rejected.', async () => {
    const other = { ...half, key: weight.key };
    await expectRefusal(
      write(dict([text('a'), tensor(weight, [6])], [text('b'), tensor(other, [3])]), [weight]),
      /6 × float32 under the key "100", found 3 × float16/,
    );
  });

  it('A tensor whose storage is missing from the file is rejected.', async () => {
    await expectRefusal(
      write(dict([text('a'), tensor(weight, [6])], [text('b'), tensor(half, [3])]), [weight]),
      /"(200|archive\/data\/200)"/,
    );
  });

  it.each([
    ['a dict in itself', setItems(put(0, emptyDict), [text('self'), get(0)])],
    ['a list in itself', append(put(0, emptyList), get(0))],
    ['a dict that is its own attribute', build(put(0, emptyDict), get(0))],
    ['two dicts in each other', setItems(put(0, emptyDict), [text('other'), dict([text('first'), get(0)])])],
    ['a list in its own tuple', append(put(0, emptyList), tuple(get(0)))],
  ])('An object that contains itself is rejected: %s.', async (_, value) => {
    await expectRefusal(write(value, []), /an object that contains itself/);
  });

  it('Ninety thousand nested lists are rejected.', async () => {
    const depth = 90_000;
    const value = Buffer.concat([Buffer.alloc(depth, emptyList), Buffer.alloc(depth - 1, 'a')]);
    await expectRefusal(write(value, []), /at most 64 nested containers/);
  });

  it.each([
    [
      'a tensor name that is a duplicate without module.',
      dict([text('module.a'), tensor(weight, [6])], [text('a'), tensor(weight, [6])]),
      /unique tensor names, found two tensors named "a"/,
    ],
    ['a duplicate dict key', dict([text('a'), none], [text('a'), none]), /unique keys, found the text "a" twice/],
    ['an overwritten memo entry', put(0, put(0, emptyDict)), /unique memo entries, found entry 0 twice/],
    ['an unset memo entry', get(7), /memo entry 7, found none/],
    ['an append to an empty stack', Buffer.from('a'), /a value on the stack, found none/],
    ['an access below a mark', Buffer.concat([emptyDict, Buffer.from('(a')]), /a value on the stack, found none/],
    ['a missing mark', Buffer.from('u'), /a mark on the stack, found none/],
    ['values left on the stack', Buffer.concat([none, none]), /one value at the end, found 2 values/],
    [
      'a key without a value',
      Buffer.concat([emptyDict, Buffer.from('('), text('a'), Buffer.from('u')]),
      /a value for every key/,
    ],
    ['a list as a key', dict([emptyList, none]), /strings or integers as keys, found a list/],
    ['a call of a list', call(emptyList), /a global and its arguments/],
    ['a call of a storage type', call(global('torch', 'FloatStorage'), integer(1)), /a call of torch\.FloatStorage/],
    ['text that is not UTF-8', Buffer.concat([Buffer.from('X'), uint32(1), Buffer.from([0xff])]), /UTF-8 text/],
    ['an unknown pickle protocol', Buffer.from([0x80, 9]), /protocol 9/],
    ['a root that is not a dict', integer(7), /a state dict, found 7/],
    [
      'a dict without tensors',
      dict([text('epoch'), integer(3)]),
      /a state dict, found a dict with the entries "epoch"/,
    ],
    ['numeric tensor names', dict([integer(0), tensor(weight, [6])]), /tensor names as keys, found the number 0/],
  ])('A pickle with %s is rejected.', async (_, value, message) => {
    await expectRefusal(write(value, [weight]), message);
  });

  it.each([
    ['string size', text('x'.repeat(100)), { textBytes: 99 }, /strings of at most 99 bytes, found one of 100/],
    [
      'string size with a declared size of 4 GB',
      Buffer.concat([Buffer.from('X'), uint32(0xffffffff)]),
      {},
      /strings of at most 65536 bytes, found one of 4294967295/,
    ],
    [
      'integer size',
      Buffer.concat([Buffer.from([0x8a, 255]), Buffer.alloc(255, 1)]),
      {},
      /integers of at most 16 bytes, found one of 255/,
    ],
    ['global name size', global('x'.repeat(300), 'y'), {}, /names of at most 256 bytes/],
    [
      'global name size without a terminator',
      Buffer.concat([Buffer.from('c'), Buffer.alloc(300, 'x')]),
      {},
      /names of at most 256 bytes/,
    ],
    ['object count', Buffer.alloc(20, emptyList), { objects: 10 }, /at most 10 objects/],
    ['stack size', Buffer.alloc(20, none), { stackValues: 10 }, /at most 10 values on the stack/],
    ['stack size with marks', Buffer.alloc(20, '('), { stackValues: 10 }, /at most 10 values on the stack/],
    ['memo size', Buffer.concat([emptyList, Buffer.alloc(20, 0x94)]), { memoEntries: 10 }, /at most 10 memo entries/],
    [
      'tensor count',
      dict([text('a'), tensor(weight, [6])], [text('b'), tensor(weight, [6])]),
      { tensors: 1 },
      /at most 1 tensors, found 2/,
    ],
  ])('A checkpoint that exceeds the limit on %s is rejected.', async (_, value, limits, message) => {
    await expectRefusal(write(value, [weight]), message, limits);
  });
});

describe('Damaged legacy checkpoint', () => {
  const whole = sampleCheckpoint({ format: 'legacy', wrapped: true });
  const state = orderedDict([text('conv'), tensor(weight, [6])]);

  it.each(Array.from({ length: 10 }, (_, index) => Math.floor((whole.length * index) / 10)).concat(whole.length - 1))(
    'A legacy checkpoint that is truncated after %i bytes is rejected.',
    async (length) => {
      await expectRefusal(whole.subarray(0, length), /an empty file|the end of the file within|truncated/);
    },
  );

  it.each([
    [
      'a different magic number',
      legacyFile(state, [weight], { magic: 42n }),
      /magic number of a PyTorch checkpoint, found 42/,
    ],
    ['a different protocol', legacyFile(state, [weight], { protocol: 1002 }), /protocol 1001, found 1002/],
    [
      'big-endian storages',
      legacyFile(state, [weight], { littleEndian: false }),
      /little-endian storages, found little_endian as false/,
    ],
    [
      'a duplicate storage key',
      legacyFile(state, [weight], { keys: [weight.key, weight.key] }),
      /unique storage keys, found the key "100" twice/,
    ],
    ['an unreferenced storage', legacyFile(state, [weight, moment]), /the unreferenced key "150"/],
    [
      'a negative element count',
      legacyFile(state, [weight], { counts: [-6] }),
      /6 elements in the storage at byte \d+, found -6/,
    ],
    [
      'a wrong element count',
      legacyFile(state, [weight], { counts: [5] }),
      /6 elements in the storage at byte \d+, found 5/,
    ],
  ])('A legacy checkpoint with %s is rejected.', async (_, bytes, message) => {
    await expectRefusal(bytes, message);
  });

  it('A legacy checkpoint with an endless pickle is rejected.', async () => {
    const endless = Buffer.concat([
      legacyHead(state, [weight]).subarray(0, 21),
      Buffer.from([0x80, 2]),
      Buffer.alloc(300_000, Buffer.concat([Buffer.from([0x95]), int64(0)])),
    ]);
    await expectRefusal(endless, /pickles of at most 200000 bytes/, { pickleBytes: 200_000 });
  });

  it('A file of another type is rejected with a description of its first bytes.', async () => {
    await expectRefusal(Buffer.alloc(0), /an empty file/);
    await expectRefusal(Buffer.from('<!DOCTYPE html><html>'), /text that begins with "<!DOCTYPE html/);
    await expectRefusal(Buffer.from([8, 8, 18, 7, 112, 121]), /bytes that begin with 080812077079/);
    await expectRefusal(pickle(dict([text('a'), none])), /magic number of a PyTorch checkpoint, found a dict/);
  });
});

describe('Damaged zip checkpoint', () => {
  const whole = sampleCheckpoint({ format: 'zip', wrapped: true });
  const state = orderedDict([text('conv'), tensor(weight, [6])]);
  const object = { name: 'archive/data.pkl', bytes: pickle(state) };
  const data = { name: `archive/data/${weight.key}`, bytes: weight.bytes };

  it.each(
    Array.from({ length: 10 }, (_, index) => Math.floor((whole.length * (index + 0.5)) / 10)).concat(whole.length - 1),
  )('A zip checkpoint that is truncated after %i bytes is rejected.', async (length) => {
    await expectRefusal(whole.subarray(0, length), /a complete zip archive, found a damaged one/);
  });

  it.each([
    [
      'a compressed pickle that inflates to 64 MiB',
      zipArchive([{ ...object, bytes: Buffer.alloc(64 * 1024 * 1024), deflated: true }, data]),
      /the uncompressed member "archive\/data\.pkl", found a compressed/,
    ],
    [
      'a compressed storage that inflates to 64 MiB',
      zipArchive([object, { ...data, bytes: Buffer.alloc(64 * 1024 * 1024), deflated: true, claimedBytes: 24 }]),
      /the uncompressed member "archive\/data\/100"/,
    ],
    [
      'an oversized pickle',
      zipArchive([{ ...object, bytes: Buffer.alloc(9 * 1024 * 1024) }, data]),
      /at most 4194304 bytes in "archive\/data\.pkl", found 9437184 bytes/,
    ],
    [
      'a truncated storage',
      zipArchive([object, { ...data, bytes: weight.bytes.subarray(4) }]),
      /24 bytes in "archive\/data\/100", found 20 bytes/,
    ],
    [
      'a truncated pickle',
      zipArchive([{ ...object, bytes: object.bytes.subarray(0, -1) }, data]),
      /the end of "archive\/data\.pkl" within the pickle/,
    ],
    ['a duplicate member', zipArchive([object, data, data]), /unique member names, found "archive\/data\/100" twice/],
    [
      'two data.pkl members',
      zipArchive([object, { ...object, name: 'other/data.pkl' }, data]),
      /one data\.pkl in a folder of the archive, found 2 members named data\.pkl/,
    ],
    ['no data.pkl', zipArchive([data]), /one data\.pkl in a folder of the archive, found 0 members named data\.pkl/],
    ['no members', zipArchive([]), /bytes that begin with 504b0506/],
    [
      'a TorchScript program',
      zipArchive([object, data, { name: 'archive/code/__torch__.py', bytes: Buffer.alloc(1) }]),
      /a TorchScript program/,
    ],
    [
      'a member with a path outside the archive',
      zipArchive([object, data, { name: '../outside', bytes: Buffer.alloc(1) }]),
      /a damaged one/,
    ],
  ])('A zip checkpoint with %s is rejected.', async (_, bytes, message) => {
    await expectRefusal(bytes, message);
  });

  it('A zip checkpoint with more members than the limit is rejected.', async () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ name: `archive/data/x${index}`, bytes: Buffer.alloc(0) }));
    await expectRefusal(zipArchive([object, data, ...many]), /at most 10 members/, { zipMembers: 10 });
  });

  it('A zip checkpoint with a central directory above the limit is rejected.', async () => {
    const many = Array.from({ length: 200 }, (_, index) => ({
      name: `archive/data/${index}`.padEnd(60_000, 'x'),
      bytes: Buffer.alloc(0),
    }));
    await expectRefusal(zipArchive([object, data, ...many]), /a central directory of at most 8388608 bytes/);
  });

  it('Zip64 offsets beyond the end of the file are rejected.', async () => {
    const archive = zipArchive([object, data], true);
    const locator = archive.lastIndexOf(uint32(0x07064b50));
    const record = archive.lastIndexOf(uint32(0x06064b50));
    const directory = archive.indexOf(uint32(0x02014b50));
    for (const position of [locator + 8, record + 48, directory + 46 + object.name.length + 4 + 16]) {
      for (const value of [2n ** 63n - 1n, 2n ** 53n, 2n ** 40n]) {
        const corrupted = Buffer.from(archive);
        int64(value).copy(corrupted, position);
        await expectRefusal(corrupted, /expected/);
      }
    }
  });
});

/** A thousand tensors that all cover the whole storage. */
function overlapping(storage: SampleStorage): Buffer {
  return orderedDict(
    ...Array.from({ length: 1000 }, (_, index) => [text(`t${index}`), tensor(storage, [countOf(storage)])] as const),
  );
}

it('Elements of overlapping tensors count once per tensor toward the limit.', async () => {
  const storage: SampleStorage = { key: '0', type: 'FloatStorage', bytes: Buffer.alloc(4096) };
  await expectRefusal(
    legacyFile(overlapping(storage), [storage]),
    /at most 1000000 elements in all tensors, found 1024000/,
    { elements: 1_000_000 },
  );
});

describe.skipIf(process.platform !== 'linux')('Memory of a process that opens a hostile checkpoint', () => {
  interface Measured {
    /** Null when the checkpoint was accepted. */
    readonly message: string | null;
    readonly peakBytes: number;
  }
  /** Permitted peak memory above that of a valid checkpoint. */
  const allowedBytes = 64 * 1024 ** 2;
  const state = (value: Buffer): Buffer => dict([text('state_dict'), dict([text('conv'), value])]);
  const large: SampleStorage = { key: '0', type: 'FloatStorage', bytes: Buffer.alloc(4 * 1024 ** 2) };
  const bomb = () => ({ bytes: Buffer.alloc(512 * 1024 ** 2), deflated: true });
  const object = { name: 'archive/data.pkl', bytes: pickle(state(tensor(weight, [6]))) };

  let folder = '';
  let valid: Measured;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hostile-memory-'));
    valid = await measure(sampleCheckpoint({ format: 'zip' }));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function measure(bytes: Uint8Array): Promise<Measured> {
    const path = join(folder, 'checkpoint.pth');
    await writeFile(path, bytes);
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(import.meta.dirname, 'open-and-measure.ts'),
      path,
    ]);
    return JSON.parse(stdout);
  }

  it.each([
    [
      'a legacy file with a billion elements in a storage of six elements',
      () => legacyFile(state(tensor(weight, [1000, 1000, 1000])), [weight]),
      /at least 1000000000 elements/,
    ],
    [
      'a zip file with a billion elements with stride 0',
      () => zipFile(state(tensor(weight, [1_000_000_000], { strides: [0] })), [weight]),
      /at most 400000000 elements/,
    ],
    [
      'a thousand tensors that share one storage, 4 GB in total',
      () => legacyFile(overlapping(large), [large]),
      /at most 400000000 elements/,
    ],
    [
      'a declared storage of 1.2 GB that exceeds the file',
      () => legacyFile(state(tensor(weight, [300_000_000], { count: 300_000_000 })), [weight]),
      /1200000\d+ bytes/,
    ],
    [
      'a declared string of 4 GB that exceeds the file',
      () => legacyFile(Buffer.concat([Buffer.from('X'), uint32(0xffffffff)]), []),
      /strings of at most/,
    ],
    [
      'a pickle that creates containers without end',
      () => zipFile(Buffer.alloc(1024 ** 2, emptyList), []),
      /at most 100000 values on the stack/,
    ],
    [
      'a 512 MiB zip bomb in place of the pickle',
      () =>
        zipArchive([
          { ...object, ...bomb() },
          { name: 'archive/data/100', bytes: weight.bytes },
        ]),
      /found a compressed/,
    ],
    [
      'a 512 MiB zip bomb in place of a storage',
      () => zipArchive([object, { name: 'archive/data/100', ...bomb(), claimedBytes: 24 }]),
      /the uncompressed member/,
    ],
  ])('Peak memory stays bounded for %s.', async (_, write, refusal) => {
    const { message, peakBytes } = await measure(write());
    expect([valid.message, message]).toEqual([null, expect.stringMatching(refusal)]);
    expect(peakBytes - valid.peakBytes).toBeLessThan(allowedBytes);
  });
});
