import { abortError } from '../../../errors/index.ts';
import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import { indexOf, type ActivationIndex, type Activations } from '../../../inference/models/convolution.ts';
import type { TensorSource, Verification, WrittenFile } from '../../../inference/models/network-kind.ts';
import {
  compareSamples,
  deviates,
  probeName,
  runWithProbes,
  type ProbedResults,
} from '../../../inference/models/probes.ts';
import { describeWav2LipModel } from '../model/model-facts.ts';
import { readLayerTensors, type LayerTensors } from '../model/layer-weights.ts';
import { layersOf, type Layer } from '../model/network.ts';
import { layerValueAt } from '../model/reference-layer.ts';
import { testInputs } from '../model/verify-import.ts';
import { outputName } from '../model/wav2lip-graph.ts';
import { sumName, type EightBitNetwork, type LayerPictures } from './eight-bit-graph.ts';
import type { CodeScale } from './eight-bit-values.ts';
import { scaleNames, type PictureTensor } from './graph-builder.ts';

export interface WrittenEightBit {
  readonly eightBit: EightBitNetwork;
  readonly pictures: ReadonlyMap<string, LayerPictures>;
  readonly source: TensorSource;
}

/** A few units of 2⁻²⁴, for layers in float32. */
const floatTolerance = 1e-5;
/** Deviations of the sum of weight errors that are permitted; a sum of thousands is normally distributed. */
const permittedDeviations = 7;
/** Standard deviation of a rounding error, in steps. */
const roundingDeviation = Math.sqrt(1 / 12);

/**
 * Verifies a written eight-bit model against its checkpoint: runs it once on test inputs and compares samples of every
 * layer's output with the layer's definition, computed in float64 from the layer's actual input. An eight-bit layer may
 * deviate by the rounding of its weights and output. Restores the file afterwards. Throws `model_invalid` when a layer
 * deviates more or the output is not finite.
 */
export async function verifyEightBit(
  file: WrittenFile,
  { eightBit, pictures, source }: WrittenEightBit,
  signal: AbortSignal,
): Promise<Verification> {
  const results = await runProbed(file, [...pictures.values()]);
  const errors: number[] = [];
  for (const layer of layersOf(eightBit.network)) {
    if (signal.aborted) throw abortError(signal);
    const used = pictures.get(layer.name);
    if (!used) throw deviates(`${layer.name} is not part of it`);
    const tensors = await readLayerTensors(layer, source);
    errors.push(compareLayer(new LayerReference(layer, tensors, eightBit), used, results));
  }
  if (!Array.from(results[outputName]?.data ?? [], Number).every(Number.isFinite))
    throw deviates('its output is not finite');
  return { layers: errors.length, largestError: Math.max(...errors) };
}

/** Shows every picture as float32 in one run. */
function runProbed(file: WrittenFile, layers: readonly LayerPictures[]): Promise<ProbedResults> {
  const pictures = new Map(layers.flatMap(({ inputs, output }) => [...inputs, output].map((one) => [one.name, one])));
  const nodes = Array.from(pictures.values(), ({ name, stored, scale }) =>
    stored === 'float'
      ? { operator: 'Identity', inputs: [name], output: probeName(name) }
      : { operator: 'DequantizeLinear', inputs: [name, ...scaleNames(scale)], output: probeName(name) },
  );
  return runWithProbes(file, nodes, (session) => {
    describeWav2LipModel({ inputs: session.inputs, outputs: session.outputs.slice(0, 1) });
    return session.run(testInputs());
  });
}

function compareLayer(reference: LayerReference, { inputs, output }: LayerPictures, results: ProbedResults): number {
  const { name } = reference.layer;
  const isEightBit = output.stored === 'codes';
  const parts = inputs.map((picture) => ({ picture, values: readPicture(picture, results, isEightBit) }));
  const input = joinChannels(parts.map(({ values }) => values));
  const found = readPicture(output, results, false);
  if (!isEightBit) {
    const expected = (index: number) => reference.valueAt(input, indexOf(index, found));
    return compareSamples(name, found.data, expected, { relative: floatTolerance, absolute: 1e-6 });
  }
  const codes = joinChannels(parts.map(({ picture, values }) => squaredCodes(values, picture.scale)));
  const steps = parts.flatMap(({ picture, values }) =>
    Array.from({ length: values.channels }, () => picture.scale.step),
  );
  const expected = (index: number) => reference.eightBitValueAt({ input, codes, steps }, indexOf(index, found));
  return compareSamples(name, found.data, expected, { relative: 1, absolute: 1e-6 });
}

interface EightBitInput {
  readonly input: Activations;
  /** The squares of its codes. */
  readonly codes: Activations;
  /** The step of each channel. */
  readonly steps: readonly number[];
}

/** The definition of a layer, and how far its eight-bit form may be from it. */
class LayerReference {
  readonly layer: Layer;
  readonly #tensors: LayerTensors;
  readonly #eightBit: EightBitNetwork;
  readonly #ones: LayerTensors;

  constructor(layer: Layer, tensors: LayerTensors, eightBit: EightBitNetwork) {
    this.layer = layer;
    this.#tensors = tensors;
    this.#eightBit = eightBit;
    const { weight, bias } = tensors;
    this.#ones = { weight: weight.map(() => 1), bias: bias.map(() => 0), norm: null };
  }

  valueAt(input: Activations, index: ActivationIndex) {
    return layerValueAt(this.layer, this.#tensors, input, index);
  }

  /** The value that the codes of the output can hold, and as its magnitude the permitted deviation. */
  eightBitValueAt({ input, codes, steps }: EightBitInput, index: ActivationIndex) {
    const { layer } = this;
    const bare: Layer = { ...layer, residual: false };
    const squares = layerValueAt(bare, this.#ones, codes, index).value;
    const step = this.#weightStep(index.channel, steps);
    const weightError = step * (permittedDeviations * roundingDeviation * Math.sqrt(squares) + 0.5);
    const output = this.#scale(layer.name);
    if (!layer.residual) {
      const { value } = layerValueAt(bare, this.#tensors, input, index);
      return { value: clamp(value, output), magnitude: weightError + output.step };
    }
    // Without its ReLU, the sum may be negative.
    const sum = this.#scale(sumName(layer));
    const convolved = clamp(layerValueAt({ ...bare, kind: 'plain' }, this.#tensors, input, index).value, sum);
    const added = input.data[(index.channel * input.rows + index.row) * input.columns + index.column] ?? 0;
    return { value: clamp(convolved + added, output), magnitude: weightError + sum.step + output.step };
  }

  /** The step of the weights of an output channel, for inputs in codes. */
  #weightStep(channel: number, steps: readonly number[]): number {
    const { kind, kernel, inputChannels, outputChannels } = this.layer;
    const { weight } = this.#folded();
    const area = kernel * kernel;
    let largest = 0;
    for (let input = 0; input < inputChannels; input += 1) {
      const start = (kind === 'transposed' ? input * outputChannels + channel : channel * inputChannels + input) * area;
      for (let tap = start; tap < start + area; tap += 1)
        largest = Math.max(largest, Math.abs(weight[tap] ?? 0) * (steps[input] ?? 0));
    }
    return largest / this.#eightBit.largestWeight;
  }

  #folded(): FoldedLayer {
    const folded = this.#eightBit.folded.get(this.layer.name);
    if (!folded) throw deviates(`${this.layer.name} has no weights`);
    return folded;
  }

  #scale(name: string): CodeScale {
    const scale = this.#eightBit.scales.get(name);
    if (!scale) throw deviates(`${name} has no scale`);
    return scale;
  }
}

function clamp(value: number, { step, zeroPoint }: CodeScale): number {
  return Math.max(-zeroPoint * step, Math.min((255 - zeroPoint) * step, value));
}

/** Values of one face; rounded to codes for an eight-bit layer that reads a picture in float32. */
function readPicture(picture: PictureTensor, results: ProbedResults, asCodes: boolean): Activations {
  const tensor = results[probeName(picture.name)];
  if (tensor?.type !== 'float32') throw deviates(`${picture.name} has no float32 output`);
  const { channels, rows, columns, stored, scale } = picture;
  if (tensor.data.length !== channels * rows * columns)
    throw deviates(`${picture.name} has ${tensor.data.length} values instead of ${channels * rows * columns}`);
  if (stored === 'codes') return channelsFirst(tensor.data, { channels, rows, columns });
  const { step } = scale;
  return {
    data: asCodes ? tensor.data.map((value) => clamp(Math.round(value / step) * step, scale)) : tensor.data,
    channels,
    rows,
    columns,
  };
}

function channelsFirst(data: Float32Array, { channels, rows, columns }: Omit<Activations, 'data'>): Activations {
  const pixels = rows * columns;
  const values = new Float32Array(data.length);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    for (let channel = 0; channel < channels; channel += 1)
      values[channel * pixels + pixel] = data[pixel * channels + channel] ?? 0;
  }
  return { data: values, channels, rows, columns };
}

function squaredCodes(values: Activations, { step }: CodeScale): Activations {
  return { ...values, data: values.data.map((value) => (value / step) ** 2) };
}

function joinChannels(parts: readonly Activations[]): Activations {
  const [first] = parts;
  if (!first) throw deviates('a layer has no input');
  const data = new Float32Array(parts.reduce((length, part) => length + part.data.length, 0));
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return { ...first, data, channels: parts.reduce((sum, part) => sum + part.channels, 0) };
}
