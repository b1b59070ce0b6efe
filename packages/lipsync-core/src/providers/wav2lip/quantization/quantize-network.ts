import { join } from 'node:path';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import type { FoldedLayer } from '../../../inference/models/batch-norm.ts';
import type {
  CalibrationRequest,
  QuantizationContext,
  QuantizedNetwork,
  TensorSource,
} from '../../../inference/models/network-kind.ts';
import { loadSession, saturatesEightBitProducts } from '../../../inference/onnx-session.ts';
import { writeOnnxFile, type OnnxGraph } from '../../../inference/onnx-writer.ts';
import { countModelThreads } from '../../../processes/cpu-share.ts';
import { FaceModel } from '../engine/face-model.ts';
import { foldBatchNorm, readLayerTensors } from '../model/layer-weights.ts';
import { describeWav2LipModel, officialCropSizePx } from '../model/model-facts.ts';
import { layersOf, type Wav2LipNetwork } from '../model/network.ts';
import { wav2lipGraph } from '../model/wav2lip-graph.ts';
import { maskSidePx } from '../picture/mouth-mask.ts';
import { observeScales } from './activation-scales.ts';
import { readCalibrationFaces, type CalibrationFaces, type CalibrationSet } from './calibration-faces.ts';
import { compareDrawings, type DrawingError } from './drawing-error.ts';
import { canBeEightBit, eightBitGraph, type EightBitNetwork } from './eight-bit-graph.ts';
import type { LargestWeight } from './eight-bit-values.ts';
import { searchFloatLayers, type SearchResult } from './float-layer-search.ts';
import { multiplicationsOf } from './multiplications.ts';
import { verifyEightBit } from './verify-eight-bit.ts';

/** Faces per run, as the engine draws them on a CPU. */
const facesPerRun = 8;
/** Runs of each form whose median is its speed; the forms take turns. */
const timedRuns = 7;
/** Progress after reading the clip and after deriving the scales; the rest is the search. */
const progressAfter = { faces: 0.1, scales: 0.2 } as const;

/** A network and the weights of a checkpoint. */
export interface SourcedNetwork {
  readonly network: Wav2LipNetwork;
  readonly source: TensorSource;
}

/**
 * Computes the eight-bit form of a network: reads the calibration clip, derives the scales of all activations, and
 * searches the layers that stay in float32. Errors and speed are measured on faces of the clip that the scales are not
 * derived from. Throws `model_invalid` for a checkpoint that cannot be quantized, `not_supported` when no layer meets
 * the error limit, and the errors of `readCalibrationFaces`.
 */
export async function quantizeNetwork(
  { network, source }: SourcedNetwork,
  request: CalibrationRequest,
  context: QuantizationContext,
): Promise<QuantizedNetwork> {
  const { workFolder, signal, onProgress } = context;
  const calibration = await readCalibrationFaces(request, { workFolder, signal });
  onProgress(progressAfter.faces);
  const trials = await Trials.open({ network, source }, { calibration, workFolder, signal });
  onProgress(progressAfter.scales);
  const found = await searchFloatLayers({
    layers: searchedLayers(network),
    maxError: request.maxError,
    measure: (floatLayers) => trials.measure(floatLayers),
    onMeasured: (done, total) =>
      onProgress(progressAfter.scales + (1 - progressAfter.scales) * Math.min(1, done / total)),
  });
  if (found === null)
    throw new LipsyncError(
      'not_supported',
      `No layer can be computed in eight bits with a mean error of at most ${request.maxError} levels. Allow a larger error with --max-error, or import the float32 form.`,
    );
  const floatLayers = new Set(found.floatLayers);
  const { eightBit } = trials;
  const { graph, pictures } = eightBitGraph(eightBit, floatLayers);
  return {
    graph,
    verify: (file, verifySignal) => verifyEightBit(file, { eightBit, pictures, source }, verifySignal),
    quantization: describe(found, {
      request,
      calibration,
      largestWeight: eightBit.largestWeight,
      msPerFace: await trials.compareSpeed(floatLayers),
    }),
  };
}

function searchedLayers(network: Wav2LipNetwork) {
  const multiplications = multiplicationsOf(network);
  return layersOf(network)
    .filter((layer) => canBeEightBit(network, layer))
    .map(({ name }) => ({ name, multiplications: multiplications.get(name) ?? 1 }));
}

interface Described {
  readonly request: CalibrationRequest;
  readonly calibration: CalibrationSet;
  readonly largestWeight: LargestWeight;
  readonly msPerFace: MsPerFace;
}

function describe(
  { floatLayers, error, steps }: SearchResult,
  { request, calibration, msPerFace, largestWeight }: Described,
): QuantizedNetwork['quantization'] {
  const toFigures = ({ meanLevels, worstLevels, ssim }: DrawingError) => ({
    mean_levels: round(meanLevels),
    worst_levels: worstLevels,
    ssim: ssim === null ? null : round(ssim),
  });
  return {
    max_error: request.maxError,
    largest_weight: largestWeight,
    calibration: {
      clip_sha256: calibration.clipSha256,
      observed_faces: calibration.observed.count,
      measured_faces: calibration.measured.count,
    },
    float_layers: [...floatLayers],
    error: toFigures(error),
    ms_per_face: msPerFace,
    steps: steps.map((step) => ({ float_layers: step.floatLayers, ...toFigures(step) })),
  };
}

function round(value: number): number {
  return Number(value.toFixed(4));
}

interface TrialContext {
  readonly calibration: CalibrationSet;
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

/** Writes and runs variants of the network on the measured faces, one at a time. */
class Trials {
  readonly eightBit: EightBitNetwork;
  readonly #context: TrialContext;
  readonly #expected: Uint8Array;
  readonly #floatPath: string;

  private constructor(
    eightBit: EightBitNetwork,
    context: TrialContext,
    float: { readonly drawn: Uint8Array; readonly path: string },
  ) {
    this.eightBit = eightBit;
    this.#context = context;
    this.#expected = float.drawn;
    this.#floatPath = float.path;
  }

  /** Draws the measured faces in float32 and derives the scales from the others. */
  static async open({ network, source }: SourcedNetwork, context: TrialContext): Promise<Trials> {
    const { calibration, workFolder, signal } = context;
    const path = join(workFolder, 'float.onnx');
    const rewritten = await wav2lipGraph(network, source, { elementType: 'float32', form: 'rewritten' });
    await writeOnnxFile(path, rewritten, { signal });
    const drawn = await drawFile(path, calibration.measured, signal);
    const plain = await wav2lipGraph(network, source, { elementType: 'float32', form: 'plain' });
    const observed = {
      network,
      graph: plain,
      path: join(workFolder, 'observed.onnx'),
      threads: await countModelThreads(),
    };
    const scales = await observeScales(observed, calibration.observed, signal);
    const largestWeight = (await saturatesEightBitProducts()) ? 63 : 127;
    const folded = new Map<string, FoldedLayer>();
    for (const layer of layersOf(network))
      folded.set(layer.name, foldBatchNorm(layer, await readLayerTensors(layer, source)));
    return new Trials({ network, folded, scales, weights: new Map(), largestWeight }, context, { drawn, path });
  }

  async measure(floatLayers: ReadonlySet<string>): Promise<DrawingError> {
    const { calibration, signal } = this.#context;
    const path = await this.#write(eightBitGraph(this.eightBit, floatLayers).graph);
    return compareDrawings(await drawFile(path, calibration.measured, signal), this.#expected, calibration.measured);
  }

  /** Median milliseconds per face of both forms, which run in turn on all cores. */
  async compareSpeed(floatLayers: ReadonlySet<string>): Promise<MsPerFace> {
    const { calibration, signal } = this.#context;
    const faces = firstFaces(calibration.measured, facesPerRun);
    const path = await this.#write(eightBitGraph(this.eightBit, floatLayers).graph);
    const float = await openModel(this.#floatPath);
    try {
      const int8 = await openModel(path);
      try {
        return await timeInTurn({ float32: float, int8 }, faces, signal);
      } finally {
        await int8.release();
      }
    } finally {
      await float.release();
    }
  }

  async #write(graph: OnnxGraph): Promise<string> {
    const { workFolder, signal } = this.#context;
    const path = join(workFolder, 'trial.onnx');
    await writeOnnxFile(path, graph, { signal });
    return path;
  }
}

type MsPerFace = QuantizedNetwork['quantization']['ms_per_face'];

/** Median milliseconds per face of models that draw the same faces in turn. */
async function timeInTurn(
  models: Readonly<Record<keyof MsPerFace, FaceModel>>,
  faces: CalibrationFaces,
  signal: AbortSignal,
): Promise<MsPerFace> {
  const times: Readonly<Record<keyof MsPerFace, number[]>> = { float32: [], int8: [] };
  for (let run = 0; run <= timedRuns; run += 1) {
    for (const form of ['float32', 'int8'] as const) {
      if (signal.aborted) throw abortError(signal);
      const startedMs = performance.now();
      await models[form].draw(faces, facesPerRun);
      // The first run of each allocates.
      if (run > 0) times[form].push((performance.now() - startedMs) / faces.count);
    }
  }
  return { float32: round(median(times.float32)), int8: round(median(times.int8)) };
}

async function openModel(path: string): Promise<FaceModel> {
  const session = await loadSession(path, { threads: await countModelThreads(), spinning: false });
  return new FaceModel(session, describeWav2LipModel(session));
}

async function drawFile(path: string, faces: CalibrationFaces, signal: AbortSignal): Promise<Uint8Array> {
  if (signal.aborted) throw abortError(signal);
  const model = await openModel(path);
  try {
    return (await model.draw(faces, facesPerRun)).faces;
  } finally {
    await model.release();
  }
}

function firstFaces({ mel, faces, masks, count }: CalibrationFaces, wanted: number): CalibrationFaces {
  const taken = Math.min(count, wanted);
  const crops = faces.subarray(0, (faces.length / count) * taken);
  return {
    count: taken,
    mel: mel.subarray(0, (mel.length / count) * taken),
    faces: crops,
    references: crops,
    masks: masks.subarray(0, (masks.length / count) * taken),
    startRow: firstNeededRow(masks),
  };
}

/** Rows that resampling reads above the mask. */
const kernelRows = 3;

/** The first row of the crops that the pastes read; a float32 model draws only from there on. */
function firstNeededRow(masks: Uint8Array): number {
  const rows = Array.from({ length: maskSidePx }, (_, row) => row);
  const isPasted = (row: number): boolean =>
    masks.some((alpha, index) => alpha > 0 && Math.floor(index / maskSidePx) % maskSidePx === row);
  return Math.max(0, ((rows.find(isPasted) ?? 0) * officialCropSizePx) / maskSidePx - kernelRows);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
