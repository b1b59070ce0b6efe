import { basename, extname } from 'node:path';
import { LipsyncError } from '../../errors/index.ts';
import { openCheckpoint, type Checkpoint } from '../checkpoints/checkpoint.ts';
import { writeOnnxFile } from '../onnx-writer.ts';
import { syncFile } from '../../storage/durable-files.ts';
import type { FileHash } from '../../storage/file-hash.ts';
import { recognizeNetwork, rejectInvalidTensors } from './expected-tensors.ts';
import {
  openImportWorkspace,
  prepareOutput,
  publishOutput,
  reportPathErrors,
  type FinishedImport,
} from './import-output.ts';
import { newModelRecord, recordPathOf, writeModelRecord, type ModelRecord } from './model-record.ts';
import type {
  BuiltNetwork,
  CalibrationRequest,
  GraphKind,
  NetworkKind,
  NetworkWeights,
  QuantizedNetwork,
  Verification,
} from './network-kind.ts';

export interface ModelImport {
  /** An official checkpoint in PyTorch's legacy or zip format. */
  readonly checkpointPath: string;
  /** Path of the ONNX file; missing folders are created. The record is stored next to it with the suffix `.json`. */
  readonly outputPath: string;
  /** Writes float16 weights, for GPUs. Defaults to false. Only for networks with forms, like `plain`. */
  readonly float16?: boolean;
  /** Writes plain layers, for GPUs, instead of layers rewritten for CPUs. Implied by `float16`. */
  readonly plain?: boolean;
  /** Writes the eight-bit form, for CPUs, within a measured error. Not together with `float16` or `plain`. */
  readonly calibration?: CalibrationRequest;
  /** Whether an existing file is replaced. */
  readonly overwrite?: boolean;
  readonly signal: AbortSignal;
  /** Called with the completed share, 0 to 1. */
  readonly onProgress?: (done: number) => void;
}

export interface ImportReport {
  readonly modelPath: string;
  readonly recordPath: string;
  readonly record: ModelRecord;
}

/** Completed share after each step; a search of eight-bit layers takes most of the time between the first two. */
const progressAfter = { hashing: 0.1, writing: 0.6, publishing: 1 } as const;
/** Limit on calibrating and searching; a full-size network takes two to four minutes on two cores. */
const quantizationLimitMs = 30 * 60_000;

/**
 * Converts an official checkpoint of one of the networks to an ONNX model; its tensors decide which. The output is
 * deterministic: the same weights yield the same bytes in either checkpoint format. Nothing in the checkpoint is
 * executed, and every layer is verified against the checkpoint before the file is published. Throws `model_missing` when
 * the checkpoint cannot be read, `model_invalid` when it is damaged or another model, `not_supported` for a form that
 * the network does not have, and `output_exists` or `request_invalid` for an unusable output path. The eight-bit form
 * also throws the errors of `NetworkKind.quantize`, and `resource_exhausted` when it takes too long.
 */
export async function importModel(request: ModelImport, kinds: readonly NetworkKind[]): Promise<ImportReport> {
  const { checkpointPath, outputPath, overwrite = false, signal } = request;
  const output = { outputPath, checkpointPath, overwrite };
  await prepareOutput(output);
  const checkpoint = await openCheckpoint(checkpointPath, { signal });
  try {
    const workspace = await openImportWorkspace(outputPath);
    try {
      const finished = { modelPath: workspace.file('model.onnx'), recordPath: workspace.file('record.json') };
      const kind = recognizeNetwork(checkpoint.tensors, kinds);
      const record = await writeImport(checkpoint, { kind, finished, request, workFolder: workspace.path });
      await publishOutput(finished, output);
      request.onProgress?.(progressAfter.publishing);
      return { modelPath: outputPath, recordPath: recordPathOf(outputPath), record };
    } finally {
      await workspace.remove();
    }
  } finally {
    await checkpoint.close();
  }
}

interface WriteOptions {
  readonly kind: NetworkKind;
  readonly finished: FinishedImport;
  readonly request: ModelImport;
  readonly workFolder: string;
}

/** Writes and verifies the model, then writes the record. */
async function writeImport(checkpoint: Checkpoint, options: WriteOptions): Promise<ModelRecord> {
  const { kind, finished, request } = options;
  const { checkpointPath, outputPath, onProgress } = request;
  requireForm(kind, request);
  const checkpointHash = await checkpoint.hash();
  onProgress?.(progressAfter.hashing);
  const { hash, verification, form } = await writeVerified(checkpoint, options);
  const record = newModelRecord(kind, {
    name: basename(checkpointPath, extname(checkpointPath)),
    checkpoint: { sha256: checkpointHash.sha256, bytes: checkpointHash.sizeBytes, format: checkpoint.format },
    model: { sha256: hash.sha256, bytes: hash.sizeBytes, element_type: form.elementType, form: form.form },
    quantization: form.quantization,
    verification: { layers: verification.layers, largest_error: verification.largestError },
    imported_at: new Date().toISOString(),
  });
  await reportPathErrors(outputPath, () => writeModelRecord(finished.recordPath, record));
  return record;
}

/** Throws `not_supported` for a form that the network does not have. */
function requireForm(
  { hasForms, title, quantize }: NetworkKind,
  { float16 = false, plain = false, calibration }: ModelImport,
): void {
  if (!hasForms && (float16 || plain))
    throw new LipsyncError(
      'not_supported',
      `The checkpoint is ${title}, which is imported in one form only. Leave out the options for a GPU.`,
    );
  if (calibration && !quantize)
    throw new LipsyncError(
      'not_supported',
      `The checkpoint is ${title}, which has no eight-bit form. Leave out --precision and --calibrate.`,
    );
}

function graphKindOf({ hasForms }: NetworkKind, { float16 = false, plain = false }: ModelImport): GraphKind {
  if (float16) return { elementType: 'float16', form: 'plain' };
  return { elementType: 'float32', form: plain || !hasForms ? 'plain' : 'rewritten' };
}

/** How a network is written, as its record states it. */
interface WrittenForm {
  readonly elementType: ModelRecord['model']['element_type'];
  readonly form: ModelRecord['model']['form'];
  readonly quantization: ModelRecord['quantization'];
}

interface FormedNetwork {
  readonly network: BuiltNetwork;
  readonly form: WrittenForm;
}

async function buildNetwork(weights: NetworkWeights, options: WriteOptions): Promise<FormedNetwork> {
  const { kind, request } = options;
  if (request.calibration) {
    const network = await quantizeWithin(weights, request.calibration, options);
    return { network, form: { elementType: 'int8', form: 'quantized', quantization: network.quantization } };
  }
  const graphKind = graphKindOf(kind, request);
  const form = kind.hasForms ? graphKind.form : null;
  return {
    network: await kind.build(weights.tensors, weights.source, graphKind),
    form: { elementType: graphKind.elementType, form, quantization: null },
  };
}

/** Quantizes within the time limit. */
async function quantizeWithin(
  weights: NetworkWeights,
  calibration: CalibrationRequest,
  { kind, workFolder, request: { signal, onProgress } }: WriteOptions,
): Promise<QuantizedNetwork> {
  if (!kind.quantize) throw new LipsyncError('internal', `${kind.id} has no eight-bit form.`);
  const limit = AbortSignal.timeout(quantizationLimitMs);
  const { hashing, writing } = progressAfter;
  try {
    return await kind.quantize(weights, calibration, {
      workFolder,
      signal: AbortSignal.any([signal, limit]),
      onProgress: (done) => onProgress?.(hashing + (writing - hashing) * done),
    });
  } catch (cause) {
    if (signal.aborted || !limit.aborted) throw cause;
    throw new LipsyncError(
      'resource_exhausted',
      `The eight-bit form was not found within ${quantizationLimitMs / 60_000} minutes. Import it on a faster machine, or when this one is idle.`,
      { cause },
    );
  }
}

async function writeVerified(
  checkpoint: Checkpoint,
  options: WriteOptions,
): Promise<{ readonly hash: FileHash; readonly verification: Verification; readonly form: WrittenForm }> {
  const {
    kind,
    finished: { modelPath },
    request: { outputPath, signal, onProgress },
  } = options;
  const source = rejectInvalidTensors(checkpoint);
  const { network, form } = await buildNetwork({ tensors: checkpoint.tensors, source }, options);
  const metadata = { source: kind.source, licence: kind.licence };
  const graph = { ...network.graph, metadata };
  const hash = await reportPathErrors(outputPath, () => writeOnnxFile(modelPath, graph, { signal }));
  onProgress?.(progressAfter.writing);
  const verification = await network.verify({ path: modelPath, sizeBytes: hash.sizeBytes }, signal);
  await syncFile(modelPath);
  return { hash, verification, form };
}
