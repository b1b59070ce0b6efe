import { LipsyncError } from '../errors/index.ts';
import type { GraphModel, GraphModelNode, GraphWeight } from './graph-model.ts';
import { encodeOnnxModel, type GraphConstant, type GraphNode, type OnnxGraph } from './onnx-writer.ts';

interface Translation {
  readonly model: GraphModel;
  readonly nodes: GraphNode[];
  readonly constants: GraphConstant[];
}

/**
 * Converts a TensorFlow.js graph model to ONNX, so that the native runtime can run it. Input images are NCHW instead of
 * NHWC; outputs keep their names and element order. `outputs` names the nodes to compute; by default, all outputs of the
 * model. Throws `model_invalid` for operators that the bundled models do not use.
 */
export function graphModelToOnnx(model: GraphModel, outputs?: readonly string[]): Uint8Array {
  const translation: Translation = { model, nodes: [], constants: [] };
  const graph: OnnxGraph = {
    name: 'graph-model',
    inputs: model.nodes.filter(({ operator }) => operator === 'Placeholder').map(toInput),
    outputs: (outputs ?? namesOfOutputs(model)).map((name) => ({ name })),
    constants: translation.constants,
    nodes: translation.nodes,
  };
  const needed = outputs ? model.nodes.filter(({ name }) => outputs.includes(name)) : model.nodes;
  for (const node of inTopologicalOrder(needed, model.nodes)) translate(node, translation);
  return encodeOnnxModel(graph);
}

function namesOfOutputs({ nodes }: GraphModel): readonly string[] {
  return nodes.filter(({ operator }) => operator === 'Identity').map(({ name }) => name);
}

function toInput({ name, shape: [batch = -1, rows = -1, columns = -1, channels = -1] }: GraphModelNode) {
  return { name, dims: [Math.max(1, batch), channels, rows, columns] };
}

/** Lists nodes and all that they depend on, each one after its inputs. */
function inTopologicalOrder(
  nodes: readonly GraphModelNode[],
  all: readonly GraphModelNode[],
): readonly GraphModelNode[] {
  const byName = new Map(all.map((node) => [node.name, node]));
  const ordered = new Set<GraphModelNode>();
  const visit = (node: GraphModelNode): void => {
    if (ordered.has(node)) return;
    for (const name of node.inputs) {
      const source = byName.get(name);
      if (source) visit(source);
    }
    ordered.add(node);
  };
  for (const node of nodes) visit(node);
  return [...ordered];
}

function translate(node: GraphModelNode, translation: Translation): void {
  const [source = ''] = node.inputs;
  const output = node.name;
  switch (node.operator) {
    case 'Placeholder':
      return;
    case '_FusedConv2D':
      return translateConvolution(node, translation);
    case 'Conv2D':
      return translateConvolution(node, translation);
    case 'DepthwiseConv2dNative':
      return translateDepthwise(node, translation);
    case 'MaxPool': {
      const attributes = {
        kernel_shape: spatial(node.window),
        strides: spatial(node.strides),
        auto_pad: autoPad(node),
      };
      translation.nodes.push({ operator: 'MaxPool', inputs: [source], output, attributes });
      return;
    }
    case 'Pad':
      translation.nodes.push({ operator: 'Pad', inputs: [source, addPadding(node, translation)], output });
      return;
    case 'Prelu':
      return addParametricRelu(source, node, node.inputs[1], translation);
    case 'Reshape':
      return translateReshape(node, translation);
    case 'ConcatV2':
      // The bundled models concatenate channels, which are axis 1 in NCHW.
      translation.nodes.push({ operator: 'Concat', inputs: node.inputs.slice(0, -1), output, attributes: { axis: 1 } });
      return;
    case 'AddV2':
      translation.nodes.push({ operator: 'Add', inputs: node.inputs, output });
      return;
    case 'Add':
    case 'Mul':
      return translatePerChannel(node.operator, node, translation);
    case 'Minimum':
      return translatePerChannel('Min', node, translation);
    case 'Maximum':
      return translatePerChannel('Max', node, translation);
    case 'Mean':
      // The bundled models average over rows and columns.
      translation.nodes.push({ operator: 'GlobalAveragePool', inputs: [source], output });
      return;
    case 'Relu':
    case 'Sigmoid':
    case 'Identity':
      translation.nodes.push({ operator: node.operator, inputs: [source], output });
      return;
    default:
      throw invalid(`operator ${node.operator}`);
  }
}

function translateConvolution(node: GraphModelNode, { model, nodes, constants }: Translation): void {
  const [source = '', kernel = '', bias = ''] = node.inputs;
  const [activation] = node.fused.slice(1);
  const sum = activation === undefined ? node.name : `${node.name}/sum`;
  const weights = weightOf(model, kernel);
  constants.push(transposed(`${node.name}/kernel`, weights, [3, 2, 0, 1]));
  if (bias !== '') constants.push(asConstant(`${node.name}/bias`, weightOf(model, bias)));
  nodes.push({
    operator: 'Conv',
    inputs: [source, `${node.name}/kernel`, ...(bias === '' ? [] : [`${node.name}/bias`])],
    output: sum,
    attributes: { kernel_shape: weights.dims.slice(0, 2), strides: spatial(node.strides), auto_pad: autoPad(node) },
  });
  if (activation === 'Relu') nodes.push({ operator: 'Relu', inputs: [sum], output: node.name });
  else if (activation === 'Prelu') addParametricRelu(sum, node, node.inputs[3], { model, nodes, constants });
  else if (activation !== undefined) throw invalid(`activation ${activation}`);
}

/** An operator with one value for all channels, or one per channel. */
function translatePerChannel(operator: string, { name, inputs }: GraphModelNode, translation: Translation): void {
  const [source = '', values = ''] = inputs;
  const { data } = weightOf(translation.model, values);
  translation.constants.push({ name: `${name}/values`, dims: [data.length, 1, 1], data: Float32Array.from(data) });
  translation.nodes.push({ operator, inputs: [source, `${name}/values`], output: name });
}

/** A depthwise kernel is rows × columns × channels × multiplier; only multiplier 1 is supported. */
function translateDepthwise(node: GraphModelNode, { model, nodes, constants }: Translation): void {
  const [source = '', kernel = ''] = node.inputs;
  const weights = weightOf(model, kernel);
  const [, , channels = 0, multiplier] = weights.dims;
  if (multiplier !== 1) throw invalid('a depth multiplier other than 1');
  constants.push(transposed(`${node.name}/kernel`, weights, [2, 3, 0, 1]));
  nodes.push({
    operator: 'Conv',
    inputs: [source, `${node.name}/kernel`],
    output: node.name,
    attributes: {
      kernel_shape: weights.dims.slice(0, 2),
      strides: spatial(node.strides),
      auto_pad: autoPad(node),
      group: channels,
    },
  });
}

/** Reshape depends on NHWC element order, so the tensor is transposed back first. */
function translateReshape(node: GraphModelNode, { model, nodes, constants }: Translation): void {
  const [source = '', shape = ''] = node.inputs;
  const { data } = weightOf(model, shape);
  const target = `${node.name}/shape`;
  constants.push({ name: target, dims: [data.length], data: BigInt64Array.from(data, BigInt) });
  nodes.push({
    operator: 'Transpose',
    inputs: [source],
    output: `${node.name}/interleaved`,
    attributes: { perm: [0, 2, 3, 1] },
  });
  nodes.push({ operator: 'Reshape', inputs: [`${node.name}/interleaved`, target], output: node.name });
}

/** Converts NHWC pairs (before, after) to the ONNX order: all befores, then all afters, in NCHW. */
function addPadding(node: GraphModelNode, { model, constants }: Translation): string {
  const { data } = weightOf(model, node.inputs[1] ?? '');
  const name = `${node.name}/padding`;
  const axes = [0, 3, 1, 2];
  const values = [...axes.map((axis) => data[axis * 2] ?? 0), ...axes.map((axis) => data[axis * 2 + 1] ?? 0)];
  constants.push({ name, dims: [values.length], data: BigInt64Array.from(values, BigInt) });
  return name;
}

/**
 * PReLU written as slope · x + (1 − slope) · max(x, 0) with depthwise 1 × 1 convolutions: the runtime keeps them in its
 * blocked layout (NCHWc), which its PRelu operator leaves. The face mesh model needs a quarter of the time.
 */
function addParametricRelu(
  source: string,
  { name }: GraphModelNode,
  slopeName: string | undefined,
  translation: Translation,
): void {
  const { dims, data } = weightOf(translation.model, slopeName ?? '');
  if (dims.length !== 3 || dims[0] !== 1 || dims[1] !== 1) throw invalid('PReLU slopes that differ between pixels');
  const slopes = Float32Array.from(data);
  const kernelDims = [slopes.length, 1, 1, 1];
  translation.constants.push(
    { name: `${name}/slope`, dims: kernelDims, data: slopes },
    { name: `${name}/rest`, dims: kernelDims, data: slopes.map((slope) => 1 - slope) },
  );
  const attributes = { kernel_shape: [1, 1], strides: [1, 1], group: slopes.length };
  const keepsSign = slopes.every((slope) => slope <= 1);
  translation.nodes.push(
    ...scaledRelu({ source, name, keepsSign, attributes }),
    { operator: 'Conv', inputs: [source, `${name}/slope`], output: `${name}/sloped`, attributes },
    { operator: 'Add', inputs: [`${name}/sloped`, `${name}/raised`], output: name },
  );
}

interface ScaledRelu {
  readonly source: string;
  readonly name: string;
  /** Whether no factor 1 − slope is negative. */
  readonly keepsSign: boolean;
  readonly attributes: GraphNode['attributes'] & object;
}

/** (1 − slope) · max(x, 0). Scaling first lets the runtime fuse the ReLU, which is valid when 1 − slope ≥ 0. */
function scaledRelu({ source, name, keepsSign, attributes }: ScaledRelu): readonly GraphNode[] {
  const [raised, rest] = [`${name}/raised`, `${name}/rest`];
  if (keepsSign) {
    return [
      { operator: 'Conv', inputs: [source, rest], output: `${name}/scaled`, attributes },
      { operator: 'Relu', inputs: [`${name}/scaled`], output: raised },
    ];
  }
  return [
    { operator: 'Relu', inputs: [source], output: `${name}/positive` },
    { operator: 'Conv', inputs: [`${name}/positive`, rest], output: raised, attributes },
  ];
}

/** Transposes a weight: axis `order[n]` of the original becomes axis n. */
function transposed(name: string, { dims, data }: GraphWeight, order: readonly number[]): GraphConstant {
  const steps = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, size) => product * size, 1));
  // Axes of size 1 are dropped so that the inner loop is long.
  const axes = order
    .filter((axis) => dims[axis] !== 1)
    .map((axis) => ({ size: dims[axis] ?? 1, step: steps[axis] ?? 0 }));
  const inner = axes.pop() ?? { size: 1, step: 0 };
  const values = new Float32Array(data.length);
  const position = axes.map(() => 0);
  for (let start = 0; start < values.length; start += inner.size) {
    const from = axes.reduce((sum, { step }, axis) => sum + (position[axis] ?? 0) * step, 0);
    for (let index = 0; index < inner.size; index += 1) values[start + index] = data[from + index * inner.step] ?? 0;
    for (let axis = axes.length - 1; axis >= 0; axis -= 1) {
      position[axis] = ((position[axis] ?? 0) + 1) % (axes[axis]?.size ?? 1);
      if (position[axis] !== 0) break;
    }
  }
  return { name, dims: order.map((axis) => dims[axis] ?? 1), data: values };
}

function asConstant(name: string, { dims, data }: GraphWeight): GraphConstant {
  return { name, dims, data: Float32Array.from(data) };
}

function weightOf(model: GraphModel, name: string): GraphWeight {
  const weight = model.weights.get(name);
  if (!weight) throw invalid(`missing weight ${name}`);
  return weight;
}

function spatial(values: readonly number[]): readonly number[] {
  return values.slice(1, 3);
}

function autoPad({ padding }: GraphModelNode): string {
  return padding === 'SAME' ? 'SAME_UPPER' : 'VALID';
}

function invalid(what: string): LipsyncError {
  return new LipsyncError('model_invalid', 'A bundled model is not supported by this version. Reinstall the package.', {
    cause: new Error(`Unexpected in a graph model: ${what}.`),
  });
}
