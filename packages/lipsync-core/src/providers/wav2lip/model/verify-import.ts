import { appendFile, truncate } from 'node:fs/promises';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import { loadSession, type OnnxTensor } from '../../../inference/onnx-session.ts';
import { encodeOnnxAddition } from '../../../inference/onnx-writer.ts';
import { melBandCount, melChunkColumns } from '../features/index.ts';
import type { CellGrid } from './cell-grid.ts';
import { layerValueAt, outputSides, type Activations } from './direct-layer.ts';
import { readLayerTensors, type LayerTensors, type TensorSource } from './layer-tensors.ts';
import { describeWav2LipModel, officialCropSizePx } from './model-facts.ts';
import { layersOf, type Layer, type Wav2LipNetwork } from './network.ts';
import { cast, type ElementType } from './picture-layers.ts';
import { trialMel, trialShade } from './trial-input.ts';
import { framesInputName, layerGrids, layerInputs, melInputName, outputName, type GraphKind } from './wav2lip-graph.ts';

export interface WrittenModel {
  /** A file that nobody else reads yet: it is longer while it is looked at. */
  readonly path: string;
  readonly bytes: number;
  readonly network: Wav2LipNetwork;
  readonly kind: GraphKind;
}

export interface Verification {
  readonly layers: number;
  /** Largest distance from the definition in units of the sum of magnitudes that was added up. */
  readonly largestError: number;
}

/** ConcurrencySlots of every layer that are computed by the definition as well. */
const placesPerLayer = 48;

/** What rounding may do, in units of the sum of magnitudes: a few steps of 2⁻²⁴, or of 2⁻¹¹. */
const tolerances: { readonly [Type in ElementType]: { readonly relative: number; readonly absolute: number } } = {
  float32: { relative: 1e-5, absolute: 1e-6 },
  float16: { relative: 2e-3, absolute: 1e-3 },
};

/**
 * Proves that a written file computes what its checkpoint says: one pass over made-up sound and face, in which every
 * layer is compared with its definition, from the checkpoint's own numbers, in places spread over its output. Throws
 * `model_invalid` when a layer differs or something is not finite. The file is as it was afterwards.
 */
export async function verifyImport(
  model: WrittenModel,
  source: TensorSource,
  signal: AbortSignal,
): Promise<Verification> {
  const results = await runWithProbes(model);
  const { network, kind } = model;
  const inputs = layerInputs(network, kind.elementType);
  const grids = layerGrids(network, kind.form);
  const probed = (name: string): Activations => probedPicture(results, name, grids.get(name));
  const errors: number[] = [];
  for (const layer of layersOf(network)) {
    if (signal.aborted) throw abortError(signal);
    const input = probed(inputs.get(layer.name) ?? '');
    errors.push(
      compareLayer(layer, await readLayerTensors(layer, source), input, probed(layer.name), kind.elementType),
    );
  }
  if (!probedOutput(results).every(Number.isFinite)) throw differs('its pictures are not finite');
  return { layers: errors.length, largestError: Math.max(...errors) };
}

/** Loads the file with every layer's result as a further output, runs it once. */
async function runWithProbes({
  path,
  bytes,
  network,
  kind,
}: WrittenModel): Promise<Readonly<Record<string, OnnxTensor>>> {
  const names = [
    ...new Set([...layerInputs(network, kind.elementType).values(), ...layersOf(network).map(({ name }) => name)]),
  ];
  const nodes = names.map((name) => cast(name, probeName(name), 'float32'));
  try {
    await appendFile(
      path,
      encodeOnnxAddition(
        nodes,
        nodes.map(({ output }) => ({ name: output })),
      ),
    );
    const session = await loadSession(path, { threads: 1 });
    try {
      describeWav2LipModel({ inputs: session.inputs, outputs: session.outputs.slice(0, 1) });
      return await session.run(testInputs());
    } finally {
      await session.release();
    }
  } finally {
    await truncate(path, bytes);
  }
}

/** Sound and face in their ranges, different in every place. */
function testInputs(): Readonly<Record<string, OnnxTensor>> {
  const mel = Float32Array.from({ length: melBandCount * melChunkColumns }, (_, index) => trialMel(index));
  const frames = Float32Array.from({ length: 6 * officialCropSizePx ** 2 }, (_, index) => trialShade(index));
  return {
    [melInputName]: { type: 'float32', data: mel, dims: [1, 1, melBandCount, melChunkColumns] },
    [framesInputName]: { type: 'float32', data: frames, dims: [1, 6, officialCropSizePx, officialCropSizePx] },
  };
}

/** The largest error found, in units of the magnitude. */
function compareLayer(
  layer: Layer,
  tensors: LayerTensors,
  input: Activations,
  output: Activations,
  elementType: ElementType,
): number {
  const [rows, columns] = outputSides(layer, [input.rows, input.columns]);
  if (output.channels !== layer.outputChannels || output.rows !== rows || output.columns !== columns)
    throw differs(`${layer.name} gives ${output.channels} × ${output.rows} × ${output.columns}`);
  const { relative, absolute } = tolerances[elementType];
  let largest = 0;
  for (let sample = 0; sample < placesPerLayer; sample += 1) {
    // The golden ratio's multiples lie evenly in every layer, whatever its size.
    const index = Math.floor((((sample + 0.5) * 0.6180339887498949) % 1) * output.data.length);
    const place = {
      channel: Math.floor(index / (rows * columns)),
      row: Math.floor(index / columns) % rows,
      column: index % columns,
    };
    const { value, magnitude } = layerValueAt(layer, tensors, input, place);
    const error = Math.abs((output.data[index] ?? Number.NaN) - value);
    if (!(error <= relative * magnitude + absolute))
      throw differs(`${layer.name} gives ${output.data[index]} where ${value} was expected`);
    largest = Math.max(largest, magnitude === 0 ? 0 : error / magnitude);
  }
  return largest;
}

function probedPicture(
  results: Readonly<Record<string, OnnxTensor>>,
  name: string,
  grid: CellGrid | undefined,
): Activations {
  const tensor = results[probeName(name)];
  if (tensor?.type !== 'float32') throw differs(`${name} gives nothing`);
  const [first = 0, second = 0, third = 0, fourth = 0] = tensor.dims;
  if (!grid) return { data: tensor.data, channels: second, rows: third, columns: fourth };
  if (first !== grid.cells) throw differs(`${name} gives ${first} cells`);
  return pictureOfCells(tensor.data, third, grid);
}

/** The picture that cells (cells, 1, channels) hold. */
function pictureOfCells(values: Float32Array, channels: number, { cellOf, sidePx }: CellGrid): Activations {
  const data = new Float32Array(channels * cellOf.length);
  for (const [pixel, cell] of cellOf.entries()) {
    for (let channel = 0; channel < channels; channel += 1)
      data[channel * cellOf.length + pixel] = values[cell * channels + channel] ?? Number.NaN;
  }
  return { data, channels, rows: sidePx, columns: sidePx };
}

function probedOutput(results: Readonly<Record<string, OnnxTensor>>): readonly number[] {
  return Array.from(results[outputName]?.data ?? [], Number);
}

function probeName(name: string): string {
  return `${name}/probe`;
}

function differs(finding: string): LipsyncError {
  return new LipsyncError(
    'model_invalid',
    `The imported model does not compute what its checkpoint says: ${finding}. The checkpoint's weights may be damaged; fetch it again.`,
  );
}
