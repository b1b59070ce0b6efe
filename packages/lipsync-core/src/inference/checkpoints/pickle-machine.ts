import type { LipsyncError } from '../../errors/lipsync-error.ts';
import { invalidCheckpoint, type CheckpointLimits } from './limits.ts';
import type { PickleValue } from './pickle-values.ts';
import type { TorchGlobals } from './torch-globals.ts';

/** Thrown when the bytes end before the pickle does; the caller may be able to supply more. Internal to this folder. */
export class EndOfPickle extends Error {}

/** Reads opcodes and their operands sequentially. Every method throws `EndOfPickle` at the end of the bytes. */
export class PickleCursor {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  /** BINFLOAT is the only big-endian operand of the format. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  /**
   * Returns the bytes before the next line feed and skips it; undefined when there are more than `maxLength` of them.
   */
  line(maxLength: number): Uint8Array | undefined {
    const start = this.position;
    const end = this.#bytes.indexOf(0x0a, start);
    if (end - start > maxLength || (end === -1 && this.#bytes.length - start > maxLength)) return undefined;
    if (end === -1) throw new EndOfPickle();
    this.position = end + 1;
    return this.#bytes.subarray(start, end);
  }

  #advance(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.length) throw new EndOfPickle();
    this.position = start + length;
    return start;
  }
}

export interface PickleMachineOptions {
  readonly cursor: PickleCursor;
  readonly globals: TorchGlobals;
  readonly limits: CheckpointLimits;
}

/** Stack, marks and memo of the pickle that is being read. Every violation of a limit is `model_invalid`. */
export class PickleMachine {
  readonly cursor: PickleCursor;
  readonly globals: TorchGlobals;
  readonly limits: CheckpointLimits;
  /** Byte position of the current opcode. */
  opcodePosition = 0;
  readonly #stack: PickleValue[] = [];
  /** Stack heights at the open marks. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #objects = 0;

  constructor({ cursor, globals, limits }: PickleMachineOptions) {
    this.cursor = cursor;
    this.globals = globals;
    this.limits = limits;
  }

  push(value: PickleValue): void {
    this.#requireRoom();
    this.#stack.push(value);
  }

  /** Pushes a newly created object, which counts against the limit on objects. */
  pushNew(value: PickleValue): void {
    this.#objects += 1;
    if (this.#objects > this.limits.objects) throw this.refuse(`at most ${this.limits.objects} objects`, 'more');
    this.push(value);
  }

  pop(): PickleValue {
    const value = this.top();
    this.#stack.pop();
    return value;
  }

  top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || this.#stack.length <= (this.#marks.at(-1) ?? 0))
      throw this.refuse('a value on the stack', 'none');
    return value;
  }

  mark(): void {
    this.#requireRoom();
    this.#marks.push(this.#stack.length);
  }

  /** Removes the last mark and everything above it; returns the removed values. */
  popToMark(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.refuse('a mark on the stack', 'none');
    return this.#stack.splice(height);
  }

  /** Stores the top of the stack in the memo, by default at the next free index. */
  memoize(index: number = this.#memo.size): void {
    if (this.#memo.size >= this.limits.memoEntries)
      throw this.refuse(`at most ${this.limits.memoEntries} memo entries`, 'more');
    if (this.#memo.has(index)) throw this.refuse('unique memo entries', `entry ${index} twice`);
    this.#memo.set(index, this.top());
  }

  /** Pushes a memo entry. */
  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.refuse(`memo entry ${index}`, 'none');
    this.push(value);
  }

  /** Returns the only remaining value after STOP. */
  result(): PickleValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0)
      throw this.refuse('one value at the end', `${this.#stack.length + 1} values and ${this.#marks.length} marks`);
    return value;
  }

  /** Creates the error for the current opcode. */
  refuse(expected: string, found: string): LipsyncError {
    return invalidCheckpoint(expected, `${found} (byte ${this.opcodePosition} of a pickle)`);
  }

  #requireRoom(): void {
    if (this.#stack.length + this.#marks.length >= this.limits.stackValues)
      throw this.refuse(`at most ${this.limits.stackValues} values on the stack`, 'more');
  }
}
