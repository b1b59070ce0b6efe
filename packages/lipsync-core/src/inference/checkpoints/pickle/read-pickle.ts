import type { CheckpointLimits } from '../checkpoint-limits.ts';
import { checkNesting } from './check-nesting.ts';
import { nameOpcode, operations, stopOpcode } from './operations.ts';
import { EndOfPickle, PickleCursor } from './pickle-cursor.ts';
import { PickleMachine, type PickleWorld } from './pickle-machine.ts';
import type { PickleValue } from './pickle-values.ts';

export type { PickleWorld } from './pickle-machine.ts';

export interface Pickle {
  readonly value: PickleValue;
  readonly lengthBytes: number;
}

/**
 * Reads the pickle at the start of `bytes`, which may go on behind it; undefined when they end before the pickle does.
 * Carries out a closed list of opcodes, which make plain data; whatever a pickle names goes through `world`. Throws
 * `model_invalid` for every other opcode, for what `world` refuses, beyond the limits, and for an object that contains
 * itself.
 */
export function readPickle(bytes: Uint8Array, world: PickleWorld, limits: CheckpointLimits): Pickle | undefined {
  const cursor = new PickleCursor(bytes);
  const machine = new PickleMachine(cursor, world, limits);
  try {
    const value = run(machine);
    checkNesting(value, limits.nesting);
    return { value, lengthBytes: cursor.position };
  } catch (error) {
    if (error instanceof EndOfPickle) return undefined;
    throw error;
  }
}

function run(machine: PickleMachine): PickleValue {
  for (;;) {
    machine.opcodePosition = machine.cursor.position;
    const opcode = machine.cursor.uint8();
    if (opcode === stopOpcode) return machine.result();
    const operation = operations.get(opcode);
    if (operation === undefined) throw machine.refuse('opcodes that weights need', nameOpcode(opcode));
    operation(machine);
  }
}
