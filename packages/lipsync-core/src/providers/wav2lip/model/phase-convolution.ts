import type { GraphNode } from '../../../inference/onnx-writer.ts';
import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type { Layer } from './network.ts';
import {
  batchShapeNames,
  integers,
  phaseLayout,
  shiftedPositions,
  type GraphPart,
  type LayoutPart,
  type LayoutTensor,
} from './pixel-layout.ts';

/**
 * A 3 × 3 transposed convolution of stride 2 with ReLU by phase decomposition: each of the four output phases is an
 * ordinary convolution with one, two or four taps. The output has phase layout.
 */
export function upsamplingLayer(layer: Layer, folded: FoldedLayer, input: LayoutTensor): LayoutPart {
  const { name, outputChannels } = layer;
  const layout = phaseLayout(2 * input.layout.sidePx);
  const { nodes, constants } = phaseParts(layer, folded, input);
  return {
    output: { name, channels: outputChannels, layout },
    nodes: [
      ...nodes,
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
      integers(`${name}/sides`, [layout.positions, -1, outputChannels]),
      { name: `${name}/zeros`, dims: [1, outputChannels], data: new Float32Array(outputChannels) },
    ],
  };
}

/** Same as `upsamplingLayer` with NCHW output. */
export function upsamplingLayerToImage(layer: Layer, folded: FoldedLayer, input: LayoutTensor): GraphPart {
  const { name, outputChannels } = layer;
  const { sidePx } = input.layout;
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

/** The four output phases before the ReLU: tensors `phase…` of shape (pixels × batch, channels). */
function phaseParts({ name, outputChannels }: Layer, { weight, bias }: FoldedLayer, input: LayoutTensor): GraphPart {
  const shifts = [0, 1].flatMap((down) =>
    [0, 1].map((right) => ({ shift: `${down}${right}`, positions: shiftedPositions(input.layout, down, right) })),
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
      ...shifts.map(({ shift, positions }) => integers(`${name}/order${shift}`, positions)),
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
