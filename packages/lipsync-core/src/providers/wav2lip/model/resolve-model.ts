import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LipsyncError } from '../../../errors/index.ts';
import { hashModelFile } from './hash-file.ts';
import { importWav2Lip } from './import-model.ts';
import { isCurrent, isOnnx, readModelRecord } from './model-record.ts';

export interface ModelReference {
  /** An ONNX file by its ending `.onnx`; anything else is taken for an official checkpoint. */
  readonly path: string;
  /** Where imported checkpoints are kept, by digest. */
  readonly cacheFolder: string;
  /** As in `ModelImport`; an ONNX file stays as it is. */
  readonly plain?: boolean;
  readonly signal: AbortSignal;
}

/**
 * The path of an ONNX file that can be loaded: the given one, or the one that a checkpoint is imported to, once. Takes
 * seconds and several hundred megabytes when it imports. Callers at the same time do the work twice, without harm: each
 * writes a file of its own and gives it the same name. Throws as `importWav2Lip` does, and `model_missing` when the folder
 * cannot be written; `path` itself is not opened when it is an ONNX file.
 */
export async function resolveWav2LipModel(reference: ModelReference): Promise<string> {
  const { path, cacheFolder, plain = false, signal } = reference;
  if (isOnnx(path)) return path;
  const { sha256 } = await hashModelFile(path, signal);
  const outputPath = join(cacheFolder, `${sha256}${plain ? '.plain' : ''}.onnx`);
  if (!(await isReady(outputPath, sha256))) await importTo(outputPath, sha256, reference);
  return outputPath;
}

/**
 * Imports a checkpoint again when the model that it was resolved to has other bytes than were written. Returns whether it
 * did: a model that is as it was, and one that was not imported here, are left alone. For models that do not load, since
 * it reads all of the file. Throws as `resolveWav2LipModel`.
 */
export async function repairWav2LipModel(reference: ModelReference, modelPath: string): Promise<boolean> {
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
  { path: checkpointPath, plain = false, signal }: ModelReference,
): Promise<void> {
  try {
    const { record } = await importWav2Lip({ checkpointPath, outputPath, plain, overwrite: true, signal });
    // It lies under another one's name, where its record keeps it from being taken.
    if (record.checkpoint.sha256 !== checkpointSha256)
      throw new LipsyncError(
        'model_invalid',
        'The checkpoint changed while it was imported. Try again when it is complete.',
      );
  } catch (error) {
    throw LipsyncError.isInstance(error) && error.code === 'request_invalid' ? notKept(error) : error;
  }
}

/** The folder is the operator's choice, not the caller's. */
function notKept(cause: LipsyncError): LipsyncError {
  return new LipsyncError(
    'model_missing',
    'The checkpoint cannot be imported: nothing can be written to the cache of models. See to the permissions of LIPSYNC_DATA_DIR, or import the checkpoint with "lipsync models import".',
    { cause },
  );
}

/** Whether the model was imported from this checkpoint by a version that would do the same again, and all of it is there. */
async function isReady(modelPath: string, checkpointSha256: string): Promise<boolean> {
  const record = await readModelRecord(modelPath);
  const file = await stat(modelPath).catch(() => undefined);
  return (
    record !== null &&
    isCurrent(record) &&
    record.checkpoint.sha256 === checkpointSha256 &&
    file?.size === record.model.bytes
  );
}
