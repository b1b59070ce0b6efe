/**
 * Writes ONNX models: the few messages of the public onnx.proto that a plain feed-forward graph needs, in protobuf's
 * wire format. Field numbers are those of onnx.proto (IR version 8).
 */

export interface GraphNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, string | number | readonly number[]>>;
}

export interface GraphConstant {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface GraphPort {
  readonly name: string;
  /** Fixed sizes; leave out for an output, whose shape the runtime infers. */
  readonly dims?: readonly number[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly inputs: readonly GraphPort[];
  readonly outputs: readonly GraphPort[];
  readonly constants: readonly GraphConstant[];
  /** In an order in which every node comes after those that it reads. */
  readonly nodes: readonly GraphNode[];
}

const irVersion = 8;
const operatorSetVersion = 13;
const elementType = { float32: 1, int64: 7 } as const;
const attributeType = { int: 2, string: 3, ints: 7 } as const;

/** The bytes of an ONNX model file that holds `graph`, for operator set 13. Integer attributes only. */
export function encodeOnnxModel(graph: OnnxGraph): Uint8Array {
  return concatenate([
    integerField(1, irVersion),
    stringField(2, 'lipsync'),
    bytesField(7, encodeGraph(graph)),
    bytesField(8, concatenate([stringField(1, ''), integerField(2, operatorSetVersion)])),
  ]);
}

function encodeGraph(graph: OnnxGraph): Uint8Array {
  return concatenate([
    ...graph.nodes.map((node) => bytesField(1, encodeNode(node))),
    stringField(2, graph.name),
    ...graph.constants.map((constant) => bytesField(5, encodeConstant(constant))),
    ...graph.inputs.map((port) => bytesField(11, encodePort(port))),
    ...graph.outputs.map((port) => bytesField(12, encodePort(port))),
  ]);
}

function encodeNode(node: GraphNode): Uint8Array {
  const attributes = Object.entries(node.attributes ?? {});
  return concatenate([
    ...node.inputs.map((name) => stringField(1, name)),
    stringField(2, node.output),
    stringField(3, node.output),
    stringField(4, node.operator),
    ...attributes.map(([name, value]) => bytesField(5, concatenate([stringField(1, name), ...encodeAttribute(value)]))),
  ]);
}

function encodeAttribute(value: string | number | readonly number[]): Uint8Array[] {
  if (typeof value === 'string') return [stringField(4, value), integerField(20, attributeType.string)];
  if (typeof value === 'number') return [integerField(3, value), integerField(20, attributeType.int)];
  return [...value.map((entry) => integerField(8, entry)), integerField(20, attributeType.ints)];
}

function encodeConstant({ name, dims, data }: GraphConstant): Uint8Array {
  const type = data instanceof Float32Array ? elementType.float32 : elementType.int64;
  return concatenate([
    ...dims.map((size) => integerField(1, size)),
    integerField(2, type),
    stringField(8, name),
    bytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ]);
}

function encodePort({ name, dims }: GraphPort): Uint8Array {
  const sizes = dims?.map((size) => bytesField(1, integerField(1, size)));
  const shape = sizes === undefined ? [] : [bytesField(2, concatenate(sizes))];
  const tensor = concatenate([integerField(1, elementType.float32), ...shape]);
  return concatenate([stringField(1, name), bytesField(2, bytesField(1, tensor))]);
}

function integerField(field: number, value: number): Uint8Array {
  return concatenate([varint(field << 3), varint(value)]);
}

function stringField(field: number, value: string): Uint8Array {
  return bytesField(field, new TextEncoder().encode(value));
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return concatenate([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

/** Seven bits a byte, lowest first; the top bit says that more follow. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
