import type { GraphConstant, GraphNode } from '../../../inference/onnx-writer.ts';
import type { GraphPart } from '../model/graph-part.ts';
import {
  quantizeWeights,
  type CodeScale,
  type EightBitWeights,
  type FloatWeights,
  type LargestWeight,
} from './eight-bit-values.ts';

/** A picture of the graph: float32 in (batch, channels, rows, columns), or codes in (batch, rows, columns, channels). */
export interface PictureTensor {
  readonly name: string;
  readonly stored: 'float' | 'codes';
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
  /** How its values are stored in codes. */
  readonly scale: CodeScale;
}

export interface EightBitConvolution {
  readonly name: string;
  /** Computes the weights; called when they are not in the cache. */
  readonly weights: () => FloatWeights;
  readonly outputScale: CodeScale;
  /** Rows and columns, like the next. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
}

/** Codes whose channels may have different steps; the zero point is common. */
interface CodeInput {
  readonly name: string;
  readonly steps: Float32Array;
  readonly zeroPoint: number;
}

/** Integer weights by the name of their convolution, and how large they may be. */
export interface WeightStore {
  readonly weights: Map<string, EightBitWeights>;
  readonly largestWeight: LargestWeight;
}

const runtimeOnly = { domain: 'com.microsoft' } as const;

/**
 * Collects nodes and constants of a graph in eight bits. Codes are stored with the channels last and computed by
 * com.microsoft.QLinearConv: ONNX Runtime then runs all pictures of a batch in one parallel section and rounds in the
 * same pass. It needs signed weights without zero points, and inputs in multiples of 4 channels; others are padded.
 */
export class GraphBuilder {
  readonly #weights: Map<string, EightBitWeights>;
  readonly #largestWeight: LargestWeight;
  readonly #nodes: GraphNode[] = [];
  readonly #constants = new Map<string, GraphConstant>();
  readonly #converted = new Map<string, string>();

  /** Adds weights that the store lacks; the weights of a convolution do not depend on which other layers are float32. */
  constructor({ weights, largestWeight }: WeightStore) {
    this.#weights = weights;
    this.#largestWeight = largestWeight;
  }

  get part(): GraphPart {
    return { nodes: this.#nodes, constants: [...this.#constants.values()] };
  }

  add({ nodes, constants }: GraphPart): void {
    this.#nodes.push(...nodes);
    for (const constant of constants) this.#constants.set(constant.name, constant);
  }

  /** The channels of all pictures as float32; adds conversions where needed. */
  toFloat(pictures: readonly PictureTensor[]): string {
    return this.#join(
      pictures.map((picture) => this.#floatOf(picture)),
      1,
    );
  }

  /** A convolution of the channels of all pictures. Returns the name of its codes. */
  convolve(pictures: readonly PictureTensor[], convolution: EightBitConvolution): string {
    const { name, outputScale, kernel, strides, pads, weights } = convolution;
    const input = this.#toCodes(pictures);
    const { codes, steps, bias } =
      this.#weights.get(name) ?? quantizeWeights(weights(), input.steps, this.#largestWeight);
    this.#weights.set(name, { codes, steps, bias });
    const [weight, weightSteps, biasName] = [`${name}/weight`, `${name}/steps`, `${name}/bias`];
    this.#define(
      { name: weight, dims: [bias.length, input.steps.length, ...kernel], data: codes },
      { name: weightSteps, dims: [bias.length], data: steps },
      { name: biasName, dims: [bias.length], data: bias },
    );
    const [one, inputZero] = [this.#step(1), this.#zeroPoint(input.zeroPoint)];
    this.#nodes.push({
      ...runtimeOnly,
      operator: 'QLinearConv',
      inputs: [
        input.name,
        one,
        inputZero,
        weight,
        weightSteps,
        this.#weightZeroPoint(),
        ...this.#scaleNames(outputScale),
        biasName,
      ],
      output: name,
      attributes: { channels_last: 1, kernel_shape: kernel, strides, pads },
    });
    return name;
  }

  /** The sum of two pictures in codes. */
  addCodes(left: PictureTensor, right: PictureTensor, { name, scale }: Pick<PictureTensor, 'name' | 'scale'>): void {
    const terms = [left, right].map((picture) => ({ picture, codes: this.#codesOf(picture) }));
    this.#nodes.push({
      ...runtimeOnly,
      operator: 'QLinearAdd',
      inputs: [
        ...terms.flatMap(({ codes, picture }) => [codes, ...this.#scaleNames(picture.scale)]),
        ...this.#scaleNames(scale),
      ],
      output: name,
    });
  }

  /** Codes of all pictures as channels of one tensor. */
  #toCodes(pictures: readonly PictureTensor[]): CodeInput {
    const [first] = pictures;
    if (!first || pictures.some(({ scale }) => scale.zeroPoint !== first.scale.zeroPoint))
      throw new RangeError('The channels of a convolution have one zero point.');
    const steps = pictures.flatMap(({ channels, scale }) => Array.from({ length: channels }, () => scale.step));
    const name = this.#join(
      pictures.map((picture) => this.#codesOf(picture)),
      3,
    );
    return { name, steps: Float32Array.from(steps), zeroPoint: first.scale.zeroPoint };
  }

  #join(names: readonly string[], axis: number): string {
    const [first = ''] = names;
    if (names.length === 1) return first;
    return this.#convert(`${names.join('+')}/joined`, (output) => [
      { operator: 'Concat', inputs: names, output, attributes: { axis } },
    ]);
  }

  #floatOf({ name, stored, scale }: PictureTensor): string {
    if (stored === 'float') return name;
    return this.#convert(`${name}/float`, (output) => [
      { operator: 'DequantizeLinear', inputs: [name, ...this.#scaleNames(scale)], output: `${output}/last` },
      { operator: 'Transpose', inputs: [`${output}/last`], output, attributes: { perm: [0, 3, 1, 2] } },
    ]);
  }

  #codesOf({ name, stored, scale }: PictureTensor): string {
    if (stored === 'codes') return name;
    return this.#convert(`${name}/codes`, (output) => [
      { operator: 'QuantizeLinear', inputs: [name, ...this.#scaleNames(scale)], output: `${output}/first` },
      { operator: 'Transpose', inputs: [`${output}/first`], output, attributes: { perm: [0, 2, 3, 1] } },
    ]);
  }

  /** Adds the nodes that compute `output`, once. */
  #convert(output: string, nodes: (output: string) => readonly GraphNode[]): string {
    const existing = this.#converted.get(output);
    if (existing !== undefined) return existing;
    this.#nodes.push(...nodes(output));
    this.#converted.set(output, output);
    return output;
  }

  #scaleNames({ step, zeroPoint }: CodeScale): readonly [string, string] {
    return [this.#step(step), this.#zeroPoint(zeroPoint)];
  }

  #step(step: number): string {
    return this.#define({ name: stepName(step), dims: [], data: Float32Array.of(step) });
  }

  #zeroPoint(zeroPoint: number): string {
    return this.#define({ name: zeroPointName(zeroPoint), dims: [], data: Uint8Array.of(zeroPoint) });
  }

  #weightZeroPoint(): string {
    return this.#define({ name: 'weight_zero_point', dims: [], data: Int8Array.of(0) });
  }

  /** Returns the name of the first. */
  #define(...constants: readonly GraphConstant[]): string {
    for (const constant of constants) this.#constants.set(constant.name, constant);
    return constants[0]?.name ?? '';
  }
}

/** Names of the constants of a scale, which the graph has for every picture in codes. */
export function scaleNames({ step, zeroPoint }: CodeScale): readonly [string, string] {
  return [stepName(step), zeroPointName(zeroPoint)];
}

function stepName(step: number): string {
  return `step/${step}`;
}

function zeroPointName(zeroPoint: number): string {
  return `zero_point/${zeroPoint}`;
}
