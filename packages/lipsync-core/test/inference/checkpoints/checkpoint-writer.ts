import { crc32, deflateRawSync } from 'node:zlib';
import {
  dict,
  emptyTuple,
  global,
  int64,
  integer,
  list,
  no,
  none,
  orderedDict,
  persistent,
  pickle,
  call,
  text,
  tuple,
  uint32,
  yes,
} from './pickle-writer.ts';

/** Writes small checkpoints in both formats byte by byte, so tests can corrupt any field. */

export type StorageType = 'FloatStorage' | 'HalfStorage' | 'BFloat16Storage' | 'LongStorage' | 'DoubleStorage';

const elementBytes: Readonly<Record<StorageType, number>> = {
  FloatStorage: 4,
  HalfStorage: 2,
  BFloat16Storage: 2,
  LongStorage: 8,
  DoubleStorage: 8,
};

export interface SampleStorage {
  readonly key: string;
  readonly type: StorageType;
  readonly bytes: Buffer;
}

export function floats(...values: readonly number[]): Buffer {
  return Buffer.from(new Float32Array(values).buffer);
}

export function countOf(storage: SampleStorage): number {
  return storage.bytes.length / elementBytes[storage.type];
}

export interface StorageOptions {
  /** Declared element count; defaults to the real one. */
  readonly count?: number;
  /** Last item of the persistent id in legacy files: a view of the storage, or None. */
  readonly part?: Buffer;
}

export function storageReference(storage: SampleStorage, options: StorageOptions = {}): Buffer {
  const count = integer(options.count ?? countOf(storage));
  return persistent(
    tuple(
      text('storage'),
      global('torch', storage.type),
      text(storage.key),
      text('cuda:0'),
      count,
      ...(options.part === undefined ? [] : [options.part]),
    ),
  );
}

export interface TensorOptions extends StorageOptions {
  readonly offset?: number;
  readonly strides?: readonly number[];
}

export function rowMajor(dims: readonly number[]): number[] {
  return dims.map((_, axis) => dims.slice(axis + 1).reduce((product, size) => product * size, 1));
}

export function tensor(storage: SampleStorage, dims: readonly number[], options: TensorOptions = {}): Buffer {
  const sizes = tuple(...dims.map((size) => integer(size)));
  const strides = tuple(...(options.strides ?? rowMajor(dims)).map((stride) => integer(stride)));
  const hooks = call(global('collections', 'OrderedDict'));
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    storageReference(storage, options),
    integer(options.offset ?? 0),
    sizes,
    strides,
    no,
    hooks,
  );
}

export const magicNumber = 0x1950a86a20f9469cfc6cn;

export interface LegacyOptions {
  readonly magic?: bigint;
  readonly protocol?: number;
  readonly littleEndian?: boolean;
  /** Defaults to the keys of the storages. */
  readonly keys?: readonly string[];
  /** Element counts before the storages; default to the real ones. */
  readonly counts?: readonly number[];
}

/** The five pickles before the storages. */
export function legacyHead(root: Buffer, storages: readonly SampleStorage[], options: LegacyOptions = {}): Buffer {
  const sizes = dict([text('short'), integer(2)], [text('int'), integer(4)], [text('long'), integer(4)]);
  const system = dict(
    [text('protocol_version'), integer(1001)],
    [text('little_endian'), options.littleEndian === false ? no : yes],
    [text('type_sizes'), sizes],
  );
  const keys = options.keys ?? storages.map(({ key }) => key);
  return Buffer.concat(
    [
      integer(options.magic ?? magicNumber),
      integer(options.protocol ?? 1001),
      system,
      root,
      list(...keys.map(text)),
    ].map((value) => pickle(value)),
  );
}

export function legacyFile(root: Buffer, storages: readonly SampleStorage[], options: LegacyOptions = {}): Buffer {
  const contents = storages.flatMap((storage, index) => [
    int64(options.counts?.[index] ?? countOf(storage)),
    storage.bytes,
  ]);
  return Buffer.concat([legacyHead(root, storages, options), ...contents]);
}

export interface ZipMember {
  readonly name: string;
  readonly bytes: Buffer;
  readonly deflated?: boolean;
  /** Declared uncompressed size; defaults to the real one. */
  readonly claimedBytes?: number;
}

export function zipFile(
  root: Buffer,
  storages: readonly SampleStorage[],
  extra: readonly ZipMember[] = [],
  folder = 'archive',
): Buffer {
  return zipArchive([
    { name: `${folder}/data.pkl`, bytes: pickle(root) },
    ...storages.map(({ key, bytes }) => ({ name: `${folder}/data/${key}`, bytes })),
    { name: `${folder}/version`, bytes: Buffer.from('3\n') },
    ...extra,
  ]);
}

/** A zip archive; with `zip64`, all sizes and positions use 64 bits, as in archives above 4 GiB. */
export function zipArchive(members: readonly ZipMember[], zip64 = false): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const member of members) {
    const stored = member.deflated === true ? deflateRawSync(member.bytes) : member.bytes;
    const local = Buffer.concat([uint32(0x04034b50), commonFields(member, stored, 0, zip64), Buffer.from(member.name)]);
    const extra = zip64
      ? Buffer.concat([
          uint16(1),
          uint16(24),
          int64(member.claimedBytes ?? member.bytes.length),
          int64(stored.length),
          int64(position),
        ])
      : Buffer.alloc(0);
    const placed = Buffer.concat([Buffer.alloc(10), zip64 ? uint32(0xffffffff) : uint32(position)]);
    directory.push(
      uint32(0x02014b50),
      uint16(20),
      commonFields(member, stored, extra.length, zip64),
      placed,
      Buffer.from(member.name),
      extra,
    );
    parts.push(local, stored);
    position += local.length + stored.length;
  }
  const listed = Buffer.concat(directory);
  return Buffer.concat([...parts, listed, endOfDirectory(members.length, listed.length, position, zip64)]);
}

/** The fields that local header and directory entry share: "version needed" to "extra field length". */
function commonFields(member: ZipMember, stored: Buffer, extraBytes: number, zip64: boolean): Buffer {
  const method = member.deflated === true ? 8 : 0;
  const sizes = zip64 ? [0xffffffff, 0xffffffff] : [stored.length, member.claimedBytes ?? member.bytes.length];
  return Buffer.concat([
    ...[20, 0, method, 0, 0].map(uint16),
    uint32(crc32(member.bytes)),
    ...sizes.map(uint32),
    uint16(Buffer.byteLength(member.name)),
    uint16(extraBytes),
  ]);
}

function endOfDirectory(count: number, directoryBytes: number, position: number, zip64: boolean): Buffer {
  const record = Buffer.concat([
    uint32(0x06054b50),
    ...[0, 0, zip64 ? 0xffff : count, zip64 ? 0xffff : count].map(uint16),
    ...(zip64 ? [0xffffffff, 0xffffffff] : [directoryBytes, position]).map(uint32),
    uint16(0),
  ]);
  if (!zip64) return record;
  const large = [
    uint32(0x06064b50),
    int64(44),
    uint16(45),
    uint16(45),
    uint32(0),
    uint32(0),
    ...[count, count, directoryBytes, position].map(int64),
  ];
  const locator = [uint32(0x07064b50), uint32(0), int64(position + directoryBytes), uint32(1)];
  return Buffer.concat([...large, ...locator, record]);
}

function uint16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
}

export interface SampleOptions {
  readonly format: 'legacy' | 'zip';
  readonly prefix?: string;
  /** Whether the state dict is a `state_dict` entry next to counters and optimizer state. */
  readonly wrapped?: boolean;
}

export const sampleStorages = {
  weight: { key: '100', type: 'FloatStorage', bytes: floats(1.5, -2, 3, 4, 5, -6.25) },
  half: { key: '200', type: 'HalfStorage', bytes: Buffer.from(new Uint16Array([0x3c00, 0xc000, 0x3555]).buffer) },
  bfloat: { key: '300', type: 'BFloat16Storage', bytes: Buffer.from(new Uint16Array([0x3f80, 0xc040]).buffer) },
  counter: { key: '400', type: 'LongStorage', bytes: int64(12) },
  moment: { key: '150', type: 'FloatStorage', bytes: floats(7, 7, 7, 7, 7, 7) },
} as const satisfies Record<string, SampleStorage>;

/** Expected values of the sample's float tensors. */
export const sampleValues = {
  'conv.weight': [1.5, -2, 3, 4, 5, -6.25],
  'conv.bias': [1, -2, 0.333251953125],
  'norm.running_mean': [1, -3],
} as const;

/** A checkpoint of four tensors with the structure of released checkpoints. */
export function sampleCheckpoint({ format, prefix = '', wrapped = false }: SampleOptions): Buffer {
  const { weight, half, bfloat, counter, moment } = sampleStorages;
  const part = format === 'legacy' ? { part: none } : {};
  const state = orderedDict(
    [text(`${prefix}conv.weight`), tensor(weight, [2, 3], part)],
    [text(`${prefix}conv.bias`), tensor(half, [3], part)],
    [text(`${prefix}norm.running_mean`), tensor(bfloat, [2], part)],
    [text(`${prefix}norm.num_batches_tracked`), tensor(counter, [], part)],
  );
  const write = format === 'legacy' ? legacyFile : zipFile;
  if (!wrapped) return write(state, [weight, half, bfloat, counter]);
  const moments = dict([text('step'), integer(396_000)], [text('exp_avg'), tensor(moment, [2, 3], part)]);
  const groups = list(
    dict(
      [text('betas'), tuple(integer(0), integer(1))],
      [text('amsgrad'), no],
      [text('params'), list(integer(140_234_567_890_123))],
      [text('foreach'), none],
      [text('empty'), emptyTuple],
    ),
  );
  const optimizer = dict(
    [text('state'), dict([integer(140_234_567_890_123), moments])],
    [text('param_groups'), groups],
  );
  const root = dict(
    [text('state_dict'), state],
    [text('optimizer'), optimizer],
    [text('global_step'), integer(396_000)],
  );
  return write(root, [weight, moment, half, bfloat, counter]);
}
