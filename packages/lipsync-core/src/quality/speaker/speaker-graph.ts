import type { TensorSource } from '../../inference/models/network-kind.ts';
import type { GraphConstant, GraphNode, OnnxGraph } from '../../inference/onnx-writer.ts';
import { mfccCount } from '../../audio/mfcc.ts';
import {
  audioBlocks,
  blockSidePx,
  detectorGate,
  embeddingSize,
  fusionGate,
  hiddenSize,
  isOverTime,
  mouthClassifier,
  normEpsilon,
  normTensors,
  recurrentPrefixes,
  speakerClassifier,
  speakerCropPx,
  timelineName,
  visualBlocks,
  type SpeakerBlock,
  type SpeakerClassifier,
  type SpeakerGate,
  type SpeakerLayer,
} from './speaker-network.ts';

/** Gray values 0–255: one window, frames, rows, columns. */
export const facesInputName = 'faces';
/** One window, four rows per frame, coefficients. */
export const mfccInputName = 'mfcc';
/** One window, frames: the logit of "speaks". Higher is more certain; the mean grows with the length of a window. */
export const scoresOutputName = 'scores';
/** One window, frames: the logit of "this mouth moves as in speech", from the picture alone. */
export const mouthScoresOutputName = 'mouth_scores';

/** Names of results within the graph that tests and the verification read. */
export const speakerTensors = {
  normalizedFaces: 'faces/normalized',
  audioInput: 'mfcc/image',
  visualEmbedding: 'visual/embedding',
  audioEmbedding: 'audio/embedding',
  joined: 'joined',
  recurrentOutput: 'recurrent/output',
} as const;

/** Scale and shift of gray values, the authors' mean 0.4161 and deviation 0.1688 of values 0–1. */
const grayScale = 1 / (255 * 0.1688);
const grayShift = -0.4161 / 0.1688;

/** Collects nodes and constants. */
class GraphBuilder {
  readonly nodes: GraphNode[] = [];
  readonly constants: GraphConstant[] = [];
  readonly #source: TensorSource;

  constructor(source: TensorSource) {
    this.#source = source;
  }

  read(name: string): Promise<Float32Array> {
    return this.#source.read(name);
  }

  node(operator: string, inputs: readonly string[], output: string, attributes?: GraphNode['attributes']): string {
    this.nodes.push({ operator, inputs, output, ...(attributes && { attributes }) });
    return output;
  }

  floats(name: string, data: Float32Array, dims: readonly number[]): string {
    this.constants.push({ name, data, dims });
    return name;
  }

  integers(name: string, values: readonly number[]): string {
    this.constants.push({ name, data: BigInt64Array.from(values, BigInt), dims: [values.length] });
    return name;
  }
}

/**
 * Builds the network as an ONNX graph for one window of any number of frames, with folded batch normalization. Each
 * layer's output tensor has the layer's name. Throws the errors of the source.
 */
export async function speakerGraph(source: TensorSource): Promise<OnnxGraph> {
  const builder = new GraphBuilder(source);
  const visual = await addVisualEncoder(builder);
  const audio = await addAudioEncoder(builder);
  const joined = builder.node('Concat', [audio, visual], speakerTensors.joined, { axis: 2 });
  const fused = await addGate(builder, fusionGate, joined);
  const recurrent = await addRecurrence(builder, fused);
  const detected = await addGate(builder, detectorGate, recurrent);
  await addClassifier(builder, speakerClassifier, { input: detected, output: scoresOutputName });
  await addClassifier(builder, mouthClassifier, { input: visual, output: mouthScoresOutputName });
  return {
    name: 'lr-asd',
    inputs: [
      { name: facesInputName, dims: [1, 'frames', speakerCropPx, speakerCropPx] },
      { name: mfccInputName, dims: [1, 'rows', mfccCount] },
    ],
    outputs: [scoresOutputName, mouthScoresOutputName].map((name) => ({ name, dims: [1, 'frames'] })),
    nodes: builder.nodes,
    constants: builder.constants,
  };
}

/** Gray crops to (1, frames, 128). Layers within a picture have the frames as their batch axis. */
async function addVisualEncoder(builder: GraphBuilder): Promise<string> {
  const scale = builder.floats('faces/scale', Float32Array.of(grayScale), [1]);
  const shift = builder.floats('faces/shift', Float32Array.of(grayShift), [1]);
  const scaled = builder.node('Mul', [facesInputName, scale], 'faces/scaled');
  const shifted = builder.node('Add', [scaled, shift], 'faces/shifted');
  let last = builder.node('Transpose', [shifted], speakerTensors.normalizedFaces, swapFirstAxes);
  for (const [index, block] of visualBlocks.entries()) {
    const side = blockSidePx(index);
    for (const layer of block.layers.filter((each) => !isOverTime(each))) last = await addLayer(builder, layer, last);
    last = addTimeline(builder, block, { input: last, side });
    for (const layer of block.layers.filter(isOverTime)) last = await addLayer(builder, layer, last);
    if (block.pooled !== null) last = addPictures(builder, block, { input: last, side, output: block.pooled });
  }
  const strongest = builder.node('ReduceMax', [last], 'visual/strongest', { axes: [3], keepdims: 0 });
  return builder.node('Transpose', [strongest], speakerTensors.visualEmbedding, { perm: [0, 2, 1] });
}

const swapFirstAxes = { perm: [1, 0, 2, 3] };

/** (frames, channels, rows, columns) to (1, channels, frames, pixels). */
function addTimeline(
  builder: GraphBuilder,
  block: SpeakerBlock,
  { input, side }: { readonly input: string; readonly side: number },
): string {
  const channels = channelsOf(block);
  const swapped = builder.node('Transpose', [input], `${block.name}/swapped`, swapFirstAxes);
  const shape = builder.integers(`${block.name}/timeline_shape`, [1, channels, -1, side ** 2]);
  return builder.node('Reshape', [swapped, shape], timelineName(block));
}

/** Back to pictures, which are pooled. */
function addPictures(
  builder: GraphBuilder,
  block: SpeakerBlock,
  { input, side, output }: { readonly input: string; readonly side: number; readonly output: string },
): string {
  const shape = builder.integers(`${block.name}/picture_shape`, [channelsOf(block), -1, side, side]);
  const reshaped = builder.node('Reshape', [input, shape], `${block.name}/reshaped`);
  const pictures = builder.node('Transpose', [reshaped], `${block.name}/pictures`, swapFirstAxes);
  return builder.node('MaxPool', [pictures], output, { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
}

function channelsOf({ layers }: SpeakerBlock): number {
  return layers.at(-1)?.outputChannels ?? 0;
}

/** MFCC to (1, frames, 128). */
async function addAudioEncoder(builder: GraphBuilder): Promise<string> {
  const transposed = builder.node('Transpose', [mfccInputName], 'mfcc/transposed', { perm: [0, 2, 1] });
  const axes = builder.integers('mfcc/axes', [1]);
  let last = builder.node('Unsqueeze', [transposed, axes], speakerTensors.audioInput);
  const pooling = { kernel_shape: [1, 3], strides: [1, 2], pads: [0, 1, 0, 1] };
  for (const { layers, pooled } of audioBlocks) {
    for (const layer of layers) last = await addLayer(builder, layer, last);
    if (pooled !== null) last = builder.node('MaxPool', [last], pooled, pooling);
  }
  const mean = builder.node('ReduceMean', [last], 'audio/mean', { axes: [2], keepdims: 0 });
  return builder.node('Transpose', [mean], speakerTensors.audioEmbedding, { perm: [0, 2, 1] });
}

async function addLayer(builder: GraphBuilder, layer: SpeakerLayer, input: string): Promise<string> {
  const { name, kernel, stride, inputChannels, outputChannels } = layer;
  const { factors, shifts } = await readNorm(builder, layer.norm);
  const folded = scaleRows(await builder.read(layer.weight), factors);
  const weight = builder.floats(`${name}/weight`, folded, [outputChannels, inputChannels, ...kernel]);
  const bias = builder.floats(`${name}/bias`, shifts, [outputChannels]);
  const padding = kernel.map((size) => (size - 1) / 2);
  builder.node('Conv', [input, weight, bias], `${name}/sum`, {
    kernel_shape: kernel,
    strides: [stride, stride],
    pads: [...padding, ...padding],
  });
  return builder.node('Relu', [`${name}/sum`], name);
}

async function addGate(builder: GraphBuilder, gate: SpeakerGate, input: string): Promise<string> {
  const { name, channels } = gate;
  const { factors, shifts } = await readNorm(builder, gate.norm);
  const rows = scaleRows(await builder.read(gate.weight), factors);
  const weight = builder.floats(`${name}/weight`, transpose(rows, channels, channels), [channels, channels]);
  const bias = builder.floats(`${name}/bias`, shifts, [channels]);
  builder.node('MatMul', [input, weight], `${name}/product`);
  builder.node('Add', [`${name}/product`, bias], `${name}/sum`);
  builder.node('Sigmoid', [`${name}/sum`], `${name}/gate`);
  return builder.node('Mul', [input, `${name}/gate`], name);
}

/** A GRU in both directions. ONNX orders its gates update, reset, new; PyTorch reset, update, new. */
async function addRecurrence(builder: GraphBuilder, input: string): Promise<string> {
  const read = async (suffix: string): Promise<Float32Array[]> => {
    const values: Float32Array[] = [];
    for (const prefix of recurrentPrefixes) values.push(reorderGates(await builder.read(`${prefix}.${suffix}`)));
    return values;
  };
  const [inputBias, hiddenBias] = [await read('bias_ih_l0'), await read('bias_hh_l0')];
  const gates = 3 * hiddenSize;
  const inputWeights = concatenate(await read('weight_ih_l0'));
  const weight = builder.floats('recurrent/weight', inputWeights, [2, gates, fusionGate.channels]);
  const state = builder.floats('recurrent/state', concatenate(await read('weight_hh_l0')), [2, gates, hiddenSize]);
  const biases = inputBias.flatMap((values, index) => [values, hiddenBias[index] ?? new Float32Array(gates)]);
  const bias = builder.floats('recurrent/bias', concatenate(biases), [2, 2 * gates]);
  const sequence = builder.node('Transpose', [input], 'recurrent/sequence', { perm: [1, 0, 2] });
  builder.node('GRU', [sequence, weight, state, bias], 'recurrent/states', {
    direction: 'bidirectional',
    hidden_size: hiddenSize,
    linear_before_reset: 1,
  });
  builder.node('Transpose', ['recurrent/states'], 'recurrent/windows', { perm: [2, 0, 1, 3] });
  const shape = builder.integers('recurrent/shape', [0, 0, 2 * hiddenSize]);
  return builder.node('Reshape', ['recurrent/windows', shape], speakerTensors.recurrentOutput);
}

async function addClassifier(
  builder: GraphBuilder,
  { name, prefix }: SpeakerClassifier,
  { input, output }: { readonly input: string; readonly output: string },
): Promise<void> {
  const weight = transpose(await builder.read(`${prefix}.weight`), 2, embeddingSize);
  const weights = builder.floats(`${name}/weight`, weight, [embeddingSize, 2]);
  const bias = builder.floats(`${name}/bias`, await builder.read(`${prefix}.bias`), [2]);
  builder.node('MatMul', [input, weights], `${name}/product`);
  builder.node('Add', [`${name}/product`, bias], name);
  const speaking = builder.integers(`${name}/speaking`, [1]);
  const axes = builder.integers(`${name}/axes`, [2]);
  builder.node('Gather', [name, speaking], `${name}/score`, { axis: 2 });
  builder.node('Squeeze', [`${name}/score`, axes], output);
}

/** Batch normalization as x · factor + shift per channel. */
async function readNorm(
  builder: GraphBuilder,
  prefix: string,
): Promise<{ readonly factors: Float64Array; readonly shifts: Float32Array }> {
  const [scale, shift, mean, variance] = await readNormTensors(builder, prefix);
  const factors = Float64Array.from(scale, (value, index) => value / Math.sqrt((variance[index] ?? 0) + normEpsilon));
  return { factors, shifts: shift.map((value, index) => value - (mean[index] ?? 0) * (factors[index] ?? 0)) };
}

/** γ, β, μ and σ². */
export async function readNormTensors(
  source: TensorSource,
  prefix: string,
): Promise<readonly [Float32Array, Float32Array, Float32Array, Float32Array]> {
  const [scale, shift, mean, variance] = normTensors.map((name) => `${prefix}.${name}`);
  return [
    await source.read(scale ?? ''),
    await source.read(shift ?? ''),
    await source.read(mean ?? ''),
    await source.read(variance ?? ''),
  ];
}

/** Multiplies each output channel by its factor, in place. */
function scaleRows(weight: Float32Array, factors: Float64Array): Float32Array {
  const length = weight.length / factors.length;
  for (let index = 0; index < weight.length; index += 1)
    weight[index] = (weight[index] ?? 0) * (factors[Math.floor(index / length)] ?? 0);
  return weight;
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row += 1)
    for (let column = 0; column < columns; column += 1)
      turned[column * rows + row] = values[row * columns + column] ?? 0;
  return turned;
}

function reorderGates(values: Float32Array): Float32Array {
  const gate = values.length / 3;
  return concatenate([values.subarray(gate, 2 * gate), values.subarray(0, gate), values.subarray(2 * gate)]);
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
