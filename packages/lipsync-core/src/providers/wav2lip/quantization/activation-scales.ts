import { abortError, LipsyncError } from '../../../errors/index.ts';
import { melBandCount } from '../../../audio/mel-spectrogram.ts';
import { loadSession, type OnnxTensor } from '../../../inference/onnx-session.ts';
import { writeOnnxFile, type OnnxGraph } from '../../../inference/onnx-writer.ts';
import { faceBytes } from '../engine/engine-protocol.ts';
import { writeFrames } from '../engine/face-model.ts';
import { melChunkColumns, melChunkLength } from '../mel-chunks.ts';
import { officialCropSizePx } from '../model/model-facts.ts';
import { layersOf, type Wav2LipNetwork } from '../model/network.ts';
import type { CalibrationFaces } from './calibration-faces.ts';
import { framesInputName, melInputName } from '../model/wav2lip-graph.ts';
import { sumName } from './eight-bit-graph.ts';
import { codeScaleOf, type CodeScale } from './eight-bit-values.ts';
import { ValueHistogram } from './value-histogram.ts';

/** Faces per run: all activations of a face are 40 MB, and a run returns them. */
const facesPerRun = 2;

export interface ObservedModel {
  readonly network: Wav2LipNetwork;
  /** The network in float32 with plain layers. */
  readonly graph: OnnxGraph;
  /** Path of a file that may be written. */
  readonly path: string;
  readonly threads: number;
}

/**
 * Runs the network on the calibration faces and derives how each activation is stored in eight bits. Throws
 * `model_invalid` when an activation is not finite, and the abort error.
 */
export async function observeScales(
  { network, graph, path, threads }: ObservedModel,
  faces: CalibrationFaces,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, CodeScale>> {
  const names = layersOf(network).flatMap((layer) => (layer.residual ? [sumName(layer), layer.name] : [layer.name]));
  const histograms = new Map(names.map((name) => [name, new ValueHistogram()]));
  // The last layer is an output of the graph, if only by its sigmoid.
  await writeOnnxFile(path, { ...graph, outputs: [...graph.outputs, ...names.map((name) => ({ name }))] }, { signal });
  const session = await loadSession(path, { threads, spinning: false });
  try {
    for (let first = 0; first < faces.count; first += facesPerRun) {
      if (signal.aborted) throw abortError(signal);
      const outputs = await session.run(modelInputs(faces, first, Math.min(facesPerRun, faces.count - first)));
      for (const [name, histogram] of histograms) {
        const data = outputs[name]?.data;
        if (data instanceof Float32Array) histogram.add(data);
      }
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new LipsyncError(
      'model_invalid',
      'A layer of the checkpoint returns values that are not finite for the calibration clip. Download it again.',
      { cause },
    );
  } finally {
    await session.release();
  }
  return new Map(Array.from(histograms, ([name, histogram]) => [name, codeScaleOf(histogram.bestRange())]));
}

/** The inputs of the network for a range of faces. */
function modelInputs(
  { mel, faces }: CalibrationFaces,
  first: number,
  count: number,
): Readonly<Record<string, OnnxTensor>> {
  const bytes = faceBytes(officialCropSizePx);
  const crops = faces.subarray(first * bytes, (first + count) * bytes);
  const melValues = mel.subarray(first * melChunkLength, (first + count) * melChunkLength);
  const frames = new Float32Array(2 * count * bytes);
  writeFrames({ count, mel: melValues, faces: crops, references: crops }, officialCropSizePx, frames);
  const side = officialCropSizePx;
  return {
    [melInputName]: { type: 'float32', data: melValues, dims: [count, 1, melBandCount, melChunkColumns] },
    [framesInputName]: { type: 'float32', data: frames, dims: [count, 6, side, side] },
  };
}
