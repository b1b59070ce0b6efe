import { appendFile, truncate } from 'node:fs/promises';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { loadSession, type OnnxTensor } from '../onnx-session.ts';
import { encodeOnnxAddition } from '../onnx-writer.ts';
import {
  convolutionValueAt,
  convolvedSize,
  readConvolution,
  type Activations,
  type Convolution,
  type ConvolutionTensors,
} from './convolution.ts';
import type { TensorSource, Verification, WrittenFile } from './network-kind.ts';

type Tensors = Readonly<Record<string, OnnxTensor>>;

/** Output values per layer that are compared with the reference. */
const samplesPerLayer = 48;
/** Permitted rounding error relative to the sum of magnitudes: a few units of 2⁻²⁴. */
const relativeTolerance = 1e-5;
const absoluteTolerance = 1e-6;

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
  const results = await runWithProbes(file, layers, inputs);
  const errors: number[] = [];
  for (const layer of layers) {
    if (signal.aborted) throw abortError(signal);
    const tensors = await readConvolution(layer, source);
    const input = activationsOf(inputs[layer.input] ?? results[layer.input], layer.input);
    errors.push(compareLayer(layer, tensors, input, activationsOf(results[layer.name], layer.name)));
  }
  for (const [name, { data }] of Object.entries(results)) {
    if (!Array.from(data, Number).every(Number.isFinite)) throw deviates(`${name} is not finite`);
  }
  return { layers: errors.length, largestError: Math.max(0, ...errors) };
}

/** Exposes every layer's input and output under its own name and runs the model once. */
async function runWithProbes(
  { path, sizeBytes }: WrittenFile,
  layers: readonly Convolution[],
  inputs: Tensors,
): Promise<Tensors> {
  const names = [...new Set(layers.flatMap(({ name, input }) => [name, input]))].filter((name) => !(name in inputs));
  const probes = names.map((name) => ({ operator: 'Identity', inputs: [name], output: `${name}/probe` }));
  try {
    await appendFile(
      path,
      encodeOnnxAddition(
        probes,
        probes.map(({ output }) => ({ name: output })),
      ),
    );
    const session = await loadSession(path, { threads: 1 });
    try {
      const outputs = await session.run(inputs);
      return Object.fromEntries(
        Object.entries(outputs).map(([name, tensor]) => [name.replace(/\/probe$/, ''), tensor]),
      );
    } finally {
      await session.release();
    }
  } finally {
    await truncate(path, sizeBytes);
  }
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
  let largest = 0;
  for (let sample = 0; sample < samplesPerLayer; sample += 1) {
    // Multiples of the golden ratio spread the samples evenly over an output of any size.
    const index = Math.floor((((sample + 0.5) * 0.6180339887498949) % 1) * output.data.length);
    const sampleIndex = {
      channel: Math.floor(index / (rows * columns)),
      row: Math.floor(index / columns) % rows,
      column: index % columns,
    };
    const { value, magnitude } = convolutionValueAt(layer, tensors, input, sampleIndex);
    const error = Math.abs((output.data[index] ?? Number.NaN) - value);
    if (!(error <= relativeTolerance * magnitude + absoluteTolerance))
      throw deviates(`${layer.name} outputs ${output.data[index]} instead of ${value}`);
    largest = Math.max(largest, magnitude === 0 ? 0 : error / magnitude);
  }
  return largest;
}

function deviates(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The imported model deviates from its checkpoint: ${finding}. The checkpoint may be damaged; download it again.`,
  );
}
