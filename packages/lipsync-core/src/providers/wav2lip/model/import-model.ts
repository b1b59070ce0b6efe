import { basename, extname } from 'node:path';
import { openCheckpoint, type Checkpoint } from '../../../inference/checkpoints/checkpoint.ts';
import { writeOnnxFile, type FileFacts } from '../../../inference/onnx-writer.ts';
import { syncFile } from '../../../storage/durable-files.ts';
import { checkTensors } from './check-tensors.ts';
import { finiteTensors } from './finite-tensors.ts';
import { openImportWorkspace, prepareOutput, publishOutput, writing, type FinishedImport } from './import-output.ts';
import {
  newModelRecord,
  officialLicence,
  officialSource,
  recordPathOf,
  writeModelRecord,
  type ModelRecord,
} from './model-record.ts';
import { verifyImport, type Verification } from './verify-import.ts';
import { wav2lipGraph, type GraphKind } from './wav2lip-graph.ts';

export interface ModelImport {
  /** As the authors released it, in PyTorch's legacy or zip format. */
  readonly checkpointPath: string;
  /** Where the ONNX file goes; folders are made. Its record goes beside it, with `.json` added. */
  readonly outputPath: string;
  /** Half the size, for GPUs; not measured on one yet. float32 when left out. */
  readonly float16?: boolean;
  /** Whether layers are written as GPUs want them instead of as a CPU computes them soonest; half precision always is. */
  readonly plain?: boolean;
  /** Whether a file at `outputPath` is replaced. */
  readonly overwrite?: boolean;
  readonly signal: AbortSignal;
  /** Called with 0 to 1. */
  readonly onProgress?: (done: number) => void;
}

export interface ImportReport {
  readonly modelPath: string;
  readonly recordPath: string;
  readonly record: ModelRecord;
}

/** Shares of the work before each step begins. */
const progressAt = { reading: 0.1, verifying: 0.6, done: 1 } as const;

/**
 * KeyedMutex an official Wav2Lip checkpoint into an ONNX model: the same weights give the same bytes, whatever the
 * checkpoint's format. Nothing in the checkpoint is executed; what was written is compared with the checkpoint, layer
 * by layer, before it gets its name. Throws `model_missing` when the checkpoint cannot be read, `model_invalid` when it
 * is damaged or of another model, `output_exists` and `request_invalid` for the output's path.
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
      request.onProgress?.(progressAt.done);
      return { modelPath: outputPath, recordPath: recordPathOf(outputPath), record };
    } finally {
      await workspace.remove();
    }
  } finally {
    await checkpoint.close();
  }
}

/** Writes and verifies the model, then writes its record. */
async function writeImport(
  checkpoint: Checkpoint,
  finished: FinishedImport,
  request: ModelImport,
): Promise<ModelRecord> {
  const { checkpointPath, outputPath, float16 = false, plain = false, signal, onProgress = () => undefined } = request;
  const kind: GraphKind = float16
    ? { elementType: 'float16', form: 'plain' }
    : { elementType: 'float32', form: plain ? 'plain' : 'rewritten' };
  const checkpointFacts = await checkpoint.hash();
  onProgress(progressAt.reading);
  const { facts, verification } = await writeVerified(checkpoint, {
    path: finished.modelPath,
    outputPath,
    kind,
    signal,
    onProgress,
  });
  const record = newModelRecord({
    name: basename(checkpointPath, extname(checkpointPath)),
    checkpoint: { ...checkpointFacts, format: checkpoint.format },
    model: { ...facts, element_type: kind.elementType, form: kind.form },
    verification: { layers: verification.layers, largest_error: verification.largestError },
    imported_at: new Date().toISOString(),
  });
  await writing(outputPath, () => writeModelRecord(finished.recordPath, record));
  return record;
}

interface Writing {
  readonly path: string;
  /** For messages. */
  readonly outputPath: string;
  readonly kind: GraphKind;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

async function writeVerified(
  checkpoint: Checkpoint,
  { path, outputPath, kind, signal, onProgress }: Writing,
): Promise<{ readonly facts: FileFacts; readonly verification: Verification }> {
  const network = checkTensors(checkpoint.tensors);
  const source = finiteTensors(checkpoint);
  const graph = await wav2lipGraph(network, source, {
    ...kind,
    metadata: { source: officialSource, licence: officialLicence },
  });
  const facts = await writing(outputPath, () => writeOnnxFile(path, graph, { signal }));
  onProgress(progressAt.verifying);
  const verification = await verifyImport({ path, bytes: facts.bytes, network, kind }, source, signal);
  await syncFile(path);
  return { facts, verification };
}
