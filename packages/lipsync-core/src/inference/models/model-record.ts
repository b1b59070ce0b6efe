import { readFile, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { z } from 'zod';
import { abortError, LipsyncError } from '../../errors/index.ts';
import { syncFile } from '../../storage/durable-files.ts';
import { hashChunkBytes, hashStream, type FileHash } from '../../storage/file-hash.ts';
import { openRegularFile } from '../../storage/regular-file.ts';
import type { NetworkKind } from './network-kind.ts';
import { quantizationSchema } from './quantization.ts';

const recordSchema = z.object({
  /** The id of a `NetworkKind`; records of versions that imported nothing but Wav2Lip do not name it. */
  network: z.string().default('wav2lip'),
  /** Base name of the checkpoint file, e.g. `wav2lip_gan`. */
  name: z.string(),
  role: z.string(),
  source: z.string(),
  licence: z.string(),
  checkpoint: z.object({ sha256: z.string(), bytes: z.int(), format: z.enum(['legacy', 'zip']) }),
  model: z.object({
    sha256: z.string(),
    bytes: z.int(),
    /** Of weights and activations; `int8` for the form `quantized`, in which some layers are float32. */
    element_type: z.enum(['float32', 'float16', 'int8']),
    /** A `GraphForm`; null for a network with only one form, and in records of versions before it was stored. */
    form: z.enum(['plain', 'rewritten', 'quantized']).nullable().default(null),
  }),
  /** Null for models that are not quantized. */
  quantization: quantizationSchema.nullable().default(null),
  /**
   * Layers verified, and the largest error relative to the magnitude of the summed terms; of eight-bit layers, relative
   * to the permitted rounding.
   */
  verification: z.object({ layers: z.int(), largest_error: z.number() }),
  importer_version: z.int(),
  imported_at: z.iso.datetime(),
});

/** The JSON record that is stored next to an imported model. */
export type ModelRecord = Readonly<z.infer<typeof recordSchema>>;

type ImportFacts = Omit<
  ModelRecord,
  'network' | 'role' | 'source' | 'licence' | 'importer_version' | 'quantization'
> & { readonly quantization?: ModelRecord['quantization'] };

/** Completes a record with network, role, source, license and importer version. */
export function newModelRecord(
  { id, role, source, licence, importerVersion }: NetworkKind,
  { name, quantization = null, ...facts }: ImportFacts,
): ModelRecord {
  return { network: id, name, role, source, licence, ...facts, quantization, importer_version: importerVersion };
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

/** Whether the record describes a model of this network, as its current importer writes it. */
export function isCurrent(record: ModelRecord, kind: NetworkKind): boolean {
  return record.network === kind.id && record.importer_version === kind.importerVersion;
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
