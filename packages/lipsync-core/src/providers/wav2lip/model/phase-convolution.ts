import type { GraphNode } from '../../../inference/onnx-writer.ts';
import { integers, type GraphPart } from './graph-part.ts';
import type { Layer } from './network.ts';
import {
  batchShapeNames,
  phaseLayout,
  shiftedPositions,
  type LayoutLayerOptions,
  type LayoutPart,
  type PixelLayout,
  type PixelShift,
} from './pixel-layout.ts';
import { integersByStart } from './start-rows.ts';

/**
 * A 3 × 3 transposed convolution of stride 2 with ReLU by phase decomposition: each of the four output phases is an
 * ordinary convolution with one, two or four taps. The output has phase layout; its first row is even.
 */
export function upsamplingLayer(layer: Layer, options: LayoutLayerOptions): LayoutPart {
  const { name, outputChannels } = layer;
  const sidePx = 2 * options.input.sidePx;
  const layoutFrom = (startRow: number): PixelLayout => phaseLayout(sidePx, options.firstRowFrom(startRow));
  const { nodes, constants } = phaseParts(layer, options);
  const sides = integersByStart(`${name}/sides`, (startRow) => [layoutFrom(startRow).positions, -1, outputChannels]);
  return {
    output: { name, channels: outputChannels, sidePx, layoutFrom },
    nodes: [
      ...nodes,
      ...sides.nodes,
      { operator: 'Expand', inputs: [`${name}/zeros`, batchShapeNames.first], output: `${name}/outside` },
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
      ...sides.constants,
      { name: `${name}/zeros`, dims: [1, outputChannels], data: new Float32Array(outputChannels) },
    ],
  };
}

/** Same as `upsamplingLayer` with NCHW output, which has the rows from the first one on. */
export function upsamplingLayerToImage(layer: Layer, options: LayoutLayerOptions): GraphPart {
  const { name, outputChannels } = layer;
  const { sidePx } = options.input;
  const { nodes, constants } = phaseParts(layer, options);
  const rowsFrom = (startRow: number): number => sidePx - options.firstRowFrom(startRow) / 2;
  const sides = integersByStart(`${name}/sides`, (startRow) => [2, 2, rowsFrom(startRow), sidePx, -1, outputChannels]);
  const last = integersByStart(`${name}/last`, (startRow) => [-1, 2 * rowsFrom(startRow), 2 * sidePx, outputChannels]);
  return {
    nodes: [
      ...nodes,
      ...sides.nodes,
      ...last.nodes,
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
    constants: [...constants, ...sides.constants, ...last.constants],
  };
}

const phases = ['00', '01', '10', '11'];

/** The four output phases before the ReLU: tensors `phase…` of shape (pixels × batch, channels). */
function phaseParts(
  { name, outputChannels }: Layer,
  { folded: { weight, bias }, input, firstRowFrom }: LayoutLayerOptions,
): GraphPart {
  const shifted = [0, 1].flatMap((down) =>
    [0, 1].map((right) => shiftedInput(name, { input, firstRowFrom }, { down, right })),
  );
  return {
    nodes: [...shifted.flatMap(({ nodes }) => nodes), ...phases.flatMap((phase) => phaseNodes(name, phase))],
    constants: [
      ...shifted.flatMap(({ constants }) => constants),
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

/** The input rows that contribute to the output, at an offset: a tensor `rows…` of shape (pixels × batch, channels). */
function shiftedInput(
  layer: string,
  { input, firstRowFrom }: Omit<LayoutLayerOptions, 'folded'>,
  shift: PixelShift,
): GraphPart {
  const suffix = `${shift.down}${shift.right}`;
  const order = integersByStart(`${layer}/order${suffix}`, (startRow) =>
    shiftedPositions(input.layoutFrom(startRow), shift, firstRowFrom(startRow) / 2),
  );
  return {
    nodes: [
      ...order.nodes,
      {
        operator: 'Gather',
        inputs: [input.name, `${layer}/order${suffix}`],
        output: `${layer}/cells${suffix}`,
        attributes: { axis: 0 },
      },
      {
        operator: 'Reshape',
        inputs: [`${layer}/cells${suffix}`, `${layer}/rest×in`],
        output: `${layer}/rows${suffix}`,
      },
    ],
    constants: order.constants,
  };
}

/** Kernel taps along one axis that contribute to even and to odd outputs, with the offset of the input they read. */
const tapsOfPhase = [
  [{ tap: 1, shift: 0 }],
  [
    { tap: 2, shift: 0 },
    { tap: 0, shift: 1 },
  ],
] as const;

function phaseNodes(name: string, phase: string): GraphNode[] {
  const taps = (axis: number): (typeof tapsOfPhase)[number] => (phase[axis] === '0' ? tapsOfPhase[0] : tapsOfPhase[1]);
  const terms = taps(0).flatMap((down) =>
    taps(1).map((right) => ({ tap: down.tap * 3 + right.tap, shift: `${down.shift}${right.shift}` })),
  );
  return terms.map(({ tap, shift }, index) => ({
    operator: 'Gemm',
    inputs: [
      `${name}/rows${shift}`,
      `${name}/weight${tap}`,
      index === 0 ? `${name}/bias` : `${name}/phase${phase}/${index}`,
    ],
    output: index === terms.length - 1 ? `${name}/phase${phase}` : `${name}/phase${phase}/${index + 1}`,
  }));
}

/** Splits weights (in, out, 3, 3) into nine matrices (in, out). */
function tapMatrices(weight: Float32Array, inputChannels: number, outputChannels: number): Float32Array[] {
  const pairs = inputChannels * outputChannels;
  return Array.from({ length: 9 }, (_, tap) =>
    Float32Array.from({ length: pairs }, (_pair, pair) => weight[pair * 9 + tap] ?? 0),
  );
}
