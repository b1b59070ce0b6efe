import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { OnnxGraph } from '../../../inference/onnx-writer.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { convolutionLayer, singlePixelTransposedLayer } from '../model/convolution-layers.ts';
import { officialCropSizePx } from '../model/model-facts.ts';
import type { Layer, Wav2LipNetwork } from '../model/network.ts';
import { integers } from '../model/graph-part.ts';
import { outputSize } from '../model/reference-layer.ts';
import { framesInputName, melInputName, outputName } from '../model/wav2lip-graph.ts';
import type { CodeScale } from './eight-bit-values.ts';
import { GraphBuilder, type PictureTensor, type WeightStore } from './graph-builder.ts';
import { rowConvolutions } from './upsampling-rows.ts';

/** A network with folded batch normalization, and how its tensors are stored in eight bits. */
export interface EightBitNetwork extends WeightStore {
  readonly network: Wav2LipNetwork;
  /** By layer name; not modified. */
  readonly folded: ReadonlyMap<string, FoldedLayer>;
  /** By tensor name: the output of each layer, and `sumName` of each residual layer. */
  readonly scales: ReadonlyMap<string, CodeScale>;
}

/** Pixels are multiples of 1/255, so that their codes are exact. */
const pixelScale: CodeScale = { step: 1 / 255, zeroPoint: 0 };
/** Mel values of −4 to 4; only the first layer of the audio encoder reads them, as float32. */
const melScale: CodeScale = { step: 4 / 127, zeroPoint: 127 };
/** Channels of the frames input, with those that are added to make a multiple of 4. */
const frameChannels = { given: 6, padded: 8 } as const;

/** Name of the sum of a residual layer before its input is added. */
export function sumName({ name }: Pick<Layer, 'name'>): string {
  return `${name}/sum`;
}

/**
 * Whether a layer can be computed in eight bits. The first layer of the audio encoder has a single input channel and
 * few multiplications; the last layer of the network draws the pixels.
 */
export function canBeEightBit(network: Wav2LipNetwork, layer: Layer): boolean {
  return layer.kind !== 'plain' && layer.name !== network.audioEncoder[0]?.name;
}

/** The pictures that a layer reads, whose channels it joins, and the one that it writes. */
export interface LayerPictures {
  readonly inputs: readonly PictureTensor[];
  readonly output: PictureTensor;
}

export interface EightBitGraph {
  readonly graph: OnnxGraph;
  /** By layer name. */
  readonly pictures: ReadonlyMap<string, LayerPictures>;
}

/**
 * Builds the network as an ONNX graph whose layers, except `floatLayers` and those that cannot be, are computed from
 * unsigned eight-bit activations and signed eight-bit weights. Inputs and outputs are those of `wav2lipGraph`.
 */
export function eightBitGraph(source: EightBitNetwork, floatLayers: ReadonlySet<string>): EightBitGraph {
  const { network } = source;
  const side = officialCropSizePx;
  const layers = new LayerWriter(source, floatLayers);
  let encoded = layers.frames();
  const skips = network.faceEncoder.map((group) => (encoded = layers.follow(group, [encoded])));
  let decoded: readonly PictureTensor[] = [layers.follow(network.audioEncoder, [melTensor])];
  for (const [index, group] of network.faceDecoder.entries()) {
    const skip = skips.at(-1 - index);
    decoded = [layers.follow(group, decoded), ...(skip ? [skip] : [])];
  }
  const last = layers.follow(network.outputBlock, decoded);
  layers.builder.add({
    nodes: [{ operator: 'Sigmoid', inputs: [layers.builder.toFloat([last])], output: outputName }],
    constants: [],
  });
  const graph = {
    name: 'wav2lip',
    inputs: [
      { name: melInputName, dims: ['batch', 1, melBandCount, melChunkColumns] },
      { name: framesInputName, dims: ['batch', frameChannels.given, side, side] },
    ],
    outputs: [{ name: outputName, dims: ['batch', 3, side, side] }],
    ...layers.builder.part,
  };
  return { graph, pictures: layers.pictures };
}

const melTensor: PictureTensor = {
  name: melInputName,
  stored: 'float',
  channels: 1,
  rows: melBandCount,
  columns: melChunkColumns,
  scale: melScale,
};

/** Adds layers to a graph, each in its own precision. */
class LayerWriter {
  readonly builder: GraphBuilder;
  readonly pictures = new Map<string, LayerPictures>();
  readonly #source: EightBitNetwork;
  readonly #floatLayers: ReadonlySet<string>;

  constructor(source: EightBitNetwork, floatLayers: ReadonlySet<string>) {
    this.builder = new GraphBuilder(source);
    this.#source = source;
    this.#floatLayers = floatLayers;
  }

  /** The frames input, padded with zero channels when the first layer is computed in eight bits. */
  frames(): PictureTensor {
    const { rows, columns } = { rows: officialCropSizePx, columns: officialCropSizePx };
    const frames = { stored: 'float', rows, columns, scale: pixelScale } as const;
    const first = this.#source.network.faceEncoder[0]?.[0];
    if (!first || this.#isFloat(first)) return { ...frames, name: framesInputName, channels: frameChannels.given };
    const [name, pads] = [`${framesInputName}/widened`, `${framesInputName}/edges`];
    const missing = frameChannels.padded - frameChannels.given;
    this.builder.add({
      nodes: [{ operator: 'Pad', inputs: [framesInputName, pads], output: name }],
      constants: [integers(pads, [0, 0, 0, 0, 0, missing, 0, 0])],
    });
    return { ...frames, name, channels: frameChannels.padded };
  }

  /** Adds consecutive layers; returns the output of the last. */
  follow(layers: readonly Layer[], input: readonly PictureTensor[]): PictureTensor {
    let inputs = input;
    for (const layer of layers) {
      const output = this.#isFloat(layer) ? this.#floatLayer(layer, inputs) : this.#layer(layer, inputs);
      this.pictures.set(layer.name, { inputs, output });
      inputs = [output];
    }
    const [output] = inputs;
    if (!output) throw new RangeError('A group of layers has no layer.');
    return output;
  }

  #isFloat(layer: Layer): boolean {
    return this.#floatLayers.has(layer.name) || !canBeEightBit(this.#source.network, layer);
  }

  #floatLayer(layer: Layer, inputs: readonly PictureTensor[]): PictureTensor {
    const input = this.builder.toFloat(inputs);
    const folded = this.#folded(layer);
    this.builder.add(
      layer.kind === 'transposed' && layer.padding === 0
        ? singlePixelTransposedLayer(layer, folded, input)
        : convolutionLayer({ layer, folded, input, elementType: 'float32' }),
    );
    return { ...this.#outputOf(layer, inputs), name: layer.name, stored: 'float' };
  }

  #layer(layer: Layer, inputs: readonly PictureTensor[]): PictureTensor {
    const output = this.#outputOf(layer, inputs);
    if (layer.kind === 'transposed')
      return layer.padding === 0
        ? this.#singlePixelUpsampling(layer, inputs, output)
        : this.#upsampling(layer, inputs, output);
    const { strides, kernel, padding } = layer;
    const convolution = {
      weights: () => widened(this.#folded(layer), layer, inputs),
      kernel: [kernel, kernel],
      strides,
      pads: [padding, padding, padding, padding],
    } as const;
    if (!layer.residual) {
      this.builder.convolve(inputs, { ...convolution, name: output.name, outputScale: output.scale });
      return output;
    }
    const sum = { ...output, name: `${sumName(layer)}/codes`, scale: this.#scale(sumName(layer)) };
    this.builder.convolve(inputs, { ...convolution, name: sum.name, outputScale: sum.scale });
    const [input] = inputs;
    if (!input) throw new RangeError(`The layer ${layer.name} has no input.`);
    this.builder.addCodes(input, sum, output);
    return output;
  }

  /** Two convolutions, whose rows alternate in the output. */
  #upsampling(layer: Layer, inputs: readonly PictureTensor[], output: PictureTensor): PictureTensor {
    const names = rowConvolutions.map(({ kernel, weightsOf }, phase) =>
      this.builder.convolve(inputs, {
        name: `${output.name}/rows${phase}`,
        weights: () => weightsOf(layer, this.#folded(layer)),
        outputScale: output.scale,
        kernel,
        strides: [1, 1],
        // Each output position reads the input at its own position and after it.
        pads: [0, 0, kernel[0] - 1, kernel[1] - 1],
      }),
    );
    const { name, rows, columns, channels } = output;
    this.builder.add({
      nodes: [
        // (batch, rows, columns of even rows and then of odd rows, channels of two pixels)
        { operator: 'Concat', inputs: names, output: `${name}/pairs`, attributes: { axis: 2 } },
        { operator: 'Reshape', inputs: [`${name}/pairs`, `${name}/sides`], output: name },
      ],
      constants: [integers(`${name}/sides`, [-1, rows, columns, channels])],
    });
    return output;
  }

  /** A transposed convolution of one pixel: a matrix product whose outputs are the pixels of the kernel. */
  #singlePixelUpsampling(layer: Layer, inputs: readonly PictureTensor[], output: PictureTensor): PictureTensor {
    const { name, rows, columns, channels } = output;
    const flat = this.builder.convolve(inputs, {
      name: `${name}/flat`,
      weights: () => pixelWeights(layer, this.#folded(layer)),
      outputScale: output.scale,
      kernel: [1, 1],
      strides: [1, 1],
      pads: [0, 0, 0, 0],
    });
    this.builder.add({
      nodes: [{ operator: 'Reshape', inputs: [flat, `${name}/sides`], output: name }],
      constants: [integers(`${name}/sides`, [-1, rows, columns, channels])],
    });
    return output;
  }

  /** The output of a layer in codes. */
  #outputOf(layer: Layer, [input]: readonly PictureTensor[]): PictureTensor {
    const [rows, columns] = outputSize(layer, [input?.rows ?? 0, input?.columns ?? 0]);
    // The last layer has no codes.
    const scale = layer.kind === 'plain' ? pixelScale : this.#scale(layer.name);
    return { name: `${layer.name}/codes`, stored: 'codes', channels: layer.outputChannels, rows, columns, scale };
  }

  #scale(tensor: string): CodeScale {
    const scale = this.#source.scales.get(tensor);
    if (!scale) throw new RangeError(`The tensor ${tensor} has no scale.`);
    return scale;
  }

  #folded({ name }: Layer): FoldedLayer {
    const folded = this.#source.folded.get(name);
    if (!folded) throw new RangeError(`The layer ${name} is not part of the network.`);
    return folded;
  }
}

/** Adds zero weights for input channels beyond those of the layer. */
function widened(folded: FoldedLayer, layer: Layer, inputs: readonly PictureTensor[]): FoldedLayer {
  const channels = inputs.reduce((sum, input) => sum + input.channels, 0);
  if (channels === layer.inputChannels) return folded;
  const { weight, bias } = folded;
  const area = layer.kernel * layer.kernel;
  const values = new Float32Array(layer.outputChannels * channels * area);
  for (let output = 0; output < layer.outputChannels; output += 1) {
    const start = output * layer.inputChannels * area;
    values.set(weight.subarray(start, start + layer.inputChannels * area), output * channels * area);
  }
  return { weight: values, bias };
}

/** Weights of a 1 × 1 convolution whose outputs are the pixels of a transposed kernel, each with all channels. */
function pixelWeights({ inputChannels, outputChannels, kernel }: Layer, { weight, bias }: FoldedLayer): FoldedLayer {
  const area = kernel * kernel;
  const values = new Float32Array(weight.length);
  for (let pixel = 0; pixel < area; pixel += 1) {
    for (let output = 0; output < outputChannels; output += 1) {
      for (let input = 0; input < inputChannels; input += 1)
        values[(pixel * outputChannels + output) * inputChannels + input] =
          weight[(input * outputChannels + output) * area + pixel] ?? 0;
    }
  }
  return {
    weight: values,
    bias: Float32Array.from({ length: area * outputChannels }, (_, index) => bias[index % outputChannels] ?? 0),
  };
}
