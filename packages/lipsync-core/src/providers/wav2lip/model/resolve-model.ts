import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { LipsyncError } from '../../../errors/index.ts';
import { sweepAbandonedParts } from '../../../storage/sweep-abandoned-parts.ts';
import { hashModelFile } from './hash-file.ts';
import { importWav2Lip } from './import-model.ts';
import { writing } from './import-output.ts';
import { isCurrent, readModelRecord } from './model-record.ts';

export interface ModelReference {
  /** An ONNX file by its ending `.onnx`; anything else is taken for an official checkpoint. */
  readonly path: string;
  /** Where imported checkpoints are kept, by digest. */
  readonly cacheFolder: string;
  readonly float16?: boolean;
  /** As in `ModelImport`; an ONNX file stays as it is. */
  readonly plain?: boolean;
  readonly signal: AbortSignal;
}

/** Longer than any import takes. */
const abandonedAfterMs = 3_600_000;

/**
 * The path of an ONNX file that can be loaded: the given one, or the one that a checkpoint is imported to, once. Takes
 * seconds and several hundred megabytes when it imports. Callers at the same time do the work twice, without harm: each
 * writes a file of its own and gives it the same name. Throws as `importWav2Lip` does, and `model_missing` when the folder
 * cannot be written; `path` itself is not opened when it is an ONNX file.
 */
export async function resolveWav2LipModel({ path, cacheFolder, float16 = false, plain = false, signal }: ModelReference): Promise<string> {
  if (extname(path).toLowerCase() === '.onnx') return path;
  const { sha256 } = await hashModelFile(path, signal);
  const outputPath = join(cacheFolder, `${sha256}${variantOf(float16, plain)}.onnx`);
  if (await isReady(outputPath)) return outputPath;
  try {
    // What imports left that were killed; they have no other owner.
    const folders = { inputsDir: cacheFolder, outputsDir: cacheFolder };
    await writing(outputPath, () => sweepAbandonedParts(folders, { olderThanMs: abandonedAfterMs, nowMs: Date.now() }));
    await importWav2Lip({ checkpointPath: path, outputPath, float16, plain, overwrite: true, signal });
  } catch (error) {
    throw LipsyncError.isInstance(error) && error.code === 'request_invalid' ? notKept(cacheFolder, error) : error;
  }
  return outputPath;
}

function variantOf(float16: boolean, plain: boolean): string {
  if (float16) return '.float16';
  return plain ? '.plain' : '';
}

/** The folder is the operator's choice, not the caller's. */
function notKept(cacheFolder: string, cause: LipsyncError): LipsyncError {
  return new LipsyncError('model_missing', `The checkpoint cannot be imported: nothing can be written to "${cacheFolder}". See to its permissions, or import the checkpoint with "lipsync models import".`, { cause });
}

/** Whether the model was imported by a version that would do the same again, and all of it is there. */
async function isReady(modelPath: string): Promise<boolean> {
  const record = await readModelRecord(modelPath);
  const file = await stat(modelPath).catch(() => undefined);
  return record !== null && isCurrent(record) && file?.size === record.model.bytes;
}
