import { appendFile, truncate } from 'node:fs/promises';
import { LipsyncError } from '../../errors/index.ts';
import { loadSession, type OnnxSession, type OnnxTensor } from '../onnx-session.ts';
import { encodeOnnxAddition, type GraphNode } from '../onnx-writer.ts';
import type { ReferenceValue } from './batch-norm.ts';
import type { WrittenFile } from './network-kind.ts';

/** Output values per layer that are compared with the reference. */
const samplesPerLayer = 48;

/** Results of one run, by output name. */
export type ProbedResults = Readonly<Record<string, OnnxTensor>>;

/** Permitted rounding error: relative to the sum of magnitudes, and absolute. */
export interface Tolerance {
  readonly relative: number;
  readonly absolute: number;
}

/** Appends nodes to a model file, makes their results outputs, and runs the model once. Restores the file afterwards. */
export async function runWithProbes(
  { path, sizeBytes }: WrittenFile,
  nodes: readonly GraphNode[],
  run: (session: OnnxSession) => Promise<ProbedResults>,
): Promise<ProbedResults> {
  const outputs = nodes.map(({ output }) => ({ name: output }));
  try {
    await appendFile(path, encodeOnnxAddition(nodes, outputs));
    const session = await loadSession(path, { threads: 1 });
    try {
      return await run(session);
    } finally {
      await session.release();
    }
  } finally {
    await truncate(path, sizeBytes);
  }
}

/** Name of the output that shows the result of a layer. */
export function probeName(name: string): string {
  return `${name}/probe`;
}

/** A node that shows the result of a layer unchanged. */
export function identityProbe(name: string): GraphNode {
  return { operator: 'Identity', inputs: [name], output: probeName(name) };
}

/**
 * Compares samples of a layer's output with its definition. Returns the largest relative error. Throws `model_invalid`
 * when one deviates by more than the tolerance.
 */
export function compareSamples(
  name: string,
  data: Float32Array,
  expected: (index: number) => ReferenceValue,
  tolerance: Tolerance,
): number {
  let largest = 0;
  for (let sample = 0; sample < samplesPerLayer; sample += 1) {
    // Multiples of the golden ratio spread the samples evenly over an output of any size.
    const index = Math.floor((((sample + 0.5) * 0.6180339887498949) % 1) * data.length);
    const { value, magnitude } = expected(index);
    const found = data[index] ?? Number.NaN;
    const error = Math.abs(found - value);
    if (!(error <= tolerance.relative * magnitude + tolerance.absolute))
      throw deviates(`${name} outputs ${found} instead of ${value}`);
    largest = Math.max(largest, magnitude === 0 ? 0 : error / magnitude);
  }
  return largest;
}

/** The error of an imported model that does not compute what its checkpoint defines. */
export function deviates(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The imported model deviates from its checkpoint: ${finding}. The checkpoint may be damaged; download it again.`,
  );
}
