import type { GraphConstant } from '../../../inference/onnx-writer.ts';
import type { OnnxTensor } from '../../../inference/onnx-session.ts';
import { integers, type GraphPart } from './graph-part.ts';

/**
 * Optional third input of a Wav2Lip model, one int64: the first row of the picture that is needed. The model draws from
 * the last of `startRows` that is not below it, and returns the rows from there on. One session serves every start row,
 * so the weights exist once: only indices and shapes differ, which the graph selects.
 */
export const startRowInputName = 'start_row';

/** The rows from which a model can draw, in ascending order. The mouth masks of tracked clips need rows from here on. */
export const startRows: readonly number[] = [0, 32, 36, 38, 40, 42, 44, 46];

/** A value of the input. */
export function startRowTensor(row: number): OnnxTensor {
  return { type: 'int64', data: BigInt64Array.of(BigInt(row)), dims: [1] };
}

const variantName = 'start_row/variant';

/** Nodes that derive the index of a start row from the input. `sidePx` is the side of the picture. */
export function startVariant(sidePx: number): GraphPart {
  const variants = Array.from({ length: sidePx }, (_, row) => startRows.findLastIndex((start) => start <= row));
  return {
    nodes: [{ operator: 'Gather', inputs: ['start_row/variants', startRowInputName], output: variantName }],
    constants: [integers('start_row/variants', variants)],
  };
}

/** A one-dimensional int64 tensor whose values depend on the start row. */
export function integersByStart(name: string, valuesFrom: (startRow: number) => readonly number[]): GraphPart {
  const lists = startRows.map(valuesFrom);
  const [whole = []] = lists;
  if (lists.every((list) => isSame(list, whole))) return { nodes: [], constants: [integers(name, whole)] };
  const lengths = lists.map(({ length }) => length);
  const ends = lengths.map((_, index) => lengths.slice(0, index + 1).reduce((sum, length) => sum + length, 0));
  return {
    nodes: [
      { operator: 'Gather', inputs: [`${name}/starts`, variantName], output: `${name}/from` },
      { operator: 'Gather', inputs: [`${name}/ends`, variantName], output: `${name}/to` },
      { operator: 'Slice', inputs: [`${name}/all`, `${name}/from`, `${name}/to`], output: name },
    ],
    constants: [
      integers(`${name}/starts`, [0, ...ends.slice(0, -1)]),
      integers(`${name}/ends`, ends),
      integers(`${name}/all`, lists.flat()),
    ],
  };
}

/** The entries of a constant along axis 0, without as many of the first ones as `skippedFrom` returns. */
export function tailByStart(constant: GraphConstant, skippedFrom: (startRow: number) => number): GraphPart {
  const { name } = constant;
  if (startRows.every((startRow) => skippedFrom(startRow) === 0)) return { nodes: [], constants: [constant] };
  const skipped = integersByStart(`${name}/skipped`, (startRow) => [skippedFrom(startRow)]);
  return {
    nodes: [
      ...skipped.nodes,
      { operator: 'Slice', inputs: [`${name}/all`, `${name}/skipped`, `${name}/end`], output: name },
    ],
    constants: [
      ...skipped.constants,
      { ...constant, name: `${name}/all` },
      integers(`${name}/end`, [constant.dims[0] ?? 0]),
    ],
  };
}

function isSame(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}
