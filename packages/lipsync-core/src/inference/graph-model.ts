/// <reference lib="es2025.float16" />
import { z } from 'zod';
import { LipsyncError } from '../errors/index.ts';

/** A constant of a graph model: a weight, or the shape or padding argument of an operator. */
export interface GraphWeight {
  readonly dims: readonly number[];
  readonly data: Float32Array | Int32Array;
}

export interface GraphModelNode {
  readonly name: string;
  readonly operator: string;
  /** Names of nodes or weights. */
  readonly inputs: readonly string[];
  readonly strides: readonly number[];
  readonly window: readonly number[];
  readonly padding: string;
  /** Fused operators in order, e.g. BiasAdd and Relu. */
  readonly fused: readonly string[];
  readonly shape: readonly number[];
}

/** A TensorFlow.js graph model (`format: graph-model`, a .json and a .bin file). */
export interface GraphModel {
  readonly nodes: readonly GraphModelNode[];
  readonly weights: ReadonlyMap<string, GraphWeight>;
}

const integerList = z.object({ list: z.object({ i: z.array(z.coerce.number().int()).optional() }) });
const stringList = z.object({ list: z.object({ s: z.array(z.base64()).optional() }) });

const nodeSchema = z.object({
  name: z.string(),
  op: z.string(),
  input: z.array(z.string()).optional(),
  attr: z
    .object({
      strides: integerList.optional(),
      ksize: integerList.optional(),
      padding: z.object({ s: z.base64() }).optional(),
      fused_ops: stringList.optional(),
      shape: z
        .object({ shape: z.object({ dim: z.array(z.object({ size: z.coerce.number().int() })).optional() }) })
        .optional(),
    })
    .optional(),
});

const weightSchema = z.object({
  name: z.string(),
  shape: z.array(z.int().nonnegative()),
  dtype: z.enum(['float32', 'int32']),
  quantization: z.object({ dtype: z.literal('float16') }).optional(),
});

const modelSchema = z.object({
  format: z.literal('graph-model'),
  modelTopology: z.object({ node: z.array(nodeSchema) }),
  weightsManifest: z.tuple([z.object({ weights: z.array(weightSchema) })]),
});

type NodeDescription = z.infer<typeof nodeSchema>;
type WeightDescription = z.infer<typeof weightSchema>;

/**
 * Parses a TensorFlow.js graph model from the text of its .json file and the bytes of its .bin file. Weights may be
 * float32, float16 (widened) or int32. Throws `model_invalid` for anything else.
 */
export function readGraphModel(topology: string, weights: Uint8Array): GraphModel {
  try {
    const parsed = modelSchema.parse(JSON.parse(topology));
    return {
      nodes: parsed.modelTopology.node.filter(({ op }) => op !== 'Const').map(toNode),
      weights: readWeights(parsed.weightsManifest[0].weights, weights),
    };
  } catch (cause) {
    throw new LipsyncError('model_invalid', 'A bundled model cannot be read. Reinstall the package.', { cause });
  }
}

function toNode({ name, op, input, attr }: NodeDescription): GraphModelNode {
  return {
    name,
    operator: op,
    inputs: input ?? [],
    strides: attr?.strides?.list.i ?? [],
    window: attr?.ksize?.list.i ?? [],
    padding: decodeText(attr?.padding?.s ?? ''),
    fused: (attr?.fused_ops?.list.s ?? []).map(decodeText),
    shape: attr?.shape?.shape.dim?.map(({ size }) => size) ?? [],
  };
}

function decodeText(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function readWeights(descriptions: readonly WeightDescription[], bytes: Uint8Array): Map<string, GraphWeight> {
  const weights = new Map<string, GraphWeight>();
  let offset = 0;
  for (const description of descriptions) {
    const length = description.shape.reduce((product, size) => product * size, 1);
    const byteLength = length * (description.quantization ? 2 : 4);
    // A copy, because weights are not aligned in the file.
    const { buffer } = new Uint8Array(bytes.subarray(offset, offset + byteLength));
    if (buffer.byteLength !== byteLength) throw new RangeError(`The weights end within ${description.name}.`);
    weights.set(description.name, { dims: description.shape, data: toValues(buffer, description) });
    offset += byteLength;
  }
  if (offset !== bytes.byteLength)
    throw new RangeError(`The weights need ${offset} bytes; the file has ${bytes.byteLength}.`);
  return weights;
}

/** Arrays convert several times as fast as a `DataView`; all supported platforms are little-endian, as the file is. */
function toValues(buffer: ArrayBuffer, { dtype, quantization }: WeightDescription): Float32Array | Int32Array {
  if (quantization) return new Float32Array(new Float16Array(buffer));
  return dtype === 'int32' ? new Int32Array(buffer) : new Float32Array(buffer);
}
