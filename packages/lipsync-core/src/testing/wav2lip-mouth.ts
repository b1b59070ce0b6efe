import type { GraphConstant, GraphNode } from '../inference/onnx-writer.ts';
import { framesInputName, melInputName } from '../providers/wav2lip/model/wav2lip-graph.ts';

/** Nodes and the constants that they use. */
export interface GraphSteps {
  readonly nodes: readonly GraphNode[];
  readonly constants?: readonly GraphConstant[];
}

/** Where and how far the mouth model opens a mouth, in shares of the crop. */
const mouth = { line: 0.75, widths: [0.3, 0.7], steps: [0.03, 0.06, 0.09, 0.12] } as const;
/** Mean mel levels between which the mouth opens. */
const opening = { fromLevel: -2.5, toLevel: 0.5 } as const;

/** Opens the mouth of the reference crop: moves what is below the lips down and fills the gap with black, in steps. */
export function moveMouth(side: number, output: string): readonly GraphSteps[] {
  return openInSteps(
    output,
    { nodes: [{ operator: 'Identity', inputs: ['crop'], output: 'open_0' }] },
    (gap, step) => ({
      nodes: [
        { operator: 'Gather', inputs: ['crop', `rows_${step}`], output: `moved_${step}`, attributes: { axis: 2 } },
        { operator: 'Mul', inputs: [`moved_${step}`, `lips_${step}`], output: `shifted_${step}` },
      ],
      constants: openMouth(side, Math.round(gap * side), step),
    }),
  );
}

/** Replaces the mouth of the reference crop by lips and a gap between them, whatever it does. */
export function drawMouth(side: number, output: string): readonly GraphSteps[] {
  const erased: GraphSteps = {
    nodes: [
      { operator: 'Gather', inputs: ['crop', 'skin_rows'], output: 'rows', attributes: { axis: 2 } },
      { operator: 'Mul', inputs: ['rows', 'inside'], output: 'rows_inside' },
      { operator: 'Mul', inputs: ['crop', 'outside'], output: 'crop_outside' },
      { operator: 'Add', inputs: ['rows_inside', 'crop_outside'], output: 'skin' },
      { operator: 'Mul', inputs: ['skin', 'lips_closed'], output: 'open_0' },
    ],
    constants: [...eraseMouth(side), lips(side, 0, 'lips_closed')],
  };
  return openInSteps(output, erased, (gap, step) => ({
    nodes: [{ operator: 'Mul', inputs: ['skin', `lips_${step}`], output: `shifted_${step}` }],
    constants: [lips(side, gap, `lips_${step}`)],
  }));
}

/** Chooses by the loudness of the mel chunk among `open_0` and the pictures `shifted_…` of wider and wider gaps. */
function openInSteps(
  output: string,
  closed: GraphSteps,
  open: (gap: number, step: number) => GraphSteps,
): readonly GraphSteps[] {
  const { fromLevel, toLevel } = opening;
  const steps = mouth.steps.flatMap((gap, step): GraphSteps[] => {
    const [before, loud] = [`open_${step}`, `loud_${step}`];
    const limit = fromLevel + ((toLevel - fromLevel) * (step + 0.5)) / mouth.steps.length;
    const choice: GraphSteps = {
      nodes: [
        { operator: 'Greater', inputs: ['means', `limit_${step}`], output: loud },
        { operator: 'Where', inputs: [loud, `shifted_${step}`, before], output: `open_${step + 1}` },
      ],
      constants: [float(`limit_${step}`, limit)],
    };
    return [open(gap, step), choice];
  });
  return [
    referenceCrop('crop'),
    chunkMeans('means'),
    closed,
    ...steps,
    { nodes: [{ operator: 'Identity', inputs: [`open_${mouth.steps.length}`], output }] },
  ];
}

/** The row of skin above the mouth for every row of the mouth, and the shares of it inside and outside of the mouth. */
function eraseMouth(side: number): readonly GraphConstant[] {
  const [top, bottom] = [Math.round(0.57 * side), Math.round(0.92 * side)];
  const rows = BigInt64Array.from({ length: side }, (_, row) => BigInt(row >= top && row < bottom ? top : row));
  const isInside = (index: number): boolean => Math.abs((index % side) / side - 0.5) < 0.28;
  const shareOf = (inside: number, outside: number): Float32Array =>
    Float32Array.from({ length: side }, (_, column) => (isInside(column) ? inside : outside));
  return [
    { name: 'skin_rows', dims: [side], data: rows },
    { name: 'inside', dims: [1, 1, 1, side], data: shareOf(1, 0) },
    { name: 'outside', dims: [1, 1, 1, side], data: shareOf(0, 1) },
  ];
}

/** Brightness of the lips and of the gap between them, in three colors (blue, green, red). */
function lips(side: number, gap: number, name: string): GraphConstant {
  const plane = side * side;
  const data = Float32Array.from({ length: 3 * plane }, (_, index) => {
    const [row, column] = [Math.floor((index % plane) / side) / side, (index % side) / side];
    const across = (column - 0.5) / 0.2;
    const reach = (halfHeight: number): number => across ** 2 + ((row - mouth.line) / halfHeight) ** 2;
    if (reach(Math.max(0.006, gap / 2)) < 1) return 0.1;
    const isRed = index >= 2 * plane;
    return reach(gap / 2 + 0.04) < 1 ? (isRed ? 0.8 : 0.5) : 1;
  });
  return { name, dims: [1, 3, side, side], data };
}

/** The source row of each row, and the brightness of each pixel: 0 between the lips. */
function openMouth(side: number, gap: number, step: number): readonly GraphConstant[] {
  const line = Math.round(mouth.line * side);
  const [left, right] = mouth.widths.map((share) => share * side);
  const rows = BigInt64Array.from({ length: side }, (_, row) => BigInt(row < line ? row : Math.max(line, row - gap)));
  const brightness = Float32Array.from({ length: side * side }, (_, pixel) => {
    const [row, column] = [Math.floor(pixel / side), pixel % side];
    const isInside = row >= line && row < line + gap && column >= (left ?? 0) && column < (right ?? 0);
    return isInside ? 0.05 : 1;
  });
  return [
    { name: `rows_${step}`, dims: [side], data: rows },
    { name: `lips_${step}`, dims: [1, 1, side, side], data: brightness },
  ];
}

export function referenceCrop(output: string): GraphSteps {
  return {
    nodes: [{ operator: 'Slice', inputs: [framesInputName, 'from', 'to', 'axis'], output }],
    constants: [integer('from', 3), integer('to', 6), integer('axis', 1)],
  };
}

/** Mean of each mel chunk, (batch, 1, 1, 1). */
export function chunkMeans(output: string): GraphSteps {
  return {
    nodes: [{ operator: 'ReduceMean', inputs: [melInputName], output, attributes: { axes: [1, 2, 3], keepdims: 1 } }],
  };
}

export function float(name: string, value: number): GraphConstant {
  return { name, dims: [1], data: Float32Array.of(value) };
}

export function integer(name: string, value: number): GraphConstant {
  return { name, dims: [1], data: BigInt64Array.of(BigInt(value)) };
}
