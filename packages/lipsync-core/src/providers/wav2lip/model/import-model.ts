import { basename, extname } from 'node:path';
import { openCheckpoint, type Checkpoint } from '../../../inference/checkpoints/checkpoint.ts';
import { writeOnnxFile } from '../../../inference/onnx-writer.ts';
import { syncFile } from '../../../storage/durable-files.ts';
import type { FileHash } from '../../../storage/file-hash.ts';
import { matchNetwork, rejectInvalidTensors } from './checkpoint-tensors.ts';
import {
  openImportWorkspace,
  prepareOutput,
  publishOutput,
  reportPathErrors,
  type FinishedImport,
} from './import-output.ts';
import {
  newModelRecord,
  officialLicense,
  officialSource,
  recordPathOf,
  writeModelRecord,
  type ModelRecord,
} from './model-record.ts';
import { verifyImport, type Verification } from './verify-import.ts';
import { wav2lipGraph, type GraphKind } from './wav2lip-graph.ts';

export interface ModelImport {
  /** An official checkpoint in PyTorch's legacy or zip format. */
  readonly checkpointPath: string;
  /** Path of the ONNX file; missing folders are created. The record is stored next to it with the suffix `.json`. */
  readonly outputPath: string;
  /** Writes float16 weights, for GPUs. Defaults to false. */
  readonly float16?: boolean;
  /** Writes plain layers, for GPUs, instead of layers rewritten for CPUs. Implied by `float16`. */
  readonly plain?: boolean;
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

/** Completed share after each step. */
const progressAfter = { hashing: 0.1, writing: 0.6, publishing: 1 } as const;

/**
 * Converts an official Wav2Lip checkpoint to an ONNX model. The output is deterministic: the same weights yield the
 * same bytes in either checkpoint format. Nothing in the checkpoint is executed, and every layer is verified against
 * the checkpoint before the file is published. Throws `model_missing` when the checkpoint cannot be read,
 * `model_invalid` when it is damaged or another model, and `output_exists` or `request_invalid` for an unusable output
 * path.
 */
export async function importWav2Lip(request: ModelImport): Promise<ImportReport> {
  const { checkpointPath, outputPath, overwrite = false, signal } = request;
  const output = { outputPath, checkpointPath, overwrite };
  await prepareOutput(output);
  const checkpoint = await openCheckpoint(checkpointPath, { signal });
  try {
    const workspace = await openImportWorkspace(outputPath);
    try {
      const finished = { modelPath: workspace.file('model.onnx'), recordPath: workspace.file('record.json') };
      const record = await writeImport(checkpoint, finished, request);
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

/** Writes and verifies the model, then writes the record. */
async function writeImport(
  checkpoint: Checkpoint,
  finished: FinishedImport,
  request: ModelImport,
): Promise<ModelRecord> {
  const { checkpointPath, outputPath, float16 = false, plain = false, signal, onProgress = () => undefined } = request;
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const checkpointHash = await checkpoint.hash();
  onProgress(progressAfter.hashing);
  const { hash, verification } = await writeVerified(checkpoint, {
    path: finished.modelPath,
    outputPath,
    kind,
    signal,
    onProgress,
  });
  const record = newModelRecord({
    name: basename(checkpointPath, extname(checkpointPath)),
    checkpoint: { sha256: checkpointHash.sha256, bytes: checkpointHash.sizeBytes, format: checkpoint.format },
    model: { sha256: hash.sha256, bytes: hash.sizeBytes, element_type: kind.elementType, form: kind.form },
    verification: { layers: verification.layers, largest_error: verification.largestError },
    imported_at: new Date().toISOString(),
  });
  await reportPathErrors(outputPath, () => writeModelRecord(finished.recordPath, record));
  return record;
}

interface WriteOptions {
  readonly path: string;
  /** The final path, for error messages. */
  readonly outputPath: string;
  readonly kind: GraphKind;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

async function writeVerified(
  checkpoint: Checkpoint,
  { path, outputPath, kind, signal, onProgress }: WriteOptions,
): Promise<{ readonly hash: FileHash; readonly verification: Verification }> {
  const network = matchNetwork(checkpoint.tensors);
  const source = rejectInvalidTensors(checkpoint);
  const graph = await wav2lipGraph(network, source, {
    ...kind,
    metadata: { source: officialSource, licence: officialLicense },
  });
  const hash = await reportPathErrors(outputPath, () => writeOnnxFile(path, graph, { signal }));
  onProgress(progressAfter.writing);
  const verification = await verifyImport({ path, sizeBytes: hash.sizeBytes, network, kind }, source, signal);
  await syncFile(path);
  return { hash, verification };
}
