import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LipsyncError } from '../../errors/index.ts';
import { importModel } from './import-model.ts';
import { hashModelFile, isCurrent, isOnnx, readModelRecord } from './model-record.ts';
import type { NetworkKind } from './network-kind.ts';

export interface ModelReference {
  readonly kind: NetworkKind;
  /** A file with the extension `.onnx`, or an official checkpoint. */
  readonly path: string;
  /** Cache of imported checkpoints, by digest. */
  readonly cacheFolder: string;
  /** See `ModelImport`. Has no effect on an ONNX file. */
  readonly plain?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Returns the path of a loadable ONNX file: `path` itself, or the cached import of a checkpoint. An import takes
 * seconds and several hundred megabytes. Concurrent callers may import twice; each publishes the same file atomically.
 * An ONNX file is not opened. Throws the errors of `importModel`, and `model_missing` when the cache folder is not
 * writable.
 */
export async function resolveModel(reference: ModelReference): Promise<string> {
  const { kind, path, cacheFolder, plain = false, signal } = reference;
  if (isOnnx(path)) return path;
  const { sha256 } = await hashModelFile(path, signal);
  const outputPath = join(cacheFolder, `${sha256}${plain ? '.plain' : ''}.onnx`);
  if (!(await isReady(outputPath, { kind, sha256 }))) await importTo(outputPath, sha256, reference);
  return outputPath;
}

/**
 * Imports a checkpoint again when the cached model differs from its recorded digest. Returns whether it did so; intact
 * models and models without a record are left unchanged. Reads the whole file, so call it only for models that fail to
 * load. Throws the errors of `resolveModel`.
 */
export async function repairModel(reference: ModelReference, modelPath: string): Promise<boolean> {
  if (isOnnx(reference.path)) return false;
  const record = await readModelRecord(modelPath);
  if (record === null) return false;
  const { sha256 } = await hashModelFile(modelPath, reference.signal);
  if (sha256 === record.model.sha256) return false;
  await importTo(modelPath, record.checkpoint.sha256, reference);
  return true;
}

async function importTo(
  outputPath: string,
  checkpointSha256: string,
  { kind, path: checkpointPath, plain = false, signal }: ModelReference,
): Promise<void> {
  try {
    const { record } = await importModel({ checkpointPath, outputPath, plain, overwrite: true, signal }, [kind]);
    // The file name holds the old digest; the record prevents its use.
    if (record.checkpoint.sha256 !== checkpointSha256)
      throw new LipsyncError(
        'model_invalid',
        'The checkpoint changed during the import. Try again when it is complete.',
      );
  } catch (error) {
    throw LipsyncError.isInstance(error) && error.code === 'request_invalid' ? cacheNotWritable(error) : error;
  }
}

/** The cache folder is a setting of the operator, so the error does not contain its path. */
function cacheNotWritable(cause: LipsyncError): LipsyncError {
  return new LipsyncError(
    'model_missing',
    'The checkpoint cannot be imported because the model cache is not writable. ' +
      'Check the permissions of LIPSYNC_DATA_DIR, or import the checkpoint with "models import" of the command line.',
    { cause },
  );
}

/** Whether a complete model was imported from this checkpoint by the current importer version. */
async function isReady(
  modelPath: string,
  { kind, sha256 }: { readonly kind: NetworkKind; readonly sha256: string },
): Promise<boolean> {
  const record = await readModelRecord(modelPath);
  const file = await stat(modelPath).catch(() => undefined);
  return (
    record !== null &&
    isCurrent(record, kind) &&
    record.checkpoint.sha256 === sha256 &&
    file?.size === record.model.bytes
  );
}
