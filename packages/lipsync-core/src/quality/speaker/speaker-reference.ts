/** The layers of LR-ASD by their definitions, in float64, from the tensors of a checkpoint. */
import type { ReferenceValue } from '../../inference/models/batch-norm.ts';
import type { TensorSource } from '../../inference/models/network-kind.ts';
import { readNormTensors } from './speaker-graph.ts';
import { hiddenSize, normEpsilon, type SpeakerGate, type SpeakerLayer } from './speaker-network.ts';

interface Values {
  readonly data: Float32Array;
  /** The first axis has the frames of pictures, or one window. */
  readonly dims: readonly number[];
}

/** Returns a function for the value at an index of the output with these dims. */
export async function layerValue(
  layer: SpeakerLayer,
  source: TensorSource,
  input: Values,
): Promise<(index: number, outputDims: readonly number[]) => ReferenceValue> {
  const weight = await source.read(layer.weight);
  const norm = await readNorm(source, layer.norm);
  const taps = listTaps(layer.kernel);
  return (index, outputDims) => {
    const [first = 0, channel = 0, ...place] = toPlace(index, outputDims);
    let sum = 0;
    let magnitude = 0;
    for (let inputChannel = 0; inputChannel < layer.inputChannels; inputChannel += 1) {
      const block = (channel * layer.inputChannels + inputChannel) * taps.length;
      for (const [tapIndex, tap] of taps.entries()) {
        const at = place.map((position, axis) => position * layer.stride + (tap[axis] ?? 0));
        const term = (weight[block + tapIndex] ?? 0) * valueAt(input, [first, inputChannel], at);
        sum += term;
        magnitude += Math.abs(term);
      }
    }
    const { factor, shift } = norm(channel);
    return {
      value: Math.max(0, sum * factor + shift),
      magnitude: magnitude * Math.abs(factor) + Math.abs(shift),
    };
  };
}

/** The gated value at an index of (1, frames, channels). */
export async function gateValue(
  gate: SpeakerGate,
  source: TensorSource,
  { data }: Values,
): Promise<(index: number) => ReferenceValue> {
  const weight = await source.read(gate.weight);
  const norm = await readNorm(source, gate.norm);
  return (index) => {
    const channel = index % gate.channels;
    const frame = index - channel;
    let sum = 0;
    for (let from = 0; from < gate.channels; from += 1)
      sum += (weight[channel * gate.channels + from] ?? 0) * (data[frame + from] ?? 0);
    const { factor, shift } = norm(channel);
    const value = data[index] ?? 0;
    return { value: value * sigmoid(sum * factor + shift), magnitude: Math.abs(value) };
  };
}

/** States of the forward and the backward GRU, joined per frame, from an input (1, frames, channels). */
export async function recurrentValues(
  [forward, backward]: readonly [string, string],
  source: TensorSource,
  input: Values,
): Promise<Float64Array> {
  const [, frames = 0, channels = 0] = input.dims;
  const inputs = Array.from({ length: frames }, (_, frame) =>
    input.data.subarray(frame * channels, (frame + 1) * channels),
  );
  const ahead = await runRecurrence(forward, source, inputs);
  const back = (await runRecurrence(backward, source, inputs.toReversed())).toReversed();
  return Float64Array.from(ahead.flatMap((state, frame) => [...state, ...(back[frame] ?? [])]));
}

async function runRecurrence(
  prefix: string,
  source: TensorSource,
  inputs: readonly Float32Array[],
): Promise<Float64Array[]> {
  const inputWeight = await source.read(`${prefix}.weight_ih_l0`);
  const stateWeight = await source.read(`${prefix}.weight_hh_l0`);
  const inputBias = await source.read(`${prefix}.bias_ih_l0`);
  const stateBias = await source.read(`${prefix}.bias_hh_l0`);
  const states: Float64Array[] = [];
  let state = new Float64Array(hiddenSize);
  for (const input of inputs) {
    const fromInput = product(inputWeight, input, inputBias);
    const fromState = product(stateWeight, state, stateBias);
    const previous = state;
    state = previous.map((value, unit) => {
      const at = (values: Float64Array, gate: number): number => values[gate * hiddenSize + unit] ?? 0;
      const reset = sigmoid(at(fromInput, 0) + at(fromState, 0));
      const update = sigmoid(at(fromInput, 1) + at(fromState, 1));
      const fresh = Math.tanh(at(fromInput, 2) + reset * at(fromState, 2));
      return (1 - update) * fresh + update * value;
    });
    states.push(state);
  }
  return states;
}

/** The logit at an index of (1, frames, 2). */
export async function classifierValue(
  prefix: string,
  source: TensorSource,
  { data, dims }: Values,
): Promise<(index: number) => ReferenceValue> {
  const weight = await source.read(`${prefix}.weight`);
  const bias = await source.read(`${prefix}.bias`);
  const channels = dims[2] ?? 0;
  return (index) => {
    const frame = Math.floor(index / 2) * channels;
    const row = (index % 2) * channels;
    let sum = bias[index % 2] ?? 0;
    let magnitude = Math.abs(sum);
    for (let from = 0; from < channels; from += 1) {
      const term = (weight[row + from] ?? 0) * (data[frame + from] ?? 0);
      sum += term;
      magnitude += Math.abs(term);
    }
    return { value: sum, magnitude };
  };
}

function product(weight: Float32Array, input: Float32Array | Float64Array, bias: Float32Array): Float64Array {
  return Float64Array.from(bias, (value, row) => {
    let sum = value;
    for (let index = 0; index < input.length; index += 1)
      sum += (weight[row * input.length + index] ?? 0) * (input[index] ?? 0);
    return sum;
  });
}

async function readNorm(
  source: TensorSource,
  prefix: string,
): Promise<(channel: number) => { readonly factor: number; readonly shift: number }> {
  const [scale, shift, mean, variance] = await readNormTensors(source, prefix);
  return (channel) => {
    const factor = (scale[channel] ?? 0) / Math.sqrt((variance[channel] ?? 0) + normEpsilon);
    return { factor, shift: (shift[channel] ?? 0) - (mean[channel] ?? 0) * factor };
  };
}

/** Offsets of all kernel positions from the center, last axis fastest. */
function listTaps(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (taps, size) => taps.flatMap((tap) => Array.from({ length: size }, (_, index) => [...tap, index - (size - 1) / 2])),
    [[]],
  );
}

/** The position of an index in an array with these dims. */
function toPlace(index: number, dims: readonly number[]): number[] {
  const place: number[] = [];
  let rest = index;
  for (const size of dims.toReversed()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return place;
}

/** The value of a channel at a place; 0 outside. */
function valueAt(
  { data, dims }: Values,
  [first, channel]: readonly [number, number],
  place: readonly number[],
): number {
  const [, channels = 0, ...sizes] = dims;
  let index = first * channels + channel;
  for (const [axis, size] of sizes.entries()) {
    const position = place[axis] ?? 0;
    if (position < 0 || position >= size) return 0;
    index = index * size + position;
  }
  return data[index] ?? 0;
}

function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
