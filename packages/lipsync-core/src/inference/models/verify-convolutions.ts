import { abortError } from '../../errors/index.ts';
import type { OnnxTensor } from '../onnx-session.ts';
import {
  convolutionValueAt,
  convolvedSize,
  indexOf,
  readConvolution,
  type Activations,
  type Convolution,
  type ConvolutionTensors,
} from './convolution.ts';
import type { TensorSource, Verification, WrittenFile } from './network-kind.ts';
import { compareSamples, deviates, identityProbe, probeName, runWithProbes } from './probes.ts';

type Tensors = Readonly<Record<string, OnnxTensor>>;

/** A few units of 2⁻²⁴. */
const tolerance = { relative: 1e-5, absolute: 1e-6 };

export interface ConvolutionCheck {
  readonly layers: readonly Convolution[];
  /** Inputs of the model for one run. */
  readonly inputs: Tensors;
  readonly source: TensorSource;
}

/**
 * Verifies a written model against its checkpoint: runs it once and compares samples of every convolution's output with
 * the reference implementation. Restores the file afterwards. Throws `model_invalid` when a layer deviates or an output is
 * not finite.
 */
export async function verifyConvolutions(
  file: WrittenFile,
  { layers, inputs, source }: ConvolutionCheck,
  signal: AbortSignal,
): Promise<Verification> {
  const names = [...new Set(layers.flatMap(({ name, input }) => [name, input]))].filter((name) => !(name in inputs));
  const results = await runWithProbes(file, names.map(identityProbe), (session) => session.run(inputs));
  const resultOf = (name: string): Activations => activationsOf(inputs[name] ?? results[probeName(name)], name);
  const errors: number[] = [];
  for (const layer of layers) {
    if (signal.aborted) throw abortError(signal);
    const tensors = await readConvolution(layer, source);
    errors.push(compareLayer(layer, tensors, resultOf(layer.input), resultOf(layer.name)));
  }
  for (const [name, { data }] of Object.entries(results)) {
    if (!Array.from(data, Number).every(Number.isFinite)) throw deviates(`${name} is not finite`);
  }
  return { layers: errors.length, largestError: Math.max(0, ...errors) };
}

/** The first batch entry. */
function activationsOf(tensor: OnnxTensor | undefined, name: string): Activations {
  if (tensor?.type !== 'float32' || tensor.dims.length !== 4) throw deviates(`${name} has no float32 image`);
  const [, channels = 0, rows = 0, columns = 0] = tensor.dims;
  return { data: tensor.data.subarray(0, channels * rows * columns), channels, rows, columns };
}

/** Returns the largest relative error of the samples. */
function compareLayer(
  layer: Convolution,
  tensors: ConvolutionTensors,
  input: Activations,
  output: Activations,
): number {
  const { rows, columns } = convolvedSize(layer, input);
  if (output.channels !== layer.outputChannels || output.rows !== rows || output.columns !== columns)
    throw deviates(`${layer.name} outputs ${output.channels} × ${output.rows} × ${output.columns}`);
  return compareSamples(
    layer.name,
    output.data,
    (index) => convolutionValueAt(layer, tensors, input, indexOf(index, output)),
    tolerance,
  );
}
