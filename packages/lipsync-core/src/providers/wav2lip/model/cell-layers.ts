import type { GraphConstant, GraphNode } from '../../../inference/onnx-writer.ts';
import {
  haloCells,
  phaseGrid,
  rowGrid,
  sameCells,
  shiftedCells,
  tileGrid,
  tileSideFor,
  type CellGrid,
} from './cell-grid.ts';
import type { FoldedLayer } from './fold-batch-norm.ts';
import type { Layer } from './network.ts';
import { winogradTransform } from './winograd.ts';

/** Nodes, and the constants that they alone read. */
export interface GraphPart {
  readonly nodes: readonly GraphNode[];
  readonly constants: readonly GraphConstant[];
}

/** A tensor (cells, batch, channels) by its name. */
export interface CellTensor {
  readonly name: string;
  readonly channels: number;
  readonly grid: CellGrid;
}

export interface CellPart extends GraphPart {
  readonly output: CellTensor;
}

interface Picture {
  readonly name: string;
  readonly channels: number;
  readonly sidePx: number;
}

const batchAlone = 'batch/1';
const batchInTheMiddle = 'batch/1×B×1';
const batchFirst = 'batch/B×1';

/** What the other parts ask about the size of the batch, from any input that has it as its first side. */
export function batchSizes(input: string): GraphPart {
  return {
    nodes: [
      { operator: 'Shape', inputs: [input], output: 'batch/shape' },
      { operator: 'Slice', inputs: ['batch/shape', 'batch/zero', 'batch/one'], output: batchAlone },
      {
        operator: 'Concat',
        inputs: ['batch/one', batchAlone, 'batch/one'],
        output: batchInTheMiddle,
        attributes: { axis: 0 },
      },
      { operator: 'Concat', inputs: [batchAlone, 'batch/one'], output: batchFirst, attributes: { axis: 0 } },
    ],
    constants: [integers('batch/zero', [0]), integers('batch/one', [1])],
  };
}

/**
 * A picture (batch, channels, rows, columns) as cells, row by row. In two steps, of which the runtime makes the first
 * part of leaving its own order for convolutions, and the second moves whole runs of channels.
 */
export function enterCells({ name, channels, sidePx }: Picture): CellPart {
  const output = `${name}/cells`;
  return {
    output: { name: output, channels, grid: rowGrid(sidePx) },
    nodes: [
      { operator: 'Transpose', inputs: [name], output: `${output}/last`, attributes: { perm: [0, 2, 3, 1] } },
      // Keeps the runtime from making one slow step of both.
      { operator: 'Reshape', inputs: [`${output}/last`, `${output}/sides`], output: `${output}/pixels` },
      { operator: 'Pad', inputs: [`${output}/pixels`, `${output}/pads`], output: `${output}/padded` },
      { operator: 'Transpose', inputs: [`${output}/padded`], output, attributes: { perm: [1, 0, 2] } },
    ],
    constants: [
      integers(`${output}/sides`, [-1, sidePx * sidePx, channels]),
      integers(`${output}/pads`, [0, 0, 0, 0, 1, 0]),
    ],
  };
}

/** A tensor of cells with the channels of another behind its own, under the name `output`. */
export function joinCells(first: CellTensor, second: CellTensor, output: string): CellPart {
  const order = sameCells(second.grid, first.grid);
  return {
    output: { name: output, channels: first.channels + second.channels, grid: first.grid },
    nodes: [
      {
        operator: 'Gather',
        inputs: [second.name, `${output}/order`],
        output: `${output}/second`,
        attributes: { axis: 0 },
      },
      { operator: 'Concat', inputs: [first.name, `${output}/second`], output, attributes: { axis: 2 } },
    ],
    constants: [integers(`${output}/order`, order)],
  };
}

/** A 3 × 3 convolution of stride 1 with ReLU, by Winograd's transform. */
export function winogradLayer({ name, outputChannels }: Layer, folded: FoldedLayer, input: CellTensor): CellPart {
  const { sidePx } = input.grid;
  const tileSidePx = tileSideFor(sidePx);
  const grid = tileGrid(sidePx, tileSidePx);
  const places = tileSidePx ** 2;
  const tiles = grid.cells / places;
  const transform = winogradTransform(tileSidePx);
  const points = transform.inputSidePx ** 2;
  const inner = (step: string): string => `${name}/${step}`;
  return {
    output: { name, channels: outputChannels, grid },
    nodes: [
      { operator: 'Gather', inputs: [input.name, inner('halo')], output: inner('tiles'), attributes: { axis: 0 } },
      reshape(inner('tiles'), inner('points×rest')),
      { operator: 'MatMul', inputs: [inner('input'), inner('tiles/points×rest')], output: inner('transformed') },
      reshape(inner('transformed'), inner('points×tiles×channels')),
      // The runtime computes what depends on constants alone once, when it loads the model.
      { operator: 'MatMul', inputs: [inner('kernel'), inner('weight')], output: inner('flat') },
      { operator: 'Reshape', inputs: [inner('flat'), inner('points×channels×channels')], output: inner('spread') },
      {
        operator: 'MatMul',
        inputs: [inner('transformed/points×tiles×channels'), inner('spread')],
        output: inner('products'),
      },
      reshape(inner('products'), inner('points×rest')),
      { operator: 'Expand', inputs: [inner('bias'), batchInTheMiddle], output: inner('biases') },
      reshape(inner('biases'), inner('one×rest')),
      {
        operator: 'Gemm',
        inputs: [inner('output'), inner('products/points×rest'), inner('biases/one×rest')],
        output: inner('sum'),
      },
      { operator: 'Relu', inputs: [inner('sum')], output: inner('places') },
      { operator: 'Reshape', inputs: [inner('places'), inner('cells')], output: name },
    ],
    constants: [
      integers(inner('halo'), haloCells(input.grid, tileSidePx)),
      integers(inner('points×rest'), [points, -1]),
      integers(inner('points×tiles×channels'), [points, -1, input.channels]),
      integers(inner('points×channels×channels'), [points, input.channels, outputChannels]),
      integers(inner('one×rest'), [1, -1]),
      integers(inner('cells'), [grid.cells, -1, outputChannels]),
      { name: inner('input'), dims: [points, points], data: transform.input.data },
      { name: inner('kernel'), dims: [points, 9], data: transform.kernel.data },
      { name: inner('output'), dims: [places, points], data: transform.output.data },
      {
        name: inner('weight'),
        dims: [9, input.channels * outputChannels],
        data: tapsFirst(folded.weight, outputChannels, input.channels),
      },
      { name: inner('bias'), dims: [tiles, 1, outputChannels], data: repeatedBias(folded.bias, tiles) },
    ],
  };
}

/**
 * A 3 × 3 transposed convolution of stride 2 with ReLU: each phase of the output is an ordinary convolution of one, two
 * or four taps.
 */
export function doublingLayer(layer: Layer, folded: FoldedLayer, input: CellTensor): CellPart {
  const { name, outputChannels } = layer;
  const grid = phaseGrid(2 * input.grid.sidePx);
  const { nodes, constants } = phaseParts(layer, folded, input);
  return {
    output: { name, channels: outputChannels, grid },
    nodes: [
      ...nodes,
      { operator: 'Expand', inputs: [`${name}/zeros`, batchFirst], output: `${name}/outside` },
      {
        operator: 'Concat',
        inputs: [...phases.map((phase) => `${name}/phase${phase}`), `${name}/outside`],
        output: `${name}/sum`,
        attributes: { axis: 0 },
      },
      { operator: 'Relu', inputs: [`${name}/sum`], output: `${name}/raised` },
      { operator: 'Reshape', inputs: [`${name}/raised`, `${name}/sides`], output: name },
    ],
    constants: [
      ...constants,
      integers(`${name}/sides`, [grid.cells, -1, outputChannels]),
      { name: `${name}/zeros`, dims: [1, outputChannels], data: new Float32Array(outputChannels) },
    ],
  };
}

/** The same with a picture (batch, channels, rows, columns) as its result. */
export function doublingLayerToPicture(layer: Layer, folded: FoldedLayer, input: CellTensor): GraphPart {
  const { name, outputChannels } = layer;
  const { sidePx } = input.grid;
  const { nodes, constants } = phaseParts(layer, folded, input);
  return {
    nodes: [
      ...nodes,
      {
        operator: 'Concat',
        inputs: phases.map((phase) => `${name}/phase${phase}`),
        output: `${name}/sum`,
        attributes: { axis: 0 },
      },
      { operator: 'Relu', inputs: [`${name}/sum`], output: `${name}/raised` },
      { operator: 'Reshape', inputs: [`${name}/raised`, `${name}/sides`], output: `${name}/phases` },
      {
        operator: 'Transpose',
        inputs: [`${name}/phases`],
        output: `${name}/woven`,
        attributes: { perm: [4, 2, 0, 3, 1, 5] },
      },
      { operator: 'Reshape', inputs: [`${name}/woven`, `${name}/last`], output: `${name}/square` },
      { operator: 'Transpose', inputs: [`${name}/square`], output: name, attributes: { perm: [0, 3, 1, 2] } },
    ],
    constants: [
      ...constants,
      integers(`${name}/sides`, [2, 2, sidePx, sidePx, -1, outputChannels]),
      integers(`${name}/last`, [-1, 2 * sidePx, 2 * sidePx, outputChannels]),
    ],
  };
}

const phases = ['00', '01', '10', '11'];

/** The four phases of a doubled picture, each (pixels × batch, channels) and called `phase…`, before the ReLU. */
function phaseParts({ name, outputChannels }: Layer, { weight, bias }: FoldedLayer, input: CellTensor): GraphPart {
  const shifts = [0, 1].flatMap((down) =>
    [0, 1].map((right) => ({ shift: `${down}${right}`, cells: shiftedCells(input.grid, down, right) })),
  );
  const shifted = shifts.flatMap(({ shift }): GraphNode[] => [
    {
      operator: 'Gather',
      inputs: [input.name, `${name}/order${shift}`],
      output: `${name}/cells${shift}`,
      attributes: { axis: 0 },
    },
    { operator: 'Reshape', inputs: [`${name}/cells${shift}`, `${name}/rest×in`], output: `${name}/rows${shift}` },
  ]);
  return {
    nodes: [...shifted, ...phases.flatMap((phase) => phaseNodes(name, phase))],
    constants: [
      ...shifts.map(({ shift, cells }) => integers(`${name}/order${shift}`, cells)),
      integers(`${name}/rest×in`, [-1, input.channels]),
      ...tapMatrices(weight, input.channels, outputChannels).map((data, tap) => ({
        name: `${name}/weight${tap}`,
        dims: [input.channels, outputChannels],
        data,
      })),
      { name: `${name}/bias`, dims: [outputChannels], data: bias },
    ],
  };
}

/** Taps of a kernel's row or column that reach an even or odd output, with the distance of the input that they read. */
const tapsOfPhase = [
  [{ tap: 1, shift: 0 }],
  [
    { tap: 2, shift: 0 },
    { tap: 0, shift: 1 },
  ],
] as const;

function phaseNodes(name: string, phase: string): GraphNode[] {
  const taps = (axis: number): (typeof tapsOfPhase)[number] => (phase[axis] === '0' ? tapsOfPhase[0] : tapsOfPhase[1]);
  const pairs = taps(0).flatMap((down) =>
    taps(1).map((right) => ({ tap: down.tap * 3 + right.tap, shift: `${down.shift}${right.shift}` })),
  );
  return pairs.map(({ tap, shift }, index) => ({
    operator: 'Gemm',
    inputs: [
      `${name}/rows${shift}`,
      `${name}/weight${tap}`,
      index === 0 ? `${name}/bias` : `${name}/phase${phase}/${index}`,
    ],
    output: index === pairs.length - 1 ? `${name}/phase${phase}` : `${name}/phase${phase}/${index + 1}`,
  }));
}

function reshape(input: string, shape: string): GraphNode {
  return { operator: 'Reshape', inputs: [input, shape], output: `${input}/${shape.slice(shape.lastIndexOf('/') + 1)}` };
}

function integers(name: string, values: readonly number[]): GraphConstant {
  return { name, dims: [values.length], data: BigInt64Array.from(values, BigInt) };
}

/** (out, in, 3, 3) as (9, in, out). */
function tapsFirst(weight: Float32Array, outputChannels: number, inputChannels: number): Float32Array {
  const result = new Float32Array(weight.length);
  for (let from = 0; from < weight.length; from += 1) {
    const tap = from % 9;
    const pair = (from - tap) / 9;
    const source = pair % inputChannels;
    result[(tap * inputChannels + source) * outputChannels + (pair - source) / inputChannels] = weight[from] ?? 0;
  }
  return result;
}

/** (in, out, 3, 3) as nine matrices (in, out). */
function tapMatrices(weight: Float32Array, inputChannels: number, outputChannels: number): Float32Array[] {
  const pairs = inputChannels * outputChannels;
  return Array.from({ length: 9 }, (_, tap) =>
    Float32Array.from({ length: pairs }, (_pair, pair) => weight[pair * 9 + tap] ?? 0),
  );
}

/** The bias for every tile, and zeros for the cell that is none. */
function repeatedBias(bias: Float32Array, tiles: number): Float32Array {
  const result = new Float32Array(tiles * bias.length);
  for (let tile = 0; tile < tiles - 1; tile += 1) result.set(bias, tile * bias.length);
  return result;
}
