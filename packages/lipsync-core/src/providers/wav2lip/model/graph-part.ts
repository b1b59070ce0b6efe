import type { GraphConstant, GraphNode } from '../../../inference/onnx-writer.ts';

/** Nodes and the constants that only they use. */
export interface GraphPart {
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly GraphConstant[];
}

/** A one-dimensional int64 constant. */
export function integers(name: string, values: readonly number[]): GraphConstant {
  return { name, dims: [values.length], data: BigInt64Array.from(values, BigInt) };
}
