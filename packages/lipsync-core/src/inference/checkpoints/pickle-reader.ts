import type { CheckpointLimits } from './limits.ts';
import { EndOfPickle, PickleCursor, PickleMachine } from './pickle-machine.ts';
import {
  checkNesting,
  describeValue,
  isKind,
  newDict,
  type PickleDict,
  type PickleKey,
  type PickleValue,
} from './pickle-values.ts';
import type { TorchGlobals } from './torch-globals.ts';

export interface Pickle {
  readonly value: PickleValue;
  readonly lengthBytes: number;
}

export interface PickleReadOptions {
  /** Resolves globals and persistent ids. */
  readonly globals: TorchGlobals;
  readonly limits: CheckpointLimits;
}

/**
 * Reads the pickle at the start of `bytes`; trailing bytes are ignored. Returns undefined when the bytes end before the
 * pickle does. Executes a closed set of opcodes, which create plain data; nothing in the file is run. Throws
 * `model_invalid` for other opcodes, globals outside the allow-list, exceeded limits and objects that contain
 * themselves.
 */
export function readPickle(bytes: Uint8Array, { globals, limits }: PickleReadOptions): Pickle | undefined {
  const cursor = new PickleCursor(bytes);
  try {
    const value = execute(new PickleMachine({ cursor, globals, limits }));
    checkNesting(value, limits.nesting);
    return { value, lengthBytes: cursor.position };
  } catch (error) {
    if (error instanceof EndOfPickle) return undefined;
    throw error;
  }
}

function execute(machine: PickleMachine): PickleValue {
  for (;;) {
    machine.opcodePosition = machine.cursor.position;
    const opcode = machine.cursor.uint8();
    if (opcode === stopOpcode) return machine.result();
    const operation = operations.get(opcode);
    if (operation === undefined) throw machine.refuse('opcodes that weights need', describeOpcode(opcode));
    operation(machine);
  }
}

type Operation = (machine: PickleMachine) => void;

const stopOpcode = 0x2e;
const newestProtocol = 5;
const maxNameBytes = 256;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The supported opcodes: those that Python's pickler emits for numbers, strings, tuples, lists, dicts and calls in
 * protocols 2 to 5 (see `pickletools` in the Python standard library). Opcodes only of protocols 0 and 1, extensions,
 * byte strings, sets, instances and out-of-band buffers are rejected.
 */
const operations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  // PROTO, FRAME
  [0x80, readProtocol],
  [0x95, (machine) => void machine.cursor.uint64()],
  // NONE, NEWTRUE, NEWFALSE
  [0x4e, (machine) => machine.push(null)],
  [0x88, (machine) => machine.push(true)],
  [0x89, (machine) => machine.push(false)],
  // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
  [0x4a, (machine) => machine.push(machine.cursor.int32())],
  [0x4b, (machine) => machine.push(machine.cursor.uint8())],
  [0x4d, (machine) => machine.push(machine.cursor.uint16())],
  [0x8a, (machine) => pushInteger(machine, machine.cursor.uint8())],
  [0x8b, (machine) => pushInteger(machine, machine.cursor.uint32())],
  [0x47, (machine) => machine.push(machine.cursor.float64())],
  // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and Python 2 strings: BINSTRING, SHORT_BINSTRING
  [0x58, (machine) => machine.pushNew(readText(machine, machine.cursor.uint32()))],
  [0x8c, (machine) => machine.pushNew(readText(machine, machine.cursor.uint8()))],
  [0x8d, (machine) => machine.pushNew(readText(machine, Number(machine.cursor.uint64())))],
  [0x54, (machine) => machine.pushNew(readText(machine, machine.cursor.uint32()))],
  [0x55, (machine) => machine.pushNew(readText(machine, machine.cursor.uint8()))],
  // MARK, EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
  [0x28, (machine) => machine.mark()],
  [0x29, (machine) => machine.pushNew({ kind: 'tuple', items: [] })],
  [0x74, (machine) => machine.pushNew({ kind: 'tuple', items: machine.popToMark() })],
  [0x85, (machine) => pushTuple(machine, 1)],
  [0x86, (machine) => pushTuple(machine, 2)],
  [0x87, (machine) => pushTuple(machine, 3)],
  // EMPTY_LIST, APPEND, APPENDS
  [0x5d, (machine) => machine.pushNew({ kind: 'list', items: [] })],
  [0x61, (machine) => append(machine, [machine.pop()])],
  [0x65, (machine) => append(machine, machine.popToMark())],
  // EMPTY_DICT, SETITEM, SETITEMS
  [0x7d, (machine) => machine.pushNew(newDict())],
  [0x73, (machine) => setItems(machine, [machine.pop(), machine.pop()].reverse())],
  [0x75, (machine) => setItems(machine, machine.popToMark())],
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  [0x71, (machine) => machine.memoize(machine.cursor.uint8())],
  [0x72, (machine) => machine.memoize(machine.cursor.uint32())],
  [0x94, (machine) => machine.memoize()],
  [0x68, (machine) => machine.recall(machine.cursor.uint8())],
  [0x6a, (machine) => machine.recall(machine.cursor.uint32())],
  // GLOBAL, STACK_GLOBAL, REDUCE, BUILD, BINPERSID
  [0x63, (machine) => pushGlobal(machine, readName(machine), readName(machine))],
  [0x93, pushGlobalFromStack],
  [0x52, reduce],
  [0x62, build],
  [0x51, (machine) => machine.pushNew(machine.globals.loadPersistent(machine.pop()))],
]);

/** Known opcodes that are rejected, for error messages. */
const rejectedOpcodes: ReadonlyMap<number, string> = new Map([
  [0x30, 'POP'],
  [0x31, 'POP_MARK'],
  [0x32, 'DUP'],
  [0x42, 'BINBYTES'],
  [0x43, 'SHORT_BINBYTES'],
  [0x46, 'FLOAT'],
  [0x49, 'INT'],
  [0x4c, 'LONG'],
  [0x50, 'PERSID'],
  [0x53, 'STRING'],
  [0x56, 'UNICODE'],
  [0x64, 'DICT'],
  [0x67, 'GET'],
  [0x69, 'INST'],
  [0x6c, 'LIST'],
  [0x6f, 'OBJ'],
  [0x70, 'PUT'],
  [0x81, 'NEWOBJ'],
  [0x82, 'EXT1'],
  [0x83, 'EXT2'],
  [0x84, 'EXT4'],
  [0x8e, 'BINBYTES8'],
  [0x8f, 'EMPTY_SET'],
  [0x90, 'ADDITEMS'],
  [0x91, 'FROZENSET'],
  [0x92, 'NEWOBJ_EX'],
  [0x96, 'BYTEARRAY8'],
  [0x97, 'NEXT_BUFFER'],
  [0x98, 'READONLY_BUFFER'],
]);

function describeOpcode(opcode: number): string {
  const name = rejectedOpcodes.get(opcode);
  return name === undefined ? `the unknown opcode 0x${opcode.toString(16).padStart(2, '0')}` : `the opcode ${name}`;
}

function readProtocol(machine: PickleMachine): void {
  const protocol = machine.cursor.uint8();
  if (protocol < 2 || protocol > newestProtocol)
    throw machine.refuse(`pickle protocol 2 to ${newestProtocol}`, `protocol ${protocol}`);
}

/** LONG1 and LONG4: little-endian two's complement of any length. */
function pushInteger(machine: PickleMachine, lengthBytes: number): void {
  if (lengthBytes > machine.limits.integerBytes)
    throw machine.refuse(`integers of at most ${machine.limits.integerBytes} bytes`, `one of ${lengthBytes}`);
  const bytes = machine.cursor.bytes(lengthBytes);
  const magnitude = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const value = BigInt.asIntN(lengthBytes * 8, magnitude);
  const number = Number(value);
  machine.push(Number.isSafeInteger(number) ? number : value);
}

function readText(machine: PickleMachine, lengthBytes: number): string {
  if (lengthBytes > machine.limits.textBytes)
    throw machine.refuse(`strings of at most ${machine.limits.textBytes} bytes`, `one of ${lengthBytes}`);
  return decodeText(machine, machine.cursor.bytes(lengthBytes));
}

function decodeText(machine: PickleMachine, bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw machine.refuse('UTF-8 text', 'other bytes');
  }
}

function pushTuple(machine: PickleMachine, length: number): void {
  const items = Array.from({ length }, () => machine.pop()).reverse();
  machine.pushNew({ kind: 'tuple', items });
}

function append(machine: PickleMachine, items: readonly PickleValue[]): void {
  const list = machine.top();
  if (!isKind(list, 'list')) throw machine.refuse('a list to add to', describeValue(list));
  for (const item of items) list.items.push(item);
}

function setItems(machine: PickleMachine, keysAndValues: readonly PickleValue[]): void {
  const dict = machine.top();
  if (!isKind(dict, 'dict')) throw machine.refuse('a dict to add to', describeValue(dict));
  if (keysAndValues.length % 2 !== 0) throw machine.refuse('a value for every key', 'a key without a value');
  for (let index = 0; index < keysAndValues.length; index += 2)
    setItem(machine, dict, keysAndValues[index], keysAndValues[index + 1]);
}

function setItem(
  machine: PickleMachine,
  dict: PickleDict,
  key: PickleValue | undefined,
  value: PickleValue | undefined,
): void {
  if (!isKey(key) || value === undefined) throw machine.refuse('strings or integers as keys', describeValue(key));
  if (dict.entries.has(key)) throw machine.refuse('unique keys', `${describeValue(key)} twice`);
  dict.entries.set(key, value);
}

function isKey(value: PickleValue | undefined): value is PickleKey {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
}

function readName(machine: PickleMachine): string {
  const line = machine.cursor.line(maxNameBytes);
  if (line === undefined) throw machine.refuse(`names of at most ${maxNameBytes} bytes`, 'a longer name');
  return decodeText(machine, line);
}

function pushGlobalFromStack(machine: PickleMachine): void {
  const attribute = machine.pop();
  const module = machine.pop();
  if (typeof module !== 'string' || typeof attribute !== 'string')
    throw machine.refuse('a name as a string', describeValue(module));
  pushGlobal(machine, module, attribute);
}

function pushGlobal(machine: PickleMachine, module: string, attribute: string): void {
  const global = { kind: 'global', name: `${module}.${attribute}` } as const;
  if (!machine.globals.isAllowed(global.name)) throw machine.refuse('globals that weights need', describeValue(global));
  machine.pushNew(global);
}

function reduce(machine: PickleMachine): void {
  const args = machine.pop();
  const callee = machine.pop();
  if (!isKind(callee, 'global') || !isKind(args, 'tuple'))
    throw machine.refuse('a global and its arguments', `${describeValue(callee)} and ${describeValue(args)}`);
  machine.pushNew(machine.globals.call(callee.name, args.items));
}

/**
 * BUILD is accepted once per dict, for the `_metadata` attribute of a state dict; attributes of other objects are
 * rejected.
 */
function build(machine: PickleMachine): void {
  const state = machine.pop();
  const dict = machine.top();
  if (!isKind(dict, 'dict') || dict.state !== undefined)
    throw machine.refuse('attributes of a dict, once', `attributes of ${describeValue(dict)}`);
  dict.state = state;
}
