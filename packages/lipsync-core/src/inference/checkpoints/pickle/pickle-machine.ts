import type { LipsyncError } from '../../../errors/lipsync-error.ts';
import { invalidCheckpoint } from '../checkpoint-errors.ts';
import type { CheckpointLimits } from '../checkpoint-limits.ts';
import type { PickleCursor } from './pickle-cursor.ts';
import type { PickleValue } from './pickle-values.ts';

/** What stands behind the names in a pickle. A function that refuses throws `model_invalid`. */
export interface PickleWorld {
  /** Whether a pickle may name this global (`module.attribute`). */
  knows(global: string): boolean;
  /** What calling the global with these arguments makes. */
  construct(global: string, args: readonly PickleValue[]): PickleValue;
  /** What lies outside the pickle under this id. */
  load(persistentId: PickleValue): PickleValue;
}

/** Stack, marks and memo of a pickle that is being read, within the limits. Every refusal is `model_invalid`. */
export class PickleMachine {
  readonly cursor: PickleCursor;
  readonly world: PickleWorld;
  readonly limits: CheckpointLimits;
  /** Where the opcode that is being carried out lies. */
  opcodePosition = 0;
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack at the marks that are still open. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #objects = 0;

  constructor(cursor: PickleCursor, world: PickleWorld, limits: CheckpointLimits) {
    this.cursor = cursor;
    this.world = world;
    this.limits = limits;
  }

  push(value: PickleValue): void {
    if (this.#stack.length + this.#marks.length >= this.limits.stackValues)
      throw this.refuse(`at most ${this.limits.stackValues} values on the stack`, 'more');
    this.#stack.push(value);
  }

  /** Pushes a new object and counts it. */
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
    if (this.#stack.length + this.#marks.length >= this.limits.stackValues)
      throw this.refuse(`at most ${this.limits.stackValues} values on the stack`, 'more');
    this.#marks.push(this.#stack.length);
  }

  /** Removes and returns everything above the last mark, and the mark. */
  popToMark(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.refuse('a mark on the stack', 'none');
    return this.#stack.splice(height);
  }

  /** Keeps the value on top of the stack under an index, or under the next free one. */
  remember(index: number = this.#memo.size): void {
    if (this.#memo.size >= this.limits.memoEntries)
      throw this.refuse(`at most ${this.limits.memoEntries} memo entries`, 'more');
    if (this.#memo.has(index)) throw this.refuse('every memo entry once', `entry ${index} again`);
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.refuse(`memo entry ${index}`, 'none');
    this.push(value);
  }

  /** The value that is left when the pickle stops. */
  result(): PickleValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0)
      throw this.refuse('one value at the end', `${this.#stack.length + 1} values and ${this.#marks.length} marks`);
    return value;
  }

  refuse(expected: string, found: string): LipsyncError {
    return invalidCheckpoint(expected, `${found} (byte ${this.opcodePosition} of a pickle)`);
  }
}
