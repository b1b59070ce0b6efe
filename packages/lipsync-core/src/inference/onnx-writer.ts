/// <reference lib="es2025.float16" />
/**
 * Encodes ONNX models: the messages of onnx.proto (IR version 8) that a feed-forward graph needs, in protobuf wire
 * format. Field numbers are those of onnx.proto.
 */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { abortError } from '../errors/index.ts';
import { ContentHash, type FileHash } from '../storage/file-hash.ts';

export interface GraphNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, string | number | readonly number[]>>;
  /** The set that defines the operator; ONNX by default. `com.microsoft` has those that only the ONNX runtime knows. */
  readonly domain?: 'com.microsoft';
}

export interface GraphConstant {
  readonly name: string;
  readonly dims: readonly number[];
  /** Row-major values; the array type determines the element type. */
  readonly data: Float32Array | Float16Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;
}

/** An input or output of the graph. */
export interface GraphPort {
  readonly name: string;
  /** `float32` by default. */
  readonly elementType?: 'float32' | 'int64';
  /** Sizes, or names of dynamic axes. May be omitted for an output, whose shape the runtime infers. */
  readonly dims?: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly inputs: readonly GraphPort[];
  readonly outputs: readonly GraphPort[];
  readonly constants: readonly GraphConstant[];
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  /** Metadata properties of the file, e.g. its license. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An encoded message as byte ranges; large constants are views, not copies. */
interface Message {
  readonly length: number;
  readonly parts: readonly Uint8Array[];
}

const irVersion = 8;
const operatorSetVersion = 13;
const runtimeOperatorSetVersion = 1;

/** TensorProto.DataType; also the values of Cast's `to` attribute. */
export const onnxElementType = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10 } as const;

const attributeType = { int: 2, string: 3, ints: 7 } as const;

/** Encodes an ONNX model file of operator set 13. */
export function encodeOnnxModel(graph: OnnxGraph): Uint8Array {
  return concatenate(encodeModel(graph));
}

/**
 * Same as `encodeOnnxModel`, as consecutive byte ranges. Constants are views of the graph's arrays, which must not
 * change until the parts have been written.
 */
export function onnxModelParts(graph: OnnxGraph): readonly Uint8Array[] {
  return encodeModel(graph).parts;
}

/**
 * Encodes nodes and outputs that extend a model when appended to its file: protobuf merges repeated occurrences of a
 * message field. Used to expose intermediate results without rewriting the file.
 */
export function encodeOnnxAddition(nodes: readonly GraphNode[], outputs: readonly GraphPort[]): Uint8Array {
  const graph = message([
    ...nodes.map((node) => field(1, encodeNode(node))),
    ...outputs.map((port) => field(12, encodePort(port))),
  ]);
  return concatenate(field(7, graph));
}

/**
 * Writes an ONNX model to `path`, overwriting an existing file, without copying the graph's arrays. The caller removes
 * a partial file after an error. Throws system errors and the abort error of the signal.
 */
export async function writeOnnxFile(
  path: string,
  graph: OnnxGraph,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<FileHash> {
  const parts = onnxModelParts(graph);
  const hash = new ContentHash();
  for (const part of parts) hash.update(part);
  try {
    await pipeline(Readable.from(parts), createWriteStream(path), signal ? { signal } : {});
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  }
  return hash.finish();
}

function encodeModel(graph: OnnxGraph): Message {
  return message([
    integerField(1, irVersion),
    stringField(2, 'lipsync'),
    field(7, encodeGraph(graph)),
    ...operatorSetsOf(graph).map(([domain, version]) =>
      field(8, message([stringField(1, domain), integerField(2, version)])),
    ),
    ...Object.entries(graph.metadata ?? {}).map(([key, value]) =>
      field(14, message([stringField(1, key), stringField(2, value)])),
    ),
  ]);
}

/** Domains and versions of the operator sets that the graph uses. */
function operatorSetsOf({ nodes }: OnnxGraph): readonly (readonly [domain: string, version: number])[] {
  const domains = new Set(nodes.flatMap(({ domain }) => domain ?? []));
  return [['', operatorSetVersion], ...Array.from(domains, (domain) => [domain, runtimeOperatorSetVersion] as const)];
}

function encodeGraph(graph: OnnxGraph): Message {
  return message([
    ...graph.nodes.map((node) => field(1, encodeNode(node))),
    stringField(2, graph.name),
    ...graph.constants.map((constant) => field(5, encodeConstant(constant))),
    ...graph.inputs.map((port) => field(11, encodePort(port))),
    ...graph.outputs.map((port) => field(12, encodePort(port))),
  ]);
}

function encodeNode(node: GraphNode): Message {
  const attributes = Object.entries(node.attributes ?? {});
  return message([
    ...node.inputs.map((name) => stringField(1, name)),
    stringField(2, node.output),
    stringField(3, node.output),
    stringField(4, node.operator),
    ...attributes.map(([name, value]) => field(5, message([stringField(1, name), ...encodeAttribute(value)]))),
    ...(node.domain === undefined ? [] : [stringField(7, node.domain)]),
  ]);
}

function encodeAttribute(value: string | number | readonly number[]): Message[] {
  if (typeof value === 'string') return [stringField(4, value), integerField(20, attributeType.string)];
  if (typeof value === 'number') return [integerField(3, value), integerField(20, attributeType.int)];
  return [...value.map((entry) => integerField(8, entry)), integerField(20, attributeType.ints)];
}

function encodeConstant({ name, dims, data }: GraphConstant): Message {
  return message([
    ...dims.map((size) => integerField(1, size)),
    integerField(2, elementTypeOf(data)),
    stringField(8, name),
    field(9, bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))),
  ]);
}

function elementTypeOf(data: GraphConstant['data']): number {
  if (data instanceof Float32Array) return onnxElementType.float32;
  if (data instanceof BigInt64Array) return onnxElementType.int64;
  if (data instanceof Int32Array) return onnxElementType.int32;
  if (data instanceof Uint8Array) return onnxElementType.uint8;
  return data instanceof Int8Array ? onnxElementType.int8 : onnxElementType.float16;
}

function encodePort({ name, dims, elementType = 'float32' }: GraphPort): Message {
  const sizes = dims?.map((size) => field(1, typeof size === 'number' ? integerField(1, size) : stringField(2, size)));
  const shape = sizes === undefined ? [] : [field(2, message(sizes))];
  const tensor = message([integerField(1, onnxElementType[elementType]), ...shape]);
  return message([stringField(1, name), field(2, field(1, tensor))]);
}

function integerField(number: number, value: number): Message {
  return message([varint(number << 3), varint(value)]);
}

function stringField(number: number, value: string): Message {
  return field(number, bytes(new TextEncoder().encode(value)));
}

function field(number: number, content: Message): Message {
  return message([varint((number << 3) | 2), varint(content.length), content]);
}

/** Base-128 varint: seven bits per byte, least significant first; the top bit marks continuation. */
function varint(value: number): Message {
  const digits: number[] = [];
  let rest = value;
  while (rest >= 128) {
    digits.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  digits.push(rest);
  return bytes(Uint8Array.from(digits));
}

function bytes(content: Uint8Array): Message {
  return { length: content.length, parts: [content] };
}

function message(contents: readonly Message[]): Message {
  return {
    length: contents.reduce((sum, { length }) => sum + length, 0),
    parts: contents.flatMap(({ parts }) => parts),
  };
}

function concatenate({ length, parts }: Message): Uint8Array {
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
