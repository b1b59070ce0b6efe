import { abortError } from '../../../errors/index.ts';
import { indexOf, type Activations } from '../../../inference/models/convolution.ts';
import type {
  ElementType,
  GraphKind,
  TensorSource,
  Verification,
  WrittenFile,
} from '../../../inference/models/network-kind.ts';
import {
  compareSamples,
  deviates,
  probeName,
  runWithProbes,
  type ProbedResults,
  type Tolerance,
} from '../../../inference/models/probes.ts';
import type { OnnxTensor } from '../../../inference/onnx-session.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { melChunkColumns } from '../mel-chunks.ts';
import { cast } from './convolution-layers.ts';
import { readLayerTensors, type LayerTensors } from './layer-weights.ts';
import { describeWav2LipModel, officialCropSizePx } from './model-facts.ts';
import { layersOf, type Layer, type Wav2LipNetwork } from './network.ts';
import type { PixelLayout } from './pixel-layout.ts';
import { layerValueAt, outputSize } from './reference-layer.ts';
import { startRows, startRowTensor } from './start-rows.ts';
import { testMelValue, testPixelValue } from './try-model.ts';
import { framesInputName, layerLayouts, layerInputs, melInputName, outputName } from './wav2lip-graph.ts';

export interface WrittenModel extends WrittenFile {
  readonly network: Wav2LipNetwork;
  readonly kind: GraphKind;
}

/** Permitted rounding error relative to the sum of magnitudes: a few units of 2⁻²⁴ (float32) or 2⁻¹¹ (float16). */
const tolerances: { readonly [Type in ElementType]: Tolerance } = {
  float32: { relative: 1e-5, absolute: 1e-6 },
  float16: { relative: 2e-3, absolute: 1e-3 },
};

/** Permitted difference between rows of the whole picture and the same rows drawn from a start row. */
const maxRowDifference = 1e-4;

/**
 * Verifies a written model against its checkpoint: runs it on test inputs, compares samples of every layer's output
 * with the reference implementation, and the rows that it draws from each start row with those of the whole picture.
 * Restores the file afterwards. Throws `model_invalid` when a layer or row deviates or the output is not finite.
 */
export async function verifyImport(
  model: WrittenModel,
  source: TensorSource,
  signal: AbortSignal,
): Promise<Verification> {
  const results = await runModel(model);
  const { network, kind } = model;
  const inputs = layerInputs(network, kind.elementType);
  const layouts = layerLayouts(network, kind.form);
  const probe = (name: string): Activations => readProbe(results, name, layouts.get(name));
  const errors: number[] = [];
  for (const layer of layersOf(network)) {
    if (signal.aborted) throw abortError(signal);
    const activations = { input: probe(inputs.get(layer.name) ?? ''), output: probe(layer.name) };
    errors.push(compareLayer(layer, await readLayerTensors(layer, source), activations, kind.elementType));
  }
  if (!Array.from(results[outputName]?.data ?? [], Number).every(Number.isFinite))
    throw deviates('its output is not finite');
  return { layers: errors.length, largestError: Math.max(...errors) };
}

/** Shows every layer's input and output in one run for the whole picture, and verifies the start rows. */
function runModel(model: WrittenModel): Promise<ProbedResults> {
  const { network, kind } = model;
  const names = [
    ...new Set([...layerInputs(network, kind.elementType).values(), ...layersOf(network).map(({ name }) => name)]),
  ];
  const nodes = names.map((name) => cast(name, probeName(name), 'float32'));
  return runWithProbes(model, nodes, async (session) => {
    const facts = describeWav2LipModel({ inputs: session.inputs, outputs: session.outputs.slice(0, 1) });
    const inputs = testInputs();
    if (facts.startRowInput === null) return session.run(inputs);
    const { startRowInput } = facts;
    const drawFrom = (row: number): Promise<ProbedResults> =>
      session.run({ ...inputs, [startRowInput]: startRowTensor(row) });
    const whole = await drawFrom(0);
    for (const row of startRows) compareRows(row, await drawFrom(row), whole);
    return whole;
  });
}

/** Compares the rows from `startRow` on with those of the whole picture. */
function compareRows(startRow: number, drawn: ProbedResults, whole: ProbedResults): void {
  const [rows, expected] = [drawn, whole].map((results) => Float32Array.from(results[outputName]?.data ?? [], Number));
  const [plane, skipped] = [officialCropSizePx ** 2, startRow * officialCropSizePx];
  const isEqual =
    rows?.length === 3 * (plane - skipped) &&
    rows.every((value, index) => {
      const channel = Math.floor(index / (plane - skipped));
      return Math.abs(value - (expected?.[index + (channel + 1) * skipped] ?? Number.NaN)) <= maxRowDifference;
    });
  if (!isEqual) throw deviates(`drawing from row ${startRow} on changes the rows below it`);
}

/** Deterministic inputs for one face. */
export function testInputs(): Readonly<Record<string, OnnxTensor>> {
  const mel = Float32Array.from({ length: melBandCount * melChunkColumns }, (_, index) => testMelValue(index));
  const frames = Float32Array.from({ length: 6 * officialCropSizePx ** 2 }, (_, index) => testPixelValue(index));
  return {
    [melInputName]: { type: 'float32', data: mel, dims: [1, 1, melBandCount, melChunkColumns] },
    [framesInputName]: { type: 'float32', data: frames, dims: [1, 6, officialCropSizePx, officialCropSizePx] },
  };
}

/** Returns the largest relative error of the samples. */
function compareLayer(
  layer: Layer,
  tensors: LayerTensors,
  { input, output }: { readonly input: Activations; readonly output: Activations },
  elementType: ElementType,
): number {
  const [rows, columns] = outputSize(layer, [input.rows, input.columns]);
  if (output.channels !== layer.outputChannels || output.rows !== rows || output.columns !== columns)
    throw deviates(`${layer.name} outputs ${output.channels} × ${output.rows} × ${output.columns}`);
  return compareSamples(
    layer.name,
    output.data,
    (index) => layerValueAt(layer, tensors, input, indexOf(index, output)),
    tolerances[elementType],
  );
}

function readProbe(results: ProbedResults, name: string, layout: PixelLayout | undefined): Activations {
  const tensor = results[probeName(name)];
  if (tensor?.type !== 'float32') throw deviates(`${name} has no float32 output`);
  const [first = 0, second = 0, third = 0, fourth = 0] = tensor.dims;
  if (!layout) return { data: tensor.data, channels: second, rows: third, columns: fourth };
  if (first !== layout.positions) throw deviates(`${name} outputs ${first} positions`);
  return layoutToImage(tensor.data, third, layout);
}

/** Converts values (positions, 1, channels) to an image. */
function layoutToImage(values: Float32Array, channels: number, { positionOf, sidePx }: PixelLayout): Activations {
  const data = new Float32Array(channels * positionOf.length);
  for (const [pixel, position] of positionOf.entries()) {
    for (let channel = 0; channel < channels; channel += 1)
      data[channel * positionOf.length + pixel] = values[position * channels + channel] ?? Number.NaN;
  }
  return { data, channels, rows: sidePx, columns: sidePx };
}
