/** Builds pickles for tests. Every function returns the bytes that push one value. */

const bytes = (...values: readonly number[]): Buffer => Buffer.from(values);

export function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

export function int64(value: number | bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer;
}

export const none = bytes(0x4e);
export const no = bytes(0x89);
export const yes = bytes(0x88);
export const emptyDict = bytes(0x7d);
export const emptyList = bytes(0x5d);
export const emptyTuple = bytes(0x29);

/** A complete pickle of `value`. */
export function pickle(value: Buffer, protocol = 2): Buffer {
  return Buffer.concat([bytes(0x80, protocol), value, bytes(0x2e)]);
}

export function text(value: string): Buffer {
  const encoded = Buffer.from(value);
  return Buffer.concat([bytes(0x58), uint32(encoded.length), encoded]);
}

/** A string as SHORT_BINSTRING (Python 2) or SHORT_BINUNICODE (protocol 4). */
export function shortText(value: string, opcode: 0x55 | 0x8c): Buffer {
  return Buffer.concat([bytes(opcode, Buffer.byteLength(value)), Buffer.from(value)]);
}

/** An integer as LONG1 (two's complement). */
export function integer(value: number | bigint): Buffer {
  const magnitude = BigInt(value);
  const length = Math.ceil((magnitude.toString(2).length + 1) / 8);
  const bits = BigInt.asUintN(length * 8, magnitude);
  return Buffer.concat([
    bytes(0x8a, length),
    Buffer.from(Array.from({ length }, (_, index) => Number((bits >> BigInt(8 * index)) & 0xffn))),
  ]);
}

export function float(value: number): Buffer {
  const buffer = Buffer.alloc(9, 0x47);
  buffer.writeDoubleBE(value, 1);
  return buffer;
}

export function tuple(...items: readonly Buffer[]): Buffer {
  return Buffer.concat([bytes(0x28), ...items, bytes(0x74)]);
}

export function list(...items: readonly Buffer[]): Buffer {
  return Buffer.concat([emptyList, bytes(0x28), ...items, bytes(0x65)]);
}

export function dict(...entries: readonly (readonly [key: Buffer, value: Buffer])[]): Buffer {
  return setItems(emptyDict, ...entries);
}

/** Adds entries to the dict that `target` pushes. */
export function setItems(target: Buffer, ...entries: readonly (readonly [key: Buffer, value: Buffer])[]): Buffer {
  return Buffer.concat([target, bytes(0x28), ...entries.flat(), bytes(0x75)]);
}

export function global(module: string, attribute: string): Buffer {
  return Buffer.from(`c${module}\n${attribute}\n`);
}

/** A global as STACK_GLOBAL (protocol 4). */
export function stackGlobal(module: string, attribute: string): Buffer {
  return Buffer.concat([shortText(module, 0x8c), shortText(attribute, 0x8c), bytes(0x93)]);
}

export function call(callee: Buffer, ...args: readonly Buffer[]): Buffer {
  return Buffer.concat([callee, tuple(...args), bytes(0x52)]);
}

export function orderedDict(...entries: readonly (readonly [key: Buffer, value: Buffer])[]): Buffer {
  return setItems(call(global('collections', 'OrderedDict')), ...entries);
}

export function build(target: Buffer, state: Buffer): Buffer {
  return Buffer.concat([target, state, bytes(0x62)]);
}

export function persistent(id: Buffer): Buffer {
  return Buffer.concat([id, bytes(0x51)]);
}

/** Pushes `value` and stores it in the memo. */
export function put(index: number, value: Buffer): Buffer {
  return Buffer.concat([value, bytes(0x71, index)]);
}

export function get(index: number): Buffer {
  return bytes(0x68, index);
}

export function append(target: Buffer, item: Buffer): Buffer {
  return Buffer.concat([target, item, bytes(0x61)]);
}
