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
import type { GraphKind, NetworkKind, Verification } from './network-kind.ts';

export interface ModelImport {
  /** An official checkpoint in PyTorch's legacy or zip format. */
  readonly checkpointPath: string;
  /** Path of the ONNX file; missing folders are created. The record is stored next to it with the suffix `.json`. */
  readonly outputPath: string;
  /** Writes float16 weights, for GPUs. Defaults to false. Only for networks with forms, like `plain`. */
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
 * Converts an official checkpoint of one of the networks to an ONNX model; its tensors decide which. The output is
 * deterministic: the same weights yield the same bytes in either checkpoint format. Nothing in the checkpoint is
 * executed, and every layer is verified against the checkpoint before the file is published. Throws `model_missing` when
 * the checkpoint cannot be read, `model_invalid` when it is damaged or another model, `not_supported` for a form that
 * the network does not have, and `output_exists` or `request_invalid` for an unusable output path.
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
      const record = await writeImport(checkpoint, { kind, finished, request });
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
}

/** Writes and verifies the model, then writes the record. */
async function writeImport(checkpoint: Checkpoint, options: WriteOptions): Promise<ModelRecord> {
  const { kind, finished, request } = options;
  const { checkpointPath, outputPath, onProgress } = request;
  const graphKind = graphKindOf(kind, request);
  const checkpointHash = await checkpoint.hash();
  onProgress?.(progressAfter.hashing);
  const { hash, verification } = await writeVerified(checkpoint, graphKind, options);
  const record = newModelRecord(kind, {
    name: basename(checkpointPath, extname(checkpointPath)),
    checkpoint: { sha256: checkpointHash.sha256, bytes: checkpointHash.sizeBytes, format: checkpoint.format },
    model: {
      sha256: hash.sha256,
      bytes: hash.sizeBytes,
      element_type: graphKind.elementType,
      form: kind.hasForms ? graphKind.form : null,
    },
    verification: { layers: verification.layers, largest_error: verification.largestError },
    imported_at: new Date().toISOString(),
  });
  await reportPathErrors(outputPath, () => writeModelRecord(finished.recordPath, record));
  return record;
}

function graphKindOf({ hasForms, title }: NetworkKind, { float16 = false, plain = false }: ModelImport): GraphKind {
  if (!hasForms && (float16 || plain))
    throw new LipsyncError(
      'not_supported',
      `The checkpoint is ${title}, which is imported in one form only. Leave out the options for a GPU.`,
    );
  if (float16) return { elementType: 'float16', form: 'plain' };
  return { elementType: 'float32', form: plain || !hasForms ? 'plain' : 'rewritten' };
}

async function writeVerified(
  checkpoint: Checkpoint,
  graphKind: GraphKind,
  { kind, finished: { modelPath }, request: { outputPath, signal, onProgress } }: WriteOptions,
): Promise<{ readonly hash: FileHash; readonly verification: Verification }> {
  const source = rejectInvalidTensors(checkpoint);
  const { graph, verify } = await kind.build(checkpoint.tensors, source, graphKind);
  const metadata = { source: kind.source, licence: kind.licence };
  const hash = await reportPathErrors(outputPath, () => writeOnnxFile(modelPath, { ...graph, metadata }, { signal }));
  onProgress?.(progressAfter.writing);
  const verification = await verify({ path: modelPath, sizeBytes: hash.sizeBytes }, signal);
  await syncFile(modelPath);
  return { hash, verification };
}
