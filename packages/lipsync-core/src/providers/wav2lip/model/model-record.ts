import { readFile, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { abortError, LipsyncError } from '../../../errors/index.ts';
import { syncFile } from '../../../storage/durable-files.ts';
import { hashChunkBytes, hashStream, type FileHash } from '../../../storage/file-hash.ts';
import { openRegularFile } from '../../../storage/regular-file.ts';

/** Source and license of the released weights. */
export const officialSource = 'https://github.com/Rudrabha/Wav2Lip';
export const officialLicense =
  'Weights trained on LRS2: for research, academic and personal use only, no commercial use.';

/** Increment when the importer's output changes; models of older versions are imported again. */
const importerVersion = 3;

const recordSchema = z.object({
  /** Base name of the checkpoint file, e.g. `wav2lip_gan`. */
  name: z.string(),
  role: z.string(),
  source: z.string(),
  licence: z.string(),
  checkpoint: z.object({ sha256: z.string(), bytes: z.int(), format: z.enum(['legacy', 'zip']) }),
  model: z.object({
    sha256: z.string(),
    bytes: z.int(),
    element_type: z.enum(['float32', 'float16']),
    /** A `GraphForm`; null in records of versions before it was stored. */
    form: z.enum(['plain', 'rewritten']).nullable().default(null),
  }),
  /** Layers verified, and the largest error relative to the magnitude of the summed terms. */
  verification: z.object({ layers: z.int(), largest_error: z.number() }),
  importer_version: z.int(),
  imported_at: z.iso.datetime(),
});

/** The JSON record that is stored next to an imported model. */
export type ModelRecord = Readonly<z.infer<typeof recordSchema>>;

/** Completes a record with role, source, license and importer version. */
export function newModelRecord(
  facts: Omit<ModelRecord, 'role' | 'source' | 'licence' | 'importer_version'>,
): ModelRecord {
  const { name, ...rest } = facts;
  return {
    name,
    role: 'redraws the mouth to match speech audio',
    source: officialSource,
    licence: officialLicense,
    ...rest,
    importer_version: importerVersion,
  };
}

/** Path of a model's record. */
export function recordPathOf(modelPath: string): string {
  return `${modelPath}.json`;
}

/** Writes and syncs a record; not atomic, so the caller renames the file. */
export async function writeModelRecord(path: string, record: ModelRecord): Promise<void> {
  await writeFile(path, `${JSON.stringify(record, null, 2)}\n`);
  await syncFile(path);
}

/** The record of a model; null when it is missing or invalid. */
export async function readModelRecord(modelPath: string): Promise<ModelRecord | null> {
  const text = await readFile(recordPathOf(modelPath), 'utf8').catch(() => '');
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Whether the path ends in `.onnx`; any other file is treated as an official checkpoint. */
export function isOnnx(modelPath: string): boolean {
  return extname(modelPath).toLowerCase() === '.onnx';
}

/** Whether the record was written by the current importer version. */
export function isCurrent(record: ModelRecord): boolean {
  return record.importer_version === importerVersion;
}

/**
 * Size and SHA-256 of a model or checkpoint file. Throws `model_missing` when it cannot be read or is not a regular
 * file, and the abort error of the signal.
 */
export async function hashModelFile(path: string, signal: AbortSignal): Promise<FileHash> {
  const { handle } = await openRegularFile(path, unreadable);
  try {
    // The stream closes the handle.
    return await hashStream(handle.createReadStream({ highWaterMark: hashChunkBytes, signal }), signal);
  } catch (cause) {
    if (signal.aborted) throw abortError(signal);
    throw unreadable('cannot be read', cause);
  }
}

function unreadable(reason: string, cause: unknown): LipsyncError {
  return new LipsyncError('model_missing', `The model file ${reason}. Check its path and permissions.`, { cause });
}
